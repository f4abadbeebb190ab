"""Ranges for rounding: what the values inside a graph are on calibration rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from metier.deploy.rewriting import copy_of
from metier.runtime.preprocess import Arrays
from metier.runtime.scoring import open_session

LEVELS = 255
KEPT = 4096
"""Numbers kept of each value and batch; the ends of its range are those of all numbers."""
AT_ONCE = 32
"""Values asked for in one pass, which bounds the memory."""
SHRINKS = np.linspace(1.0, 0.3, 24)
"""Shares of the full range that are tried for each end."""


@dataclass
class _Seen:
    """What was seen of one value."""

    low: float
    high: float
    kept: list[NDArray[np.float32]]


def best_ranges(
    graph: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Arrays], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return for each named value the range in which rounding to 8 bits loses least.

    The widest range keeps a few extreme numbers and rounds all others coarsely. The one taken has
    the least mean squared error on a sample (Banner et al., 2019, without their assumption of how
    numbers are spread). It always holds 0, which padding and ReLU need exactly.

    Args:
        graph: a graph of floats.
        names: values inside it, or inputs.
        feeds: batches of named inputs; at least one.
        seed: of the sample.
    """
    seen = _observe(graph, names, feeds, seed)
    return {
        name: _best(np.concatenate(each.kept), each.low, each.high) for name, each in seen.items()
    }


def _observe(
    graph: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Arrays], seed: int
) -> Mapping[str, _Seen]:
    random = np.random.default_rng(seed)
    seen: dict[str, _Seen] = {}
    for name, values in values_of(graph, names, feeds):
        numbers = np.ravel(values)
        low, high = float(numbers.min(initial=0.0)), float(numbers.max(initial=0.0))
        if len(numbers) > KEPT:
            numbers = random.choice(numbers, KEPT, replace=False)
        found = seen.setdefault(name, _Seen(low, high, []))
        found.low, found.high = min(found.low, low), max(found.high, high)
        found.kept.append(numbers)
    return seen


def values_of(
    graph: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Arrays]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield every named value of every batch, with its name."""
    given = {each.name for each in graph.graph.input}
    inside = [name for name in names if name not in given]
    for arrays in feeds:
        yield from ((name, arrays[name]) for name in names if name in given)
    for start in range(0, len(inside), AT_ONCE):
        some = inside[start : start + AT_ONCE]
        session = open_session(_asked_for(graph, some).SerializeToString())
        for arrays in feeds:
            yield from zip(some, session.run(some, arrays), strict=True)


def _asked_for(graph: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    asked = copy_of(graph)
    out = {each.name for each in asked.graph.output}
    asked.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in out
    )
    return asked


def _best(values: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Search the ends one after the other, twice."""
    best = (_error(values, low, high), low, high)
    for _ in range(2):
        for share in SHRINKS:
            for ends in ((best[1], high * share), (low * share, best[2])):
                best = min(best, (_error(values, *ends), *ends))
    return best[1], best[2]


def _error(values: NDArray[np.float32], low: float, high: float) -> float:
    scale = (high - low) / LEVELS
    if scale <= 0.0:
        return float(np.square(values).mean()) if len(values) else 0.0
    zero = np.rint(-low / scale)
    rounded = np.clip(np.rint(values / scale) + zero, 0, LEVELS)
    return float(np.square((rounded - zero) * scale - values).mean())
