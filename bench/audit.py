"""Claim: an audit of 10,000 rows of a table takes a minute at most, of 1,000 texts three.

The command line in a process of its own, on a specialist that was made before the clock starts.
The rows are the test rows of a set, drawn with replacement until they are as many: what is timed
does not depend on whether rows repeat; what the page says of such rows is not to be read.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench import machine, options, processes, records, sets

CLAIM = "audit"


@dataclass(frozen=True)
class Case:
    """A set, how many of its rows are audited, the strategy, and whose groups are compared."""

    set: str
    rows: int
    strategy: str
    sensitive: tuple[str, ...] = ()


CASES = (Case("adult_income", 10_000, "boost", ("sex", "race")), Case("sst2", 1_000, "finetune"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cases that have not been run."""
    args = _arguments(argv)
    for case in CASES:
        for repeat in range(args.repeats):
            key = {"set": case.set, "rows": case.rows, "repeat": repeat, "limit": args.limit}
            key["threads"] = args.threads
            if records.find(records.read(CLAIM, args.results), key) is None:
                found = _measure(case, args)
                records.append(CLAIM, {**key, **found}, args.threads, args.results)
                print(f"{case.set}, {case.rows} rows: {found['seconds']} s", flush=True)


def _measure(case: Case, args: argparse.Namespace) -> records.Record:
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        scratch = Path(name)
        rows = sets.load(case.set, sets.find_data(args.data), limit=args.limit)
        train, test = sets.write(rows, scratch / "data")
        run, audited = scratch / "run", scratch / "audited.csv"
        sample = pl.read_csv(test, infer_schema_length=None)
        count = args.limit or case.rows
        sample.sample(count, with_replacement=True, seed=0).write_csv(audited)
        words = ["specialize", str(train), "--target", rows.target, "--test", str(test)]
        words += ["--strategy", case.strategy, "--trials", "1", "--out", str(run)]
        words += _named(case)
        made = processes.run(processes.metier(*words), args.threads)
        if made.code != 0:
            raise SystemExit(f"making a bundle failed: {made.said}")
        words = ["audit", str(run), str(audited), "--out", str(scratch / "a.html"), "--json"]
        load = machine.load()
        cost = processes.run(processes.metier(*words, *_named(case)), args.threads)
        if cost.code != 0:
            raise SystemExit(f"the audit failed: {cost.said}")
        told = json.loads(cost.answered.strip().splitlines()[-1])
        facts = {"findings": len(told["findings"]), "load_before": load}
        return {"seconds": round(cost.seconds, 2), "peak_mb": cost.peak_mb, **facts}


def _named(case: Case) -> list[str]:
    return [word for name in case.sensitive for word in ("--sensitive", name)]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("audit", __doc__)
    option = parser.add_argument
    option("--repeats", type=int, default=3)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
