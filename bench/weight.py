"""Claim: metier is light where it is used: import, help, and one cold prediction.

Every measurement is a fresh process; those that are compared run in turns. The bundle is one of
metier (`--bundle`, or made here from a few rows), the pipeline a directory of `transformers` with
the same encoder and as many labels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import machine, made, options, processes, records, sets
from bench.sets import TEXT

CLAIM = "weight"
QUESTION = "Where is my card?"
IMPORT = "import time; t = time.perf_counter(); import metier; print(time.perf_counter() - t)"
PIPELINE = """
import sys
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], device="cpu")
print(classify(sys.argv[2]))
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the repeats that are asked for and have not been run."""
    args = _arguments(argv)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        commands = _commands(Path(name), args)
        for repeat in range(args.repeats):
            for what, command in commands.items():
                key = {"what": what, "repeat": repeat, "threads": args.threads}
                if records.find(records.read(CLAIM, args.results), key) is None:
                    found = _measure(what, command, args.threads)
                    records.append(CLAIM, {**key, **found}, args.threads, args.results)
                    print(f"{what} repeat {repeat}: {found['seconds']} s", flush=True)


def _measure(what: str, command: list[str], threads: int) -> records.Record:
    load = machine.load()
    cost = processes.run(command, threads)
    if cost.code != 0:
        raise SystemExit(f"{what} failed: {cost.said}")
    seconds = float(cost.answered) if what == "import metier" else cost.seconds
    return {"seconds": round(seconds, 4), "peak_mb": cost.peak_mb, "load_before": load}


def _commands(scratch: Path, args: argparse.Namespace) -> dict[str, list[str]]:
    """Return what is measured, by name."""
    rows = sets.load("banking77-10", sets.find_data(args.data), limit=args.limit)
    bundle = args.bundle or made.make_bundle(rows, scratch, args.threads)
    question = scratch / "question.csv"
    question.write_text(f"{TEXT}\n{QUESTION}\n", encoding="utf-8")
    folder = made.make_directory(rows, scratch / "directory")
    return {
        "bare python": processes.python("-c", "pass"),
        "import metier": processes.python("-c", IMPORT),
        "metier --help": processes.metier("--help"),
        "metier predict": processes.metier("predict", str(bundle), str(question)),
        "transformers pipeline": processes.python("-c", PIPELINE, str(folder), QUESTION),
    }


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("weight", __doc__)
    option = parser.add_argument
    option("--repeats", type=int, default=11)
    option("--bundle", type=Path, help="a text bundle of the embedded encoder")
    parser.set_defaults(limit=200)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
