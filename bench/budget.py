"""Claim: a budget bounds the wall-clock of everything; at most 5 % over for a minute or more.

The command line is timed from the start of its process to its end, imports and report included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, options, processes, records, sets
from bench.peers import Settings
from bench.peers.own import source_words

CLAIM = "budget"
USUAL = ("banking77-10", "sst2", "adult_income", "trash_photos")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that are asked for and have not been run."""
    args = _arguments(argv)
    for name in args.sets:
        for minutes in args.minutes:
            for seed in args.seeds:
                key = {"set": name, "minutes": minutes, "seed": seed, "limit": args.limit}
                if records.find(records.read(CLAIM, args.results), key) is None:
                    found = {**key, **_measure(name, minutes * 60.0, seed, args)}
                    records.append(CLAIM, found, args.threads, args.results)
                    told = found.get("error") or f"{found['overrun_percent']:+.1f} %"
                    print(f"{name} {minutes:g} min seed {seed}: {told}", flush=True)


def _measure(name: str, budget: float, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    rows = sets.load(name, sets.find_data(args.data), seed, args.limit)
    models = sets.find_models(args.models) if rows.about.modality == "image" else None
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        settings = Settings(seed, args.threads, Path(scratch), models)
        train, test = sets.write(rows, Path(scratch) / "data")
        words = ["specialize", str(train), "--target", rows.target, "--test", str(test)]
        words += [*source_words(rows, settings), "--budget", f"{budget:g}s", "--seed", str(seed)]
        words += ["--out", str(Path(scratch) / "run"), "--json"]
        cost = processes.run(processes.metier(*words), args.threads, timeout=3 * budget + 600)
    found = {
        "budget": budget,
        "seconds": round(cost.seconds, 2),
        "overrun_percent": round(100 * (cost.seconds / budget - 1), 2),
        "peak_mb": cost.peak_mb,
        "load_before": load,
    }
    if cost.code != 0:
        lines = [line for line in cost.said.splitlines() if line.strip()]
        told = lines[-1] if lines else f"exit code {cost.code}"
        return {**found, "error": told.replace(scratch, "SCRATCH")[:300]}
    answer = json.loads(cost.answered.splitlines()[-1])
    return {**found, "strategy": answer["strategy"], "test": answer["test"]}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("budget", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=list(sets.SETS), default=list(USUAL))
    option("--minutes", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    option("--seeds", nargs="+", type=int, default=[0])
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
