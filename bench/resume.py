"""Claim: killed at any moment and resumed, a run ends in the predictions of an uninterrupted one.

First a run with `--trials` that nobody disturbs; then rounds in which the same command is killed
(SIGKILL, with its children) at random moments and started again with `--resume` until it is done.
Each round is compared with the first run: every probability of every test row.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import options, processes, records, sets
from bench.peers import Settings
from bench.peers.own import source_words

CLAIM = "resume"
PATIENCE = 5
"""A resumed run that takes this many times the undisturbed one has failed."""


@dataclass(frozen=True)
class Undisturbed:
    """The run to compare with: its command but for the folder, what it took, what it answered."""

    words: list[str]
    seconds: float
    answers: np.ndarray


def main(argv: Sequence[str] | None = None) -> None:
    """Run the rounds that are asked for and have not been run."""
    args = _arguments(argv)
    rounds = -(-args.kills // args.kills_a_round)
    keys = [_key(number, args) for number in range(rounds)]
    done = records.read(CLAIM, args.results)
    missing = [key for key in keys if records.find(done, key) is None]
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        scratch = Path(name)
        rows = sets.load(args.set, sets.find_data(args.data), args.seed, args.limit)
        undisturbed = _undisturbed(rows, scratch, args)
        print(f"undisturbed: {undisturbed.seconds:.1f} s", flush=True)
        for key in missing:
            found = _round(key["round"], undisturbed, rows, scratch, args)
            records.append(CLAIM, {**key, **found}, args.threads, args.results)
            told = found.get("error") or ("equal" if found["equal"] else "NOT EQUAL")
            print(f"round {key['round']}: {len(found['kills'])} kills, {told}", flush=True)


def _key(number: int, args: argparse.Namespace) -> dict[str, Any]:
    names = ("set", "trials", "seed", "limit", "kills_a_round")
    return {"round": number, **{name: getattr(args, name) for name in names}}


def _undisturbed(rows: sets.Rows, scratch: Path, args: argparse.Namespace) -> Undisturbed:
    models = sets.find_models(args.models) if rows.about.modality == "image" else None
    settings = Settings(args.seed, args.threads, scratch, models)
    train, test = sets.write(rows, scratch / "data")
    words = ["specialize", str(train), "--target", rows.target, "--test", str(test)]
    words += [*source_words(rows, settings), "--trials", str(args.trials)]
    words += ["--seed", str(args.seed)]
    out = scratch / "undisturbed"
    cost = processes.run(processes.metier(*words, "--out", str(out)), args.threads)
    if cost.code != 0:
        raise SystemExit(f"the undisturbed run failed: {cost.said}")
    return Undisturbed(words, cost.seconds, _answers(out, rows))


def _round(
    number: int,
    undisturbed: Undisturbed,
    rows: sets.Rows,
    scratch: Path,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Kill, resume, and compare. A run that ends before its moment comes is not killed."""
    out = scratch / f"round-{number}"
    random = np.random.default_rng((args.seed, number))
    command = processes.metier(*undisturbed.words, "--out", str(out), "--resume")
    kills: list[float] = []
    for _ in range(args.kills_a_round):
        moment = float(random.uniform(0.0, undisturbed.seconds))
        if not _killed(command, moment, scratch, args.threads):
            break
        kills.append(round(moment, 3))
    limit = PATIENCE * undisturbed.seconds + 60
    cost = processes.run(command, args.threads, timeout=limit)
    found: dict[str, Any] = {"kills": kills, "last_seconds": round(cost.seconds, 2)}
    found["undisturbed_seconds"] = round(undisturbed.seconds, 2)
    if cost.code != 0:
        lines = [line for line in cost.said.splitlines() if line.strip()]
        told = lines[-1] if lines else f"exit code {cost.code}"
        return {**found, "equal": False, "error": told.replace(str(scratch), "SCRATCH")[:300]}
    answers = _answers(out, rows)
    shutil.rmtree(out)
    same = answers.shape == undisturbed.answers.shape
    largest = float(np.nanmax(np.abs(answers - undisturbed.answers))) if same else None
    equal = np.array_equal(answers, undisturbed.answers, equal_nan=True)
    return {**found, "equal": equal, "largest_difference": largest}


def _killed(command: list[str], moment: float, folder: Path, threads: int) -> bool:
    """Start a command and kill it at a moment; False when it had ended by itself."""
    process = processes.start([], command, threads, folder)
    began = time.monotonic()
    try:
        process.wait(max(0.0, moment - (time.monotonic() - began)))
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        processes.kill(process)


def _answers(run: Path, rows: sets.Rows) -> np.ndarray:
    """Return the probabilities of the test rows, or their values in a regression."""
    import metier

    bundle = metier.load(run)
    found = bundle.predict(rows.test.select(rows.inputs))
    if found.probabilities is not None:
        return found.probabilities
    return np.asarray(found.answers, dtype=np.float64)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("resume", __doc__, models=True)
    option = parser.add_argument
    option("--set", choices=list(sets.SETS), default="banking77-10")
    option("--trials", type=int, default=6)
    option("--kills", type=int, default=20)
    option("--kills-a-round", type=int, default=2, help="kills before a run is left to end")
    option("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
