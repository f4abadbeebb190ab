"""`python -m bench`: a short part of every claim, then the table of the README.

What has been measured is not measured again: with `--results DIR` everything is measured anew into
another folder, and the tables are printed. bench/README.md says how to run all of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import budget, quality, records, resume, speed, table, weight

TEXT_METHODS = ("tfidf+lr", "frozen+lr", "trainer", "metier", "metier-half")
SHORT: tuple[tuple[Callable[[Sequence[str]], object], tuple[str, ...]], ...] = (
    (weight.main, ("--repeats", "5")),
    (speed.main, ("--rows", "1000", "--repeats", "3")),
    (quality.main, ("--sets", "banking77-10", "--methods", *TEXT_METHODS, "--seeds", "0")),
    (quality.main, ("--sets", "german_credit", "pima_diabetes", "--seeds", "0")),
    (budget.main, ("--sets", "pima_diabetes", "--minutes", "1")),
    (resume.main, ("--set", "pima_diabetes", "--trials", "3", "--kills", "4")),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the short part of every claim."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--results", type=Path, default=records.RESULTS)
    args = parser.parse_args(argv)
    for run, words in SHORT:
        print(f"{run.__module__} {' '.join(words)}", flush=True)
        run([*words, "--results", str(args.results)])
    writes = ["--write"] if args.results == records.RESULTS else []
    return table.main(["--results", str(args.results), *writes])


if __name__ == "__main__":
    sys.exit(main())
