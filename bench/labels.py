"""Claim: rows that `metier label` names are worth more than as many drawn by chance.

Frozen features of the embedded source and a linear head. From the same start, rows are asked for in
rounds: chosen as `metier label` does, by margin alone, by diversity alone, and by chance. Told is
how many chosen rows reach what chance reaches with twice the rows of the middle of the play, and
the accuracy at each size, on all test rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bench import machine, options, records, sets
from bench.sets import TEXT, Rows

CLAIM = "labels"
SETS = ("banking77", "medical_abstracts")
WAYS = ("both", "margin", "diversity", "chance")
STARTED = 2
"""Rows a class at first, and in each round."""
ROUNDS = 11


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the cells that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        rows = sets.load(name, sets.find_data(args.data), limit=args.limit)
        features = None
        for seed in args.seeds:
            for way in args.ways:
                key = {"set": name, "way": way, "seed": seed, "limit": args.limit}
                if records.find(records.read(CLAIM, args.results), key) is not None:
                    continue
                features = _features(rows) if features is None else features
                found = {**key, **_play(rows, features, way, seed)}
                records.append(CLAIM, found, args.threads, args.results)
                print(name, way, seed, found["values"][-1], flush=True)


def _features(rows: Rows) -> Any:
    """Frozen features of training and test rows, one after the other."""
    from metier.cache import Cache
    from metier.road.pace import features_of
    from metier.sources import open_source
    from metier.types import Roles, Table

    both = pl.concat([part.select(TEXT, rows.target) for part in (rows.train, rows.test)])
    table = Table(both, Roles({TEXT: "text"}, (rows.target,)))
    return features_of(open_source("embedded", "text"), table, Cache())


def _play(rows: Rows, features: Any, way: str, seed: int) -> records.Record:
    from metier.evidence.unlabelled.labelling import check_by
    from metier.tasks import named
    from metier.training.unlabelled.asking import play

    codes = {label: code for code, label in enumerate(rows.labels)}
    labels = [*rows.train[rows.target], *rows.test[rows.target]]
    targets = np.array([codes[label] for label in labels])
    step = STARTED * len(codes)
    load, began = machine.load(), time.monotonic()
    found = play(
        features,
        targets,
        named("multiclass", tuple(rows.labels), "accuracy"),
        None if way == "chance" else check_by(way),
        judged=np.arange(rows.train.height, len(targets)),
        start=step,
        step=step,
        rounds=ROUNDS,
        seed=seed,
    )
    return {
        "sizes": list(found.sizes),
        "values": [round(value, 5) for value in found.values],
        "seconds": round(time.monotonic() - began, 1),
        "load_before": load,
    }


def rows_needed(sizes: Sequence[int], values: Sequence[float], wanted: float) -> float | None:
    """Return the rows at which a curve reaches a value, between two sizes by a straight line; None
    when it never does.

    >>> rows_needed([100, 200, 300], [0.5, 0.6, 0.8], 0.7)
    250.0
    """
    best = np.maximum.accumulate(np.asarray(values))
    above = np.flatnonzero(best >= wanted)
    if not len(above):
        return None
    at = int(above[0])
    if at == 0:
        return float(sizes[0])
    share = (wanted - best[at - 1]) / max(best[at] - best[at - 1], 1e-12)
    return float(sizes[at - 1] + share * (sizes[at] - sizes[at - 1]))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("labels", __doc__)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    option("--seeds", nargs="+", type=int, default=list(range(10)))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
