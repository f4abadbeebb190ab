"""Claim: what a start learned from episodes is worth on classes that it never saw.

5-way 5-shot episodes by the nearest class mean, on the classes that a split keeps, for the learned
start and for the untouched source, paired by episode. Ten splits of the classes (the seed) of
banking77 (texts) and of cifar10 (images); the table gives the mean over the splits with Student's
interval.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from bench import machine, options, records, sets

CLAIM = "meta"
SETS = ("banking77", "cifar10")
METHODS = ("prototypical", "reptile", "fomaml")
SPLITS = 10
USUAL = {
    "steps": 100,
    "per_class": 40,
    "ways": 5,
    "shots": 5,
    "image_model": "mobilenet-v1-0.5-160-imagenet",
}
"""What a cell is measured with when nobody says, and what records that do not say were."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the cells that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        for split in range(args.splits):
            for method in args.methods:
                key = {"set": name, "method": method, "split": split, "limit": args.limit}
                key |= {own: getattr(args, own) for own in USUAL}
                if sets.SETS[name].modality == "text":
                    del key["image_model"]
                if records.find(records.read(CLAIM, args.results), key, USUAL) is None:
                    record = {**key, **_measure(name, method, split, args)}
                    records.append(CLAIM, record, args.threads, args.results)
                    print(json.dumps(record), flush=True)


def _measure(name: str, method: str, split: int, args: argparse.Namespace) -> records.Record:
    import torch

    from metier import api

    torch.set_num_threads(args.threads)
    load, began = machine.load(), time.perf_counter()
    rows = sets.load(name, sets.find_data(args.data), limit=args.limit)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        data = Path(scratch) / "rows.csv"
        _few(rows, args.per_class).write_csv(data)
        made = api.meta(
            data,
            out=Path(scratch) / "start",
            target=rows.target,
            ways=args.ways,
            shots=args.shots,
            method=method,
            source=_source(rows, args),
            steps=args.steps,
            seed=split,
        )
    found: Any = made.found
    c = found.carried
    return {
        "before": c.before,
        "after": c.after,
        "difference": c.difference,
        "low": c.low,
        "high": c.high,
        "p": c.p,
        "episodes": c.n,
        "learned": sum(map(len, found.learned.values())),
        "held": sum(map(len, found.held.values())),
        "seconds": round(time.perf_counter() - began, 1),
        "load_before": load,
    }


def _few(rows: sets.Rows, per_class: int) -> pl.DataFrame:
    """The first rows of every class, drawn once for all splits."""
    about = replace(rows.about, per_class=per_class)
    frame = rows.train.sample(fraction=1.0, shuffle=True, seed=0)
    return frame.group_by(about.target, maintain_order=True).head(per_class)


def _source(rows: sets.Rows, args: argparse.Namespace) -> str:
    if rows.about.modality == "text":
        return "embedded"
    return str(sets.find_models(args.models) / args.image_model)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("meta", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--methods", nargs="+", choices=METHODS, default=["prototypical"])
    option("--splits", type=int, default=SPLITS)
    option("--steps", type=int, default=USUAL["steps"], help="episodes learned from")
    option("--ways", type=int, default=USUAL["ways"])
    option("--shots", type=int, default=USUAL["shots"])
    option("--per-class", type=int, default=USUAL["per_class"], help="rows of a class at most")
    option("--image-model", default=USUAL["image_model"], help="the folder of the image network")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
