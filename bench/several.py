"""Claim: of several related tasks, the chosen hybrid is never significantly worse than a network
for each task, with fewer weights in all.

`metier multitask` with its defaults on related sets; every task is learned alone and shared from
the same rows, chosen on rows that prove nothing, and proven once on test rows. `hybrid` is what was
chosen; its difference to the task's own network is paired by row, with Holm over the tasks of a
set (0 where the task's own network was chosen).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench import machine, options, records, sets

CLAIM = "several"
USUAL = {"train": 800, "test": 1000, "trials": 1}
"""What a cell is measured with when nobody says, and what records that do not say were."""


@dataclass(frozen=True)
class Related:
    """Tasks that are related: targets of one set, or one target of several."""

    name: str
    folders: tuple[str, ...]
    targets: tuple[str, ...]


SETS = {
    each.name: each
    for each in (
        Related("tickets", (), ("intent", "product", "customer_age_group")),
        Related("amazon", ("amazon_reviews_multidomain",), ("label", "domain")),
        Related("sentiment", ("sst2", "financial_phrasebank"), ("label",)),
    )
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        for seed in args.seeds:
            key = {"set": name, "seed": seed, "limit": args.limit}
            key |= {own: getattr(args, own) for own in USUAL}
            if records.find(records.read(CLAIM, args.results), key, USUAL) is None:
                load = machine.load()
                for found in measure(SETS[name], seed, args):
                    record = {**key, **found, "load_before": load}
                    records.append(CLAIM, record, args.threads, args.results)
                    print(json.dumps(record), flush=True)


def measure(about: Related, seed: int, args: argparse.Namespace) -> list[records.Record]:
    """Run the command's function once; return a record for each task."""
    import torch

    from metier import api

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        data, tests = _files(about, seed, args, Path(scratch))
        made = api.multitask(
            data,
            target=list(about.targets),
            test=tests,
            source="embedded",
            out=Path(scratch) / "run",
            trials=args.trials,
            seed=seed,
        )
    found = made.found
    own = found.parameters
    weights = {"hybrid": own.hybrid, "separate": own.separate, "together": own.together}
    seconds = round(found.seconds, 1)
    return [{**_told(task), "weights": weights, "seconds": seconds} for task in found.tasks]


def _told(task: Any) -> records.Record:
    shared = task.chosen == "shared"
    c = task.proven
    return {
        "task": task.name,
        "metric": task.metric,
        "chosen": task.chosen,
        "single": task.single.value,
        "shared": task.shared.value,
        "hybrid": task.score.value,
        "against": {"difference": c.difference, "low": c.low, "high": c.high, "p": c.p},
        "verdict": task.verdict,
        "hybrid_verdict": task.verdict if shared else "the same",
        "rows": task.rows,
        "n": c.n,
    }


def _files(
    about: Related, seed: int, args: argparse.Namespace, folder: Path
) -> tuple[list[Path], list[Path]]:
    """Write the rows that are used; a set without test rows of its own has them held out."""
    if not about.folders:
        frame = pl.read_csv(records.ROOT / "examples" / f"{about.name}.csv")
        return [_written(frame, args.limit, seed, folder / about.name / "train.csv")], []
    data: list[Path] = []
    tests: list[Path] = []
    for name in about.folders:
        place = sets.find_data(args.data) / name
        for part, most, into in (("train", args.train, data), ("test", args.test, tests)):
            frame = sets.shortened(pl.read_csv(place / f"{part}.csv", infer_schema_length=None))
            frame = frame.select(sets.TEXT, *about.targets)
            path = folder / name / f"{part}.csv"
            into.append(_written(frame, min(most, args.limit or most), seed, path))
    return data, tests


def _written(frame: pl.DataFrame, most: int | None, seed: int, path: Path) -> Path:
    """Write at most so many rows, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(frame.height)[:most]
    path.parent.mkdir(parents=True, exist_ok=True)
    frame[np.sort(order)].write_csv(path)
    return path


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("several", __doc__)
    option = parser.add_argument
    option("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    option("--seeds", nargs="+", type=int, default=[0])
    option("--train", type=int, default=USUAL["train"], help="rows of a set to learn from at most")
    option("--test", type=int, default=USUAL["test"], help="rows of a set to prove with at most")
    option("--trials", type=int, default=USUAL["trials"], help="settings of both ways")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
