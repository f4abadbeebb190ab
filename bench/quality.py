"""Claim: within the Trainer's own wall-clock, metier is at least as good as the best peer.

Same rows, same source, same machine; each cell in a process of its own; test predictions are kept,
so that methods are compared row by row. metier gets as budget the median seconds of the Trainer on
that set (at least 60; 60 for tables), `metier-half` half of those of the best peer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

from bench import cell, options, records
from bench.peers import BUDGETED, METHODS, OURS
from bench.records import Record
from bench.sets import SETS, find_data, find_models

CLAIM = "quality"
LEAST = 60.0
"""Seconds that metier gets at least."""
LEAST_HALF = 5.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that are asked for and have not been run."""
    args = _arguments(argv)
    data = find_data(args.data)
    needs_models = any(SETS[name].modality == "image" for name in args.sets)
    models = find_models(args.models) if needs_models else None
    place = cell.Place(data, models, args.results, args.threads, args.timeout)
    for name in args.sets:
        for method in _ordered(args.methods):
            if METHODS[method].suits(SETS[name]):
                for seed in args.seeds:
                    _measure(cell.Cell(name, method, seed, args.limit), args, place)


def peers_of(
    name: str, limit: int | None = None, folder: Path = records.RESULTS
) -> dict[str, list[Record]]:
    """Return the finished cells of each peer on a set, metier's own left out."""
    found: dict[str, list[Record]] = {}
    for record in records.read(CLAIM, folder):
        own = record["method"] in OURS
        if record["set"] == name and record["limit"] == limit and not own and "score" in record:
            found.setdefault(record["method"], []).append(record)
    return found


def best_of(found: dict[str, list[Record]]) -> str:
    """Return the method with the best mean score."""
    sign = -1.0 if next(iter(found.values()))[0]["metric"] == "rmse" else 1.0
    return max(found, key=lambda method: sign * mean(r["score"] for r in found[method]))


def budget_for(planned: cell.Cell, asked: float | None, folder: Path) -> float | None:
    """Return the seconds a method may take on a set; None for one that takes what it takes.

    Raises SystemExit when the peers that decide it have not been measured.
    """
    name, method = planned.set, planned.method
    if method not in BUDGETED:
        return None
    if asked is not None or method not in OURS:
        return asked or LEAST
    found = peers_of(name, planned.limit, folder)
    if method == "metier-half":
        if not found:
            raise SystemExit(f"{name}: measure the peers first, or give --budget")
        return max(LEAST_HALF, round(_seconds(found[best_of(found)]) / 2, 1))
    if SETS[name].modality == "tabular":
        return LEAST
    if "trainer" not in found:
        raise SystemExit(f"{name}: measure the method trainer first, or give --budget")
    return max(LEAST, round(_seconds(found["trainer"])))


def _seconds(found: Sequence[Record]) -> float:
    return float(median(each["seconds"] for each in found))


def _ordered(methods: Sequence[str]) -> list[str]:
    """Peers first: the budget of metier comes from them."""
    return sorted(methods, key=list(METHODS).index)


def _measure(planned: cell.Cell, args: argparse.Namespace, place: cell.Place) -> None:
    known = records.find(records.read(CLAIM, place.results), planned.key)
    if known is not None and not (args.retry and "error" in known):
        return
    budget = budget_for(planned, args.budget, place.results)
    found = cell.run(replace(planned, budget=budget), place)
    if known is not None:
        records.remove(CLAIM, planned.key, place.results)
    records.append(CLAIM, found, place.threads, place.results)
    told = (
        found.get("error") or f"{found['metric']} {found['score']:.4f} in {found['seconds']:.1f} s"
    )
    head = f"{planned.set} {planned.method} seed {planned.seed}"
    print(f"{head}: {told}, {found['peak_mb']:.0f} MB", flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("quality", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    option("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    option("--seeds", nargs="+", type=int, default=[0, 1, 2])
    option("--budget", type=float, help="seconds for the methods that take a budget")
    option("--retry", action="store_true", help="run cells again that ended in an error")
    option("--timeout", type=float, default=3600.0, help="seconds after which a cell is killed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
