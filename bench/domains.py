"""Claim: what rows of the target domain, without labels, gain over learning from the source alone.

Ordered pairs of domains: the labelled rows are of the first, the rows without labels and the test
rows of the second. All methods learn from the same four fifths of the labelled rows; the fifth
left out and the unlabelled rows are all that `picked` chooses by, never a label of the target.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench import elsewhere, machine, options, records, sets
from bench.elsewhere import Fitted, Rows

CLAIM = "domains"
REVIEWS, DIGITS = "amazon_reviews_multidomain", "digits_domain_shift"
PAIRS = tuple(
    f"{first}>{second}"
    for kind in (("books", "dvd", "electronics", "kitchen"), ("mnist", "usps"))
    for first, second in permutations(kind, 2)
)
IMAGE_MODEL = "mobilenet-v1-0.25-128-imagenet"
PLAIN = "source only"
PICKED = "picked"
FIRST = ("pretrain", "align adabn")
"""What a run tries first beside fine-tuning, for texts and for pictures (batch norms)."""
RATE = {"rate": 5e-4}
"""Where the ladder begins with pictures."""


def methods(modality: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the strategies by name, with what the ladder begins with for these inputs."""
    from metier.search.wrapping import within

    own = RATE if modality == "image" else {}
    found: dict[str, tuple[str, Mapping[str, Any]]] = {PLAIN: ("finetune", own)}
    found["align(probe) coral"] = ("align(probe)", {"method": "coral"})
    kinds = ["coral", "mmd", "dann", "mcc", *(["adabn"] if modality == "image" else [])]
    for kind in kinds:
        found[f"align {kind}"] = ("align(finetune)", {"method": kind, **within(own)})
    found["align weight"] = ("align(finetune)", {"method": "weight", **within(own)})
    if modality == "text":
        found["pretrain"] = ("pretrain(finetune)", {})
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the pairs that are asked for and have not been measured."""
    import torch

    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        for pair in args.pairs:
            for seed in args.seeds:
                _pair(pair, seed, args, Path(scratch))


def _pair(pair: str, seed: int, args: argparse.Namespace, scratch: Path) -> None:
    key = {"pair": pair, "seed": seed, "train": args.train, "limit": args.limit}
    known = records.read(CLAIM, args.results)
    if records.find(known, {**key, "method": PICKED}) is not None:
        return
    rows = load(pair, args)
    found: dict[str, records.Record] = {}
    for name, (strategy, parameters) in methods(rows.modality).items():
        cell = records.find(known, {**key, "method": name})
        if cell is None:
            cell = {**key, "method": name, **_measure(strategy, parameters, rows, seed, scratch)}
            records.append(CLAIM, cell, args.threads, args.results)
            print(json.dumps({k: v for k, v in cell.items() if k != "right"}), flush=True)
        found[name] = cell
    chosen = pick(found)
    picked = {**key, "method": PICKED, "chosen": chosen}
    picked |= {name: found[chosen][name] for name in ("right", "n", "accuracy")}
    records.append(CLAIM, picked, args.threads, args.results)
    print(pair, seed, "picked", chosen, found[chosen]["accuracy"], flush=True)


def _measure(
    strategy: str, parameters: Mapping[str, Any], rows: Rows, seed: int, scratch: Path
) -> records.Record:
    """Fit on four fifths, judge on test rows of the target, and estimate without their labels."""
    from metier.training.folds import inner_folds

    load = machine.load()
    table = rows.table(rows.labelled)
    codes = np.unique(rows.labelled[rows.target].to_numpy(), return_inverse=True)[1]
    fit_on, held = inner_folds(table, codes, 1, 0)[0]
    run = elsewhere.run_in(scratch / "cache", seed)
    made = elsewhere.fit(strategy, parameters, rows, table.take(fit_on), run)
    test = rows.table(rows.test)
    right = made.specialist.scores(test, run.cache).argmax(axis=1) == made.specialist.task.encode(
        test
    )
    return {
        "right": elsewhere.pack(right),
        "n": len(right),
        "accuracy": round(float(right.mean()), 4),
        "seconds": round(made.seconds, 1),
        "notes": dict(made.notes),
        "estimates": _estimates(made, rows, table.take(held), run),
        "load_before": load,
    }


def _estimates(made: Fitted, rows: Rows, held: Any, run: Any) -> dict[str, Any]:
    """What is known without labels of the target: accuracy on source rows left out, plain and
    weighed, and the confident share of the target's rows."""
    from metier.evidence.uncertainty.calibration import fit_temperature
    from metier.evidence.unlabelled.estimates import confidence_estimate, weighted_estimate
    from metier.runtime.postprocess import Decision
    from metier.training.unlabelled.likeness import flattened, likeness
    from metier.types import Problem, Specialist

    specialist = made.specialist
    task = specialist.task
    others = rows.table(rows.unlabelled, labelled=False)
    own, theirs = (specialist.scores(table, run.cache) for table in (held, others))
    truth = task.encode(held)
    right = own.argmax(axis=1) == truth
    decision = Decision(task.kind, task.labels, fit_temperature(own, truth, task.kind))
    untouched = Specialist(_source(rows), task)
    shift = likeness(untouched, Problem(task, held), others, run)
    weights = np.ones(len(held)) if shift is None else flattened(shift.weights)
    weighted = weighted_estimate(right.astype(np.float64), weights)
    confident = confidence_estimate(own, truth, theirs, decision, weights=weights)
    return {
        "held": round(float(right.mean()), 4),
        "held_n": len(right),
        "weighted": [round(v, 4) for v in (weighted.value, weighted.low, weighted.high)],
        "confident": [round(v, 4) for v in (confident.value, confident.low, confident.high)],
    }


def pick(found: Mapping[str, records.Record]) -> str:
    """Return the method that is chosen without a label of the target: the one that is estimated to
    be right most often there, by average thresholded confidence."""
    return max(found, key=lambda name: found[name]["estimates"]["confident"][0])


def load(pair: str, args: argparse.Namespace) -> Rows:
    """Return the rows of a pair, drawn by a fixed seed."""
    first, second = pair.split(">")
    data = sets.find_data(args.data)
    if first in ("mnist", "usps"):
        source = str(sets.find_models(args.models) / IMAGE_MODEL)
        parts = [_pictures(data / DIGITS / name) for name in ("mnist/train", "usps/train")]
        by_name = dict(zip(("mnist", "usps"), parts, strict=True))
        test = _pictures(data / DIGITS / second / "test")
        return Rows(
            _some(by_name[first], args.train, args.limit),
            _some(by_name[second], args.train, args.limit),
            _some(test, 10**6, args.limit),
            "image",
            source,
        )
    train, test = (_reviews(data / REVIEWS / f"{part}.csv") for part in ("train", "test"))
    own, theirs = (train.filter(pl.col("domain") == name) for name in (first, second))
    return Rows(
        _some(own, args.train, args.limit),
        _some(theirs, args.train, args.limit),
        _some(test.filter(pl.col("domain") == second), 10**6, args.limit),
        "text",
        "embedded",
    )


def _reviews(path: Path) -> pl.DataFrame:
    return sets.shortened(pl.read_csv(path, infer_schema_length=None))


def _pictures(folder: Path) -> pl.DataFrame:
    found = sorted(folder.glob("*/*.png"))
    names = [str(path.resolve()) for path in found]
    return pl.DataFrame({sets.IMAGE: names, "label": [path.parent.name for path in found]})


def _some(frame: pl.DataFrame, most: int, limit: int | None) -> pl.DataFrame:
    order = np.random.default_rng(0).permutation(frame.height)
    return frame[order[: min(most, limit or most)]]


def _source(rows: Rows) -> Any:
    from metier.sources import open_source

    return open_source(rows.source, rows.modality)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("domains", __doc__, models=True)
    option = parser.add_argument
    option("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    option("--seeds", nargs="+", type=int, default=[0])
    option("--train", type=int, default=700, help="rows of each domain that are learned from")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
