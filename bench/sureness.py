"""Claims: sets and intervals hold the truth as often as asked; confidences mean what they say.

Cheap specialists (a probe of the frozen source, one boosting), calibrated as a run calibrates: on
out-of-fold scores, and written as bundles; all that is measured comes from the bundle.

`alike`: the calibration error on half of the out-of-fold rows, by what the other half says. Where
it is small and that on the test rows is not, these are of another mix than the training rows.
`resplit`: the test rows, which the specialist has not seen, are dealt 20 times to calibration and
test. Each coverage should lie in the 95 % band of the Beta-binomial (so one split in 20 outside it
is to be expected: `outside` counts them) and their mean very near to what was asked.
`delivered`: the bundle as it is, on all test rows: its coverage, the debiased calibration error
with the p-value of the consistency test, and whether rows of another kind are told apart: texts of
another set, table rows whose columns of one kind have changed places.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench import machine, options, records, sets

CLAIM = "sureness"
RESPLITS, FOLDS = 20, 5
COVERAGE = 0.9
FOREIGN_ROWS = 1000
SETS = (
    "banking77", "sst2", "medical_abstracts", "financial_phrasebank", "adult_income",
    "german_credit", "pima_diabetes", "wine_quality",
)  # fmt: skip
OTHER_TEXTS = {"banking77": "sst2"}
"""The set whose texts are foreign to a set; banking77 to all others."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    data = sets.find_data(args.data)
    for name in args.sets:
        key = {"set": name, "seed": args.seed, "limit": args.limit}
        if records.find(records.read(CLAIM, args.results), key) is not None:
            continue
        load = machine.load()
        found = {**key, "load_before": load, **measure(name, data, args.seed, args.limit)}
        records.append(CLAIM, found, args.threads, args.results)
        print(_told(found), flush=True)


def measure(name: str, data: Path, seed: int, limit: int | None) -> records.Record:
    """Fit, calibrate and write one specialist; return what is seen of its sureness."""
    from metier.cache import Cache
    from metier.evidence.uncertainty import selective
    from metier.evidence.uncertainty.isotonic import fit_calibration
    from metier.runtime import conformal
    from metier.runtime.doubt import Doubt
    from metier.runtime.postprocess import Decision

    began = time.perf_counter()
    rows = sets.load(name, data, seed, limit)
    cache = Cache()
    fit, task, train, test = _task_of(rows, cache, seed)
    scores = _out_of_fold(fit, task, train, cache, seed)
    truth = task.encode(train)
    decision = fit_calibration(scores, truth, Decision(task.kind, task.labels), seed)
    doubt = Doubt(
        conformal.learn(scores, truth, decision, COVERAGE),
        selective.learn(scores, truth, decision),
    )
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as folder:
        bundle = _bundle(fit(train), Path(folder) / "specialist", train, scores, decision, doubt)
        seen = bundle.scored(test.columns(), features=True)
        own = _foreign(rows, bundle, data, test)
        outside = bundle.scored(own, features=True)
    return {
        "rows": {"train": len(train), "test": len(test)},
        "isotonic": bool(decision.isotonic),
        "alike": _alike(scores, truth, decision, seed),
        "resplit": _resplit(seen.scores, task.encode(test), decision, test, bundle),
        "delivered": _delivered(seen, task.encode(test), test, bundle, seed),
        "foreign": _apart(seen, outside, bundle),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _task_of(rows: sets.Rows, cache: Any, seed: int) -> tuple[Any, Any, Any, Any]:
    """Return what fits a table, the task, and both tables."""
    from metier.registry import find
    from metier.road.intake import read_data
    from metier.road.options import Options
    from metier.sources import DEFAULTS, open_source
    from metier.types import Problem, Run, Specialist, Table

    found = read_data(rows.train, Options(target=rows.target, test=rows.test))
    modality = found.table.roles.modality
    source = open_source(DEFAULTS[modality][0], modality)
    strategy = find("strategies", "boost" if modality == "tabular" else "probe")()

    def fit(table: Table) -> Specialist:
        start = Specialist(source, found.task)
        made: Specialist = strategy(start, Problem(found.task, table), Run(cache, seed))
        return made

    return fit, found.task, found.table, found.test


def _out_of_fold(fit: Any, task: Any, train: Any, cache: Any, seed: int) -> NDArray[np.float32]:
    """Scores of all rows, each by a fit that had not seen it."""
    folds = np.random.default_rng(seed).permutation(len(train)) % FOLDS
    scores = np.empty((len(train), task.outputs), np.float32)
    for fold in range(FOLDS):
        held = np.flatnonzero(folds == fold)
        made = fit(train.take(np.flatnonzero(folds != fold)))
        scores[held] = made.scores(train.take(held), cache)
    return scores


def _bundle(made: Any, folder: Path, train: Any, scores: Any, decision: Any, doubt: Any) -> Any:
    from metier.deploy.bundle import write_bundle
    from metier.deploy.reference import HeldOut
    from metier.runtime.session import load

    some = np.unique(np.linspace(0, len(train) - 1, 256).astype(int))
    write_bundle(
        made,
        folder,
        decision=decision,
        sample=train.take(some),
        card="",
        facts={},
        table=train,
        held_out=HeldOut(scores, decision),
        doubt=doubt,
    )
    return load(folder)


def _alike(
    scores: NDArray[Any], truth: NDArray[Any], decision: Any, seed: int
) -> dict[str, dict[str, float | None]]:
    """The calibration error and its test on half of the rows, calibrated on the other half."""
    from metier.evidence.metrics import interval
    from metier.evidence.uncertainty.consistency import consistency
    from metier.evidence.uncertainty.isotonic import fit_calibration

    order = np.random.default_rng(seed).permutation(len(truth))
    half, other = order[: len(order) // 2], order[len(order) // 2 :]
    own = fit_calibration(scores[half], truth[half], replace(decision, thresholds=()), seed)
    test = consistency(truth[other], scores[other], own, seed=seed)
    if test is None:
        return {}
    error = interval("calibration_error", truth[other], scores[other], own, seed=seed)
    return {f.name: {"value": f.value, "low": f.low, "high": f.high} for f in (error, test)}


def _resplit(
    scores: NDArray[Any], truth: NDArray[Any], decision: Any, test: Any, bundle: Any
) -> list[dict[str, float]]:
    """Coverage, its band and the mean size of sets on halves of the test rows, 20 times."""
    from metier.evidence.uncertainty.coverage import measure_coverage
    from metier.evidence.uncertainty.isotonic import fit_calibration
    from metier.runtime.conformal import learn, luck_of

    luck = luck_of(test.columns(), bundle.manifest.columns)
    found = []
    for turn in range(RESPLITS):
        order = np.random.default_rng(turn).permutation(len(truth))
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        own = fit_calibration(scores[half], truth[half], replace(decision, thresholds=()), turn)
        known = learn(scores[half], truth[half], own, COVERAGE, exact=True)
        each = measure_coverage(known, scores[other], truth[other], own, luck[other], COVERAGE)
        names = ("covered", "band_low", "band_high", "size", "empties")
        found.append({name: round(float(getattr(each, name)), 5) for name in names})
    return found


def _delivered(seen: Any, truth: NDArray[Any], test: Any, bundle: Any, seed: int) -> dict[str, Any]:
    from metier.evidence.uncertainty.sureness import sureness_of
    from metier.runtime.conformal import luck_of

    luck = luck_of(test.columns(), bundle.manifest.columns)
    unlike = bundle.unlike(test.columns(), seen)
    decision, doubt = bundle.manifest.decision, bundle.doubt
    found = sureness_of(
        truth, seen.scores, decision, doubt, luck, unlike, alarm=bundle.alarm, seed=seed
    )
    told = {f.name: {"value": f.value, "low": f.low, "high": f.high} for f in found.findings}
    main = found.main
    band = {} if main is None else {"band_low": main.band_low, "band_high": main.band_high}
    size = {} if main is None else {"size": main.size, "empties": main.empties}
    return {**told, **band, **size}


def _foreign(rows: sets.Rows, bundle: Any, data: Path, test: Any) -> Mapping[str, Any]:
    """Return rows of another kind, as columns that the bundle reads."""
    if rows.about.modality == "text":
        other = OTHER_TEXTS.get(rows.about.name, "banking77")
        texts = sets.load(other, data).test[sets.TEXT].to_list()[:FOREIGN_ROWS]
        return {column.name: texts for column in bundle.manifest.columns}
    columns = dict(test.columns())
    for kind in ("number", "category"):
        names = [c.name for c in bundle.manifest.columns if c.kind == kind]
        moved = [columns[name] for name in names[1:] + names[:1]]
        columns.update(zip(names, moved, strict=True))
    return columns


def _apart(seen: Any, outside: Any, bundle: Any) -> dict[str, Any]:
    """How well both looks tell foreign rows from those of the test, and how many they flag."""
    from metier.runtime.domain import energy

    domain = bundle.doubt.domain
    both = (seen, outside)
    found: dict[str, Any] = {
        "flagged": [float(domain.unlike(each.scores, each.features).mean()) for each in both],
        "auroc": _auroc(*(-domain.p_values(each.scores, each.features) for each in both)),
    }
    if bundle.labels:
        found["auroc_energy"] = _auroc(*(energy(each.scores) for each in both))
    if domain.cloud is not None:
        found["auroc_distance"] = _auroc(
            *(domain.cloud.distances(domain.prepare(each.features)) for each in both)
        )
    return found


def _auroc(inside: NDArray[Any], outside: NDArray[Any]) -> float:
    ranks = pl.Series(np.concatenate([inside, outside])).rank("average").to_numpy()
    m, n = len(inside), len(outside)
    return round(float((ranks[m:].sum() - n * (n + 1) / 2) / (m * n)), 5)


def _told(found: records.Record) -> str:
    splits = found["resplit"]
    outside = sum(not s["band_low"] <= s["covered"] <= s["band_high"] for s in splits)
    delivered = found["delivered"]
    told = (
        f"{found['set']}: resplit {np.mean([s['covered'] for s in splits]):.4f} covered, {outside} "
        f"of {len(splits)} outside; delivered {delivered['coverage']['value']:.4f}"
    )
    if "calibration_error" in delivered:
        error, test = delivered["calibration_error"], delivered["calibration_test"]
        told += f", calibration error {error['value']:.4f}, p {test['value']:.3f}"
    inside, foreign = found["foreign"]["flagged"]
    return (
        f"{told}; flagged {inside:.3f}, foreign {foreign:.3f} (AUROC {found['foreign']['auroc']})"
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("sureness", __doc__)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=SETS)
    option("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
