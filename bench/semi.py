"""Claim: what rows without labels gain beside five labels a class, over the supervised winner.

The seed draws five rows a class; a part of the others, without their labels, is all that the
semi-supervised methods get more. The supervised winner is picked by its test accuracy, which
favours it; the gain of each method is taken row by row, averaged over seeds, and p-values are
adjusted for the methods (Holm).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench import elsewhere, machine, options, records, sets
from bench.elsewhere import Rows

CLAIM = "semi"
SETS = ("banking77", "cifar10")
IMAGE_MODEL = "mobilenet-v1-0.5-160-imagenet"
LABELS = 5
SUPERVISED = ("probe", "finetune")
RATE = {"rate": 5e-4}
"""Where the ladder begins with pictures."""


def methods(modality: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the strategies by name, with what the ladder begins with for these inputs."""
    from metier.search.wrapping import within

    own = RATE if modality == "image" else {}
    return {
        "probe": ("probe", {}),
        "finetune": ("finetune", own),
        "pseudolabel(probe)": ("pseudolabel(probe)", {}),
        "pseudolabel(finetune)": ("pseudolabel(finetune)", within(own)),
        "consistency(finetune)": ("consistency(finetune)", within(own)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the cells that are asked for and have not been measured."""
    import torch

    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        for name in args.sets:
            for seed in args.seeds:
                _set(name, seed, args, Path(scratch))


def _set(name: str, seed: int, args: argparse.Namespace, scratch: Path) -> None:
    key = {"set": name, "seed": seed, "labels": LABELS, "pool": args.pool, "limit": args.limit}
    known = records.read(CLAIM, args.results)
    rows = load(name, seed, args)
    for method, (strategy, parameters) in methods(rows.modality).items():
        if method not in args.methods:
            continue
        if records.find(known, {**key, "method": method}) is None:
            found = _measure(strategy, parameters, rows, elsewhere.run_in(scratch / "cache", seed))
            cell = {**key, "method": method, **found}
            records.append(CLAIM, cell, args.threads, args.results)
            print(json.dumps({k: v for k, v in cell.items() if k != "right"}), flush=True)


def _measure(strategy: str, parameters: Mapping[str, Any], rows: Rows, run: Any) -> records.Record:
    load_before = machine.load()
    made = elsewhere.fit(strategy, parameters, rows, rows.table(rows.labelled), run)
    test = rows.table(rows.test)
    truth = made.specialist.task.encode(test)
    right = made.specialist.scores(test, run.cache).argmax(axis=1) == truth
    return {
        "right": elsewhere.pack(right),
        "n": len(right),
        "accuracy": round(float(right.mean()), 4),
        "seconds": round(made.seconds, 1),
        "notes": dict(made.notes),
        "load_before": load_before,
    }


def load(name: str, seed: int, args: argparse.Namespace) -> Rows:
    """Return five labelled rows a class, and some of the others without labels."""
    found = sets.load(name, sets.find_data(args.data), limit=args.limit)
    frame = found.train
    order = np.random.default_rng(seed).permutation(frame.height)
    drawn = frame[order].with_row_index("place")
    labelled = drawn.group_by(found.target, maintain_order=True).head(LABELS)
    rest = drawn.filter(~pl.col("place").is_in(labelled["place"].implode()))
    image = found.about.modality == "image"
    source = str(sets.find_models(args.models) / IMAGE_MODEL) if image else "embedded"
    return Rows(
        labelled, rest.head(args.pool), found.test, found.about.modality, source, found.target
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("semi", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--seeds", nargs="+", type=int, default=[0, 1, 2])
    option("--methods", nargs="+", choices=list(methods("text")), default=list(methods("text")))
    option("--pool", type=int, default=3000, help="rows without labels")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
