"""Running a command in a process of its own, and what it cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.records import ROOT

LAUNCHER = ROOT / "bench" / "launch.py"


@dataclass(frozen=True)
class Cost:
    """What a process took: wall-clock seconds, peak resident memory, and how it ended."""

    seconds: float
    peak_mb: float
    code: int
    said: str
    """The end of its standard error."""
    answered: str
    """Its standard output."""


def python(*words: str) -> list[str]:
    """Return the command that runs this Python."""
    return [sys.executable, *words]


def metier(*words: str) -> list[str]:
    """Return the command line of metier, as its console script runs it."""
    script = "import sys; from metier.cli import main; sys.exit(main())"
    return python("-c", script, *words)


def environment(threads: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a measured process: so many threads, no network."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",
        **(more or {}),
    }


def run(command: Sequence[str], threads: int, timeout: float | None = None) -> Cost:
    """Run a command to its end, or kill it with its children after `timeout` seconds."""
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        folder = Path(name)
        began = time.perf_counter()
        with start([str(folder / "report")], command, threads, folder) as process:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                kill(process)
            except KeyboardInterrupt:
                kill(process)
                raise
        seconds = time.perf_counter() - began
        said = (folder / "said").read_text(encoding="utf-8", errors="replace")[-4000:]
        answered = (folder / "answered").read_text(encoding="utf-8", errors="replace")
        if not (folder / "report").exists():
            return Cost(seconds, 0.0, -signal.SIGKILL, said, answered)
        taken, peak, code = (folder / "report").read_text().split()
        return Cost(float(taken), _megabytes(int(peak)), int(code), said, answered)


def start(
    report: Sequence[str], command: Sequence[str], threads: int, folder: Path
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, its output in files of a folder.

    With the path of a report, a small process starts it that writes there what it took.
    """
    launcher = python("-I", "-S", str(LAUNCHER), *report) if report else []
    with (folder / "answered").open("wb") as out, (folder / "said").open("wb") as err:
        return subprocess.Popen(
            [*launcher, *command],
            cwd=ROOT,
            env=environment(threads),
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children at once, as `kill -9` does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _megabytes(peak: int) -> float:
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
