"""What a specialist costs to use, measured on this machine, and what it cost to make."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from scipy.special import bdtrik

from metier.evidence.answers import Array
from metier.evidence.operations import multiply_adds, parameters
from metier.evidence.words import number, whole
from metier.runtime.manifest import GRAPH
from metier.runtime.session import Bundle, load
from metier.types import Finding

Columns = Mapping[str, Sequence[Any]]

WARM_UP = 3
FEWEST, MOST = 10, 500
"""How often the time of one row is taken."""
ROWS = 256
"""At most this many rows are used for measuring."""
SECONDS = 2.0


def measure_cost(
    folder: Path,
    columns: Columns,
    *,
    weights: int | None = None,
    training_seconds: float | None = None,
    seconds: float = SECONDS,
) -> list[Finding]:
    """Measure what predicting with a bundle costs.

    Args:
        folder: the bundle.
        columns: typical rows, as `Bundle.scores` takes them; at least one.
        weights: the number of parameters, when the caller knows better than the graph.
        training_seconds: how long making the specialist took.
        seconds: about how long latency and throughput may be measured each.

    Returns:
        Findings `parameters`, `multiply_adds`, `size`, `latency`, `throughput`, `peak_memory` and
        `training_seconds`, as far as they can be told, with `details["unit"]`. `latency` is the
        median for one row at a time, with its interval and `details["p95"]`.
    """
    some = {name: list(values[:ROWS]) for name, values in columns.items()}
    bundle = load(folder)
    graph = onnx.load(str(folder / GRAPH))
    found = [_parameters(parameters(graph) if weights is None else weights)]
    found += _multiply_adds(bundle, graph, some)
    found += [
        _size(folder),
        latency(bundle.scores, some, seconds),
        throughput(bundle.scores, some, seconds),
    ]
    peak = peak_memory(folder, some)
    if peak is not None:
        found.append(_finding("peak_memory", peak, "bytes", _PEAK))
    if training_seconds is not None:
        text = f"making it took {number(training_seconds)} seconds"
        found.append(_finding("training_seconds", training_seconds, "seconds", text))
    return found


_PEAK = "the most memory that a fresh process took to load the bundle and answer these rows"


def latency(
    answer: Callable[[Columns], object], columns: Columns, seconds: float = SECONDS
) -> Finding:
    """Return how long one row takes: the median of single rows, in seconds, with its interval."""
    rows = _length(columns)
    single = [_part(columns, row, row + 1) for row in range(rows)]
    for row in range(WARM_UP):
        answer(single[row % rows])
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < FEWEST or (len(taken) < MOST and time.perf_counter() < end):
        start = time.perf_counter()
        answer(single[len(taken) % rows])
        taken.append(time.perf_counter() - start)
    times = np.sort(np.array(taken))
    median, p95 = float(np.median(times)), float(np.quantile(times, 0.95))
    low, high = _median_interval(times)
    text = (
        f"one row takes {_milliseconds(median)} (median of {whole(len(times))} single rows, "
        f"95 % interval {_milliseconds(low)} to {_milliseconds(high)}); "
        f"95 of 100 take at most {_milliseconds(p95)}"
    )
    details = {"unit": "seconds", "p95": p95, "level": 0.95}
    return Finding("latency", text, median, low, high, len(times), details=details)


def throughput(
    answer: Callable[[Columns], object], columns: Columns, seconds: float = SECONDS
) -> Finding:
    """Return how many rows a second are answered when they come together; the best of the runs.

    The best, because what else runs on the machine only ever takes away.
    """
    rows = _length(columns)
    best, runs = 0.0, 0
    end = time.perf_counter() + seconds
    while runs < 2 or (runs < MOST and time.perf_counter() < end):
        start = time.perf_counter()
        answer(columns)
        best = max(best, rows / max(time.perf_counter() - start, 1e-9))
        runs += 1
    text = f"{number(best)} rows a second when {whole(rows)} come together (best of {runs} runs)"
    return Finding("throughput", text, best, n=rows, details={"unit": "per second", "runs": runs})


_PREDICT = (
    "import json, sys, pathlib; from metier.runtime.session import load; "
    "load(pathlib.Path(sys.argv[1])).scores(json.load(sys.stdin)); "
    "status = pathlib.Path('/proc/self/status'); "
    "print(status.read_text() if status.exists() else '')"
)
"""What the process says of itself: its parent's memory counts into what `wait4` tells of it."""


def peak_memory(folder: Path, columns: Columns) -> int | None:
    """Return the most memory, in bytes, that a fresh process predicting with a bundle held.

    None where the system does not tell (it is read from Linux's `/proc`), or the process fails.
    """
    source = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", _PREDICT, str(folder)],
        input=json.dumps(columns, default=str).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, _python_path()]))},
        check=False,
    )
    found = re.search(rb"VmHWM:\s*(\d+) kB", done.stdout)
    return int(found[1]) * 1024 if done.returncode == 0 and found else None


def _python_path() -> str:
    return os.environ.get("PYTHONPATH", "")


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _size(folder: Path) -> Finding:
    return _finding("size", size_of(folder), "bytes", "the bundle, with all that predicting needs")


def _parameters(count: int) -> Finding:
    return _finding("parameters", count, "count", f"{whole(count)} parameters")


def _multiply_adds(bundle: Bundle, graph: onnx.ModelProto, columns: Columns) -> list[Finding]:
    """Return the multiply-adds of a row of middling cost, or nothing when no row can be read."""
    examples = [each for each in bundle.preprocess.encode(columns).examples if each is not None]
    if not examples:
        return []
    typical = sorted(examples, key=bundle.preprocess.cost)[len(examples) // 2]
    count = multiply_adds(graph, bundle.preprocess.collate([typical]))
    text = f"{whole(count)} multiply-adds for a typical row"
    return [_finding("multiply_adds", count, "count", text)]


def _finding(name: str, value: float, unit: str, text: str) -> Finding:
    return Finding(name, text, float(value), details={"unit": unit})


def _median_interval(times: Array) -> tuple[float, float]:
    """Return the 95 % interval of a median from the order of the values alone."""
    n = len(times)
    rank = int(bdtrik(0.025, n, 0.5)) if n > 5 else 0
    rank = min(max(rank, 0), (n - 1) // 2)
    return float(times[rank]), float(times[n - 1 - rank])


def _milliseconds(seconds: float) -> str:
    return f"{number(1000 * seconds)} ms"


def _part(columns: Columns, start: int, stop: int) -> Columns:
    return {name: values[start:stop] for name, values in columns.items()}


def _length(columns: Columns) -> int:
    rows = len(next(iter(columns.values()), ()))
    if not rows:
        raise ValueError("at least one row is needed to measure what a row costs")
    return rows
