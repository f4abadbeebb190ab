"""`python -m bench`: a short part of every claim, then the table of the README.

What has been measured before is not measured again. bench/README.md says how to run all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from bench import budget, quality, resume, speed, table, weight

QUICK_SETS = ("banking77-10", "german_credit", "pima_diabetes")
SHORT: tuple[tuple[Callable[[Sequence[str]], object], tuple[str, ...]], ...] = (
    (weight.main, ("--repeats", "5")),
    (speed.main, ("--rows", "1000", "--repeats", "3")),
    (quality.main, ("--sets", *QUICK_SETS, "--seeds", "0")),
    (budget.main, ("--sets", "pima_diabetes", "--minutes", "1")),
    (resume.main, ("--set", "pima_diabetes", "--trials", "3", "--kills", "4")),
    (table.main, ("--write",)),
)


def main() -> None:
    """Run the short part of every claim."""
    for run, words in SHORT:
        print(f"{run.__module__} {' '.join(words)}", flush=True)
        run(words)


if __name__ == "__main__":
    sys.exit(main())
