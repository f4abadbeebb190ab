"""Running a command in a process of its own, and what it cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.records import ROOT


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
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(threads),
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        alarm = threading.Timer(timeout or threading.TIMEOUT_MAX, kill, [process])
        alarm.daemon = True
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            kill(process)
            raise
        finally:
            alarm.cancel()
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Cost(
            seconds,
            _megabytes(usage.ru_maxrss),
            process.returncode,
            err.read()[-4000:].decode(errors="replace"),
            out.read().decode(errors="replace"),
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children at once, as `kill -9` does."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def _megabytes(peak: int) -> float:
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
