"""Scores from columns: encode, batch by cost, run the graph. The one way in which a graph is run.

A bundle scores through it, and so does a finished graph before it is written as a bundle, so the
two see the same batches and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.runtime.preprocess import Columns, Example, Preprocess

Floats = NDArray[np.float32]

BATCH_COST = 4096
"""What one batch may cost after padding (tokens, for text)."""
ROWS_AT_A_TIME = {"image": 64, "histograms": 256}
ROWS_IN_A_BATCH = {"image": 16}
"""For wide inputs; others are read 4,096 rows at a time, which bounds the memory."""
OTHERS = 4096
PADDING_IN_A_BATCH = {"text": 24}
"""What filling up the shorter rows of a batch may cost (tokens); beyond it, another run of the
graph is cheaper. A run of a text network costs as much as some ten tokens, on one core or two."""
FEATURES = "representation"
"""The second output of a graph that has one: what its last layer reads, float32 (rows, width)."""
SLOWER = ("SkipLayerNormFusion",)
"""What onnxruntime joins at a loss: its parts are vectorised on a processor, the whole is not."""
NUMBERS = "numbers"
"""The input of a graph that reads numbers."""
Reads = Literal["features", "numbers"]


@dataclass(frozen=True)
class Scored:
    """Raw scores, float32 (n, outputs), NaN where a row could not be read, and why it could not.

    `unseen` has, for each column, the rows whose category is not in the vocabulary, `unread` those
    whose cell in a column of numbers or dates holds something else. `features` (n, width) are there
    when they were asked for, NaN like the scores.
    """

    scores: Floats
    reasons: dict[int, str]
    unseen: dict[str, list[int]]
    features: Floats | None = None
    unread: dict[str, list[int]] = field(default_factory=dict)


def open_session(graph: bytes, threads: int | None = None) -> Any:
    """Return an onnxruntime session of a serialised graph, on the processor.

    `threads` None lets onnxruntime choose. Raises what onnxruntime raises for a graph that it
    cannot run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Waiting threads that spin take the cores away from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER
    )


def features_read(session: Any) -> Reads | None:
    """Return where a graph has features: an output of their own, numbers that it reads, or not."""
    if any(each.name == FEATURES for each in session.get_outputs()):
        return "features"
    return "numbers" if [each.name for each in session.get_inputs()] == [NUMBERS] else None


def score(
    preprocess: Preprocess,
    session: Any,
    outputs: int,
    columns: Columns,
    reads: Reads | None = None,
) -> Scored:
    """Return the scores of rows given as columns.

    Args:
        preprocess: from columns to the inputs of the graph.
        session: the graph, with an output `scores`.
        outputs: columns of the scores.
        columns: every input column.
        reads: where features are to be taken from as well, as `features_read` tells.
    """
    count = len(next(iter(columns.values()), ()))
    spec = preprocess.spec()
    scores = np.full((count, outputs), np.nan, dtype=np.float32)
    reasons: dict[int, str] = {}
    unseen: dict[str, list[int]] = {}
    unread: dict[str, list[int]] = {}
    features: Floats | None = None
    wanted = ["scores", FEATURES] if reads == "features" else ["scores"]
    size, bounds = _least(ROWS_AT_A_TIME, spec), _bounds(spec)
    for start in range(0, count, size):
        part = {name: columns[name][start : start + size] for name in columns}
        encoded = preprocess.encode(part)
        reasons.update({start + row: reason for row, reason in encoded.reasons.items()})
        for whole, noted in ((unseen, encoded.unseen), (unread, encoded.unread)):
            for name, places in noted.items():
                whole.setdefault(name, []).extend(start + place for place in places)
        for batch in _batches(preprocess, encoded.examples, bounds):
            examples = [example for row in batch if (example := encoded.examples[row])]
            arrays = preprocess.collate(examples)
            found = session.run(wanted, arrays)
            rows = [start + row for row in batch]
            scores[rows] = np.asarray(found[0], dtype=np.float32)
            if reads is not None:
                own = found[1] if reads == "features" else arrays[NUMBERS]
                if features is None:
                    features = np.full((count, own.shape[1]), np.nan, dtype=np.float32)
                features[rows] = own
    return Scored(scores, reasons, unseen, features, unread)


@dataclass(frozen=True)
class _Bounds:
    """How many rows a batch may have, and how much padding."""

    rows: int
    padding: int


def _bounds(spec: Any) -> _Bounds:
    return _Bounds(_least(ROWS_IN_A_BATCH, spec), _least(PADDING_IN_A_BATCH, spec))


def _batches(
    preprocess: Preprocess, examples: Sequence[Example | None], bounds: _Bounds
) -> Iterator[list[int]]:
    """Rows of like cost together, so that little is padded."""
    costs = {i: preprocess.cost(e) for i, e in enumerate(examples) if e is not None}
    batch: list[int] = []
    padding = 0
    for row in sorted(costs, key=lambda row: costs[row]):
        longer = len(batch) * (costs[row] - costs[batch[-1]]) if batch else 0
        if batch and (
            len(batch) == bounds.rows
            or padding + longer > bounds.padding
            or (len(batch) + 1) * costs[row] > BATCH_COST
        ):
            yield batch
            batch, padding, longer = [], 0, 0
        batch.append(row)
        padding += longer
    if batch:
        yield batch


def _least(limits: dict[str, int], spec: Any) -> int:
    """The smallest limit among the parts of a preprocessing."""
    return min(limits.get(part["kind"], OTHERS) for part in (spec, *spec.get("parts", ())))
