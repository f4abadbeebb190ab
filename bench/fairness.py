"""Claim: the equalised odds difference at least halved, at a cost of at most 2 points of accuracy.

On adult_income (sex, race) and german_credit (sex, age): the specialist that may read the sensitive
columns, the one that may not, and each mitigation around the same learner. Every row is answered by
a fit that had not seen it (five folds over the training and test rows together), because the test
rows alone hold too few positives of the smaller groups to tell a difference of a few points.
Decision rules come from a part of each training share that did not train. `limit` is what a user
would ask for: in each fold the most accurate candidate within it, or the nearest to it, is picked
on that part. Gains and losses are paired, on the same rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench import machine, options, records, sets

CLAIM = "fairness"
FOLDS = 5
RULES = 0.25
"""Share of the rows of a training share that fit decision rules and pick, and train nothing."""
STRENGTHS = {"constrain": (0.2, 0.5, 1.0), "reweigh": (0.5, 1.0)}
LIMITS = (0.05, 0.02)
"""What thresholds by group are fitted to."""
ASKED = 0.05
"""The limit of the method `limit`."""
DRAWS = 2000
KINDS: tuple[Any, ...] = ("odds", "parity")
PICKED = {"limit": False, "limit, thresholds allowed": True}
"""What a user would ask for, and whether groups may have thresholds of their own."""


@dataclass(frozen=True)
class People:
    """A set with its sensitive columns, numbers with their cuts."""

    name: str
    sensitive: tuple[str, ...]


SETS = {
    "adult_income": People("adult_income", ("sex", "race")),
    "german_credit": People("german_credit", ("sex", "age:26")),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        key = {"set": name, "learner": args.learner, "seed": args.seed, "limit": args.limit}
        if records.find(records.read(CLAIM, args.results), key) is None:
            for found in _measure(SETS[name], args):
                records.append(CLAIM, {**key, **found}, args.threads, args.results)
                print(name, json.dumps(found), flush=True)


def _measure(people: People, args: argparse.Namespace) -> list[records.Record]:
    table, aware, task = _table(people, args)
    load, began = machine.load(), time.perf_counter()
    folds = _folds(len(table), args.seed)
    answered: dict[str, NDArray[np.int64]] = {}
    seconds: dict[str, float] = {}
    for parts in folds:
        _answer(table, aware, task, parts, args, answered, seconds)
    truth, groups = task.encode(table), _groups(table)
    found = [
        {
            "method": method,
            **_figures(truth, answered[method], answered["plain"], groups, task, args.seed),
            "seconds": round(seconds[method] / FOLDS, 2),
            "rows": len(table),
            "load_before": load,
            "seconds_in_all": round(time.perf_counter() - began, 1),
        }
        for method in answered
    ]
    return found


def _table(people: People, args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """All rows, with the sensitive columns beside them, and as inputs."""
    from metier.road.intake import read_data
    from metier.road.options import Options

    rows = sets.load(people.name, sets.find_data(args.data), limit=args.limit)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        path = Path(scratch) / "all.csv"
        pl.concat([rows.train, rows.test]).write_csv(path)
        fair = read_data(path, Options(target=rows.target, sensitive=people.sensitive))
        plain = read_data(path, Options(target=rows.target))
    return fair.table, plain.table, fair.task


def _groups(table: Any) -> dict[str, list[str]]:
    from metier.data.sensitive import groups_of

    return groups_of(table)


def _folds(
    n: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to train on, to fit rules by, and to answer."""
    order = np.random.default_rng(seed).permutation(n)
    found = []
    for held in np.array_split(order, FOLDS):
        rest = order[~np.isin(order, held)]
        cut = round(RULES * len(rest))
        found.append((np.sort(rest[cut:]), np.sort(rest[:cut]), np.sort(held)))
    return found


def _answer(
    table: Any,
    aware: Any,
    task: Any,
    parts: tuple[NDArray[np.int64], ...],
    args: argparse.Namespace,
    answered: dict[str, NDArray[np.int64]],
    seconds: dict[str, float],
) -> None:
    """Fit every method on one fold and put its answers of the rows left out in their place."""
    fit, rules, held = parts
    judged: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for name, (strategy, rows) in _ways(args.learner, table, aware).items():
        began = time.perf_counter()
        judged[name] = _fit(strategy, rows, task, fit, rules, held, args.seed)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
    fitting = table.take(rules)
    for kind in KINDS:
        for name, by_group in PICKED.items():
            own = {n: j for n, j in judged.items() if _may(n, kind, by_group)}
            picked = _pick(kind, own, fitting, task.encode(fitting), task)
            judged[f"{name} ({kind})"] = own[picked]
            seconds.setdefault(f"{name} ({kind})", 0.0)
    for name, (_, others) in judged.items():
        answered.setdefault(name, np.full(len(table), -1, dtype=np.int64))[held] = others


def _ways(learner: str, table: Any, aware: Any) -> dict[str, tuple[Any, Any]]:
    """Every method by name: the strategy, and the rows that it sees."""
    from metier.strategies.constrain import Constrain
    from metier.strategies.reweigh import Reweigh
    from metier.strategies.threshold import Threshold

    inner = _learner(learner)
    ways: dict[str, tuple[Any, Any]] = {"plain": (inner, table), "aware": (inner, aware)}
    for strength in STRENGTHS["reweigh"]:
        ways[f"reweigh {strength:g}"] = (Reweigh(inner, strength), table)
    for kind in KINDS:
        for strength in STRENGTHS["constrain"]:
            ways[f"constrain {strength:g} ({kind})"] = (Constrain(inner, strength, kind), table)
        for limit in LIMITS:
            ways[f"threshold {limit:g} ({kind})"] = (Threshold(inner, limit, kind), table)
    return ways


def _may(name: str, kind: str, by_group: bool) -> bool:
    """Whether a method is among those that a limit of a kind picks from."""
    if (
        name == "aware"
        or name.startswith("limit")
        or (name.startswith("threshold") and not by_group)
    ):
        return False
    return "(" not in name or name.endswith(f"({kind})")


def _learner(name: str) -> Any:
    from metier.registry import find

    return find("strategies", name)()


def _fit(
    strategy: Any,
    table: Any,
    task: Any,
    fit: NDArray[np.int64],
    rules: NDArray[np.int64],
    held: NDArray[np.int64],
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Answers of the rows that rules are fitted by, and of the rows left out."""
    from metier.cache import Cache
    from metier.evidence.uncertainty.calibration import fit_temperature
    from metier.runtime.postprocess import Decision
    from metier.sources.tabular import Tabular
    from metier.types import Problem, Run, Specialist

    start, problem = Specialist(Tabular(), task), Problem(task, table.take(fit))
    made = strategy(start, problem, Run(Cache(), seed=seed))
    fitting, others = table.take(rules), table.take(held)
    scores, truth = made.scores(fitting), task.encode(fitting)
    decision = Decision(task.kind, task.labels, fit_temperature(scores, truth, task.kind))
    if hasattr(strategy, "decided"):
        decision = strategy.decided(decision, scores, truth, fitting)
    first, second = (
        decision.at({name: rows.frame[name].to_list() for name in rows.frame.columns}).choices(own)
        for rows, own in ((fitting, scores), (others, made.scores(others)))
    )
    return first, second


def _pick(
    kind: str,
    judged: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
    table: Any,
    truth: NDArray[np.int64],
    task: Any,
) -> str:
    """The most accurate within the limit on these rows; the nearest to it when none is."""
    groups = _groups(table)

    def figures(name: str) -> tuple[float, float]:
        own = judged[name][0]
        apart = max((v for v in _apart(truth, own, groups, task, kind).values()), default=0.0)
        return apart, float((own == truth).mean())

    found = {name: figures(name) for name in judged}
    within = {name: right for name, (apart, right) in found.items() if apart <= ASKED}
    if within:
        return max(within, key=lambda name: within[name])
    return min(found, key=lambda name: found[name][0])


def _apart(
    truth: NDArray[np.int64],
    choices: NDArray[np.int64],
    groups: Mapping[str, Sequence[str]],
    task: Any,
    kind: str,
) -> dict[str, float]:
    """How far the groups of each column lie apart."""
    from metier.evidence.fairness.disparity import disparities

    found = disparities(_answers(truth, choices, task), groups, resamples=2)
    return {
        str(each.details["column"]): float(each.value)
        for each in found
        if each.value is not None and each.details["measure"] == kind
    }


def _answers(truth: NDArray[np.int64], choices: NDArray[np.int64], task: Any) -> Any:
    from metier.evidence.answers import Answers

    return Answers(task.kind, task.labels, truth, choices, np.eye(2)[choices])


def _figures(
    truth: NDArray[np.int64],
    choices: NDArray[np.int64],
    plain: NDArray[np.int64],
    groups: Mapping[str, Sequence[str]],
    task: Any,
    seed: int,
) -> dict[str, Any]:
    """Accuracy and disparities with intervals, and what became of both against the plain one."""
    from metier.evidence.bootstrap import wilson
    from metier.evidence.fairness.disparity import disparities

    right = choices == truth
    lost = 100.0 * ((plain == truth).astype(float) - right)
    half = 1.96 * float(lost.std(ddof=1)) / len(lost) ** 0.5
    measured = disparities(_answers(truth, choices, task), groups, seed=seed)
    found: dict[str, Any] = {
        "accuracy": float(right.mean()),
        "accuracy_interval": list(wilson(float(right.sum()), len(right), 0.95)),
        "lost": float(lost.mean()),
        "lost_interval": [float(lost.mean()) - half, float(lost.mean()) + half],
    }
    for each in measured:
        if each.value is not None:
            found[each.name] = {"value": each.value, "low": each.low, "high": each.high,
                                "p": each.details["p"]}  # fmt: skip
    for kind in KINDS:
        found[f"{kind}_change"] = _change(truth, choices, plain, groups, task, kind, seed)
    return found


def _change(
    truth: NDArray[np.int64],
    choices: NDArray[np.int64],
    plain: NDArray[np.int64],
    groups: Mapping[str, Sequence[str]],
    task: Any,
    kind: str,
    seed: int,
) -> dict[str, Any]:
    """By column, the share of the plain disparity that is left, with a paired interval: rows are
    drawn within groups, the same ones for both."""
    found = {}
    for column, own in groups.items():
        names, codes = np.unique(np.asarray(own, dtype=str), return_inverse=True)
        large = [k for k in range(len(names)) if int((codes == k).sum()) >= 100]
        if len(large) < 2:
            continue
        random = np.random.default_rng((seed, 11))
        rates = [_rates(truth[codes == k], (choices[codes == k], plain[codes == k]), kind, random)
                 for k in large]  # fmt: skip
        stacked = np.stack(rates)  # (groups, methods, rates, draws + 1)
        spread = stacked.max(axis=0) - stacked.min(axis=0)
        both = spread.max(axis=1)
        share = both[0] / np.maximum(both[1], 1e-9)
        low, high = np.quantile(share[1:], [0.025, 0.975])
        found[column] = {"left": float(share[0]), "low": float(low), "high": float(high)}
    return found


def _rates(
    truth: NDArray[np.int64],
    answers: tuple[NDArray[np.int64], ...],
    kind: str,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Rates of one group for each method, (methods, rates, draws + 1): as it is, then resampled."""
    cells = truth * 4 + answers[0] * 2 + answers[1]
    counts = np.bincount(cells, minlength=8)
    drawn = random.multinomial(len(truth), counts / len(truth), DRAWS)
    every = np.concatenate([counts[None, :], drawn]).reshape(-1, 2, 2, 2).astype(float)
    found = []
    for axis in (3, 2):
        table = every.sum(axis=axis)  # (draws, truth, answer)
        if kind == "parity":
            found.append((table[:, :, 1].sum(axis=1) / table.sum(axis=(1, 2)))[None, :])
        else:
            found.append((table[:, :, 1] / np.maximum(table.sum(axis=2), 1.0)).T)
    return np.stack(found)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("fairness", __doc__, threads=1)
    option = parser.add_argument
    option("--sets", nargs="+", choices=tuple(SETS), default=list(SETS))
    option("--learner", default="boost", help="the strategy that mitigations go around")
    option("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
