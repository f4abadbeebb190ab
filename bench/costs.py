"""Claim: what each strategy costs, as a multiple of fine-tuning.

Every registered strategy that fits texts, with its defaults, on the same few rows of banking77,
each with a cache of its own. In every repeat fine-tuning and the strategies take turns in one
process; the ratio is the median over repeats. What goes on from a specialist is timed from a
fine-tuned one on. A strategy that cannot be fitted to these rows is listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import polars as pl

from bench import machine, options, records, sets

CLAIM = "costs"
USUAL = "finetune"
SIDE = "side"


def main(argv: Sequence[str] | None = None) -> None:
    """Time the strategies that are asked for and have not been timed."""
    args = _arguments(argv)
    import torch

    from metier.registry import find, names

    torch.set_num_threads(args.threads)
    rows = _rows(args)
    asked = args.strategies or names("strategies")
    _timed("probe", rows)  # what is loaded once is nobody's cost
    for repeat in range(args.repeats):
        for name in (USUAL, *(each for each in asked if each != USUAL)):
            if "text" not in find("strategies", name).modalities:
                continue
            key = {"strategy": name, "repeat": repeat, "rows": args.rows, "classes": args.classes}
            if records.find(records.read(CLAIM, args.results), key) is None:
                record = {**key, **_timed(name, rows), "load_before": machine.load()}
                records.append(CLAIM, record, args.threads, args.results)
                print(json.dumps(record), flush=True)


def _timed(name: str, rows: tuple[Any, Any, Any]) -> records.Record:
    """Fit once; say how long it took, or why it cannot be."""
    from metier.cache import Cache
    from metier.errors import MetierError
    from metier.registry import find
    from metier.sources import open_source
    from metier.types import Problem, Run, Specialist

    task, train, unlabeled = rows
    kind = find("strategies", name)
    own = {each.name for each in fields(kind)}
    strategy = kind(**({"unlabeled": unlabeled} if "unlabeled" in own else {}))
    start, problem = Specialist(open_source("embedded", "text"), task), Problem(task, train)
    fits = "source" in strategy.accepts
    try:
        if not fits:
            start = find("strategies", USUAL)()(start, problem, Run(Cache()))
        began = time.perf_counter()
        strategy(start, problem, Run(Cache()))
    except MetierError as error:
        return {"reason": " ".join(str(error).split())}
    return {"seconds": round(time.perf_counter() - began, 3), "from": "" if fits else USUAL}


def _rows(args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The task, the labelled rows and as many without labels, of some classes of banking77."""
    from metier.tasks import build
    from metier.types import Roles, Table

    found = sets.load("banking77", sets.find_data(args.data))
    labels = found.labels[: args.classes]
    frame = found.train.filter(found.train[found.target].is_in(labels))
    frame = frame[np.random.default_rng(0).permutation(frame.height)]
    each = max(1, args.rows // args.classes)
    own = frame.group_by(found.target, maintain_order=True).head(each)
    # Two sides that nobody asked about, for strategies that are fair to somebody.
    sides = np.random.default_rng(1).choice(["a", "b"], own.height)
    own = own.with_columns(pl.Series(SIDE, sides))
    table = Table(own, Roles({sets.TEXT: "text"}, (found.target,), sensitive=(SIDE,)))
    rest = frame.join(own, on=sets.TEXT, how="anti").head(args.rows).select(sets.TEXT)
    unlabeled = Table(rest, Roles({sets.TEXT: "text"}))
    return build("multiclass", table), table, unlabeled


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("costs", __doc__, limit=False)
    option = parser.add_argument
    option("--strategies", nargs="+", help="these only")
    option("--repeats", type=int, default=3)
    option("--rows", type=int, default=300)
    option("--classes", type=int, default=10)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
