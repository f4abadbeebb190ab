"""The options of every script: where data and results are, and how many threads it may use."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import machine, records


def parser(
    script: str,
    about: str | None,
    *,
    models: bool = False,
    limit: bool = True,
    threads: int | None = None,
) -> argparse.ArgumentParser:
    """Return the parser of `python -m bench.SCRIPT`, to which a script adds what is its own.

    Args:
        models: whether the script needs image networks.
        limit: whether the script can be checked on a few rows.
        threads: how many threads are usual; all cores when nobody says.
    """
    made = argparse.ArgumentParser(prog=f"python -m bench.{script}", description=about)
    option = made.add_argument
    if limit:
        option("--limit", type=int, help="few rows, to check the script: its figures mean nothing")
    option("--threads", type=int, default=threads or machine.cores())
    option("--data", type=Path, help="the folder of the data sets")
    if models:
        option("--models", type=Path, help="the folder of the image models")
    option("--results", type=Path, default=records.RESULTS, help="where results are kept")
    return made
