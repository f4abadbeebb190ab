"""Predicting with a bundle: numpy, onnxruntime and what the preprocessing needs, nothing else.

>>> import metier
>>> bundle = metier.load("runs/tickets")  # doctest: +SKIP
>>> bundle.predict(["my invoice is wrong"]).answers  # doctest: +SKIP
['billing']
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import BundleError
from metier.runtime.graphs import reads_other_files
from metier.runtime.manifest import GRAPH, NAME, Manifest, read_manifest, verify
from metier.runtime.postprocess import Answer, TaskKind
from metier.runtime.preprocess import Columns, Example, Preprocess, restore
from metier.runtime.rows import to_rows

Floats = NDArray[np.float32]

BATCH_COST = 4096
"""What one batch may cost after padding (tokens, for text)."""
ROWS_AT_A_TIME = {"image": 64, "histograms": 256}
ROWS_IN_A_BATCH = {"image": 16}
"""For wide inputs; others are read 4,096 rows at a time, which bounds the memory."""
OTHERS = 4096


@dataclass(frozen=True)
class Predictions:
    """Answers in the order of the rows.

    Args:
        answers: a label, a list of labels or a number for each row; None where it was unreadable.
        probabilities: float64 (n, labels), NaN where unreadable; None for regression.
        labels: the names of the columns of `probabilities`.
        reasons: why a row has no answer.
        warnings: at most one line on what was missing or unknown in the input as a whole.
    """

    answers: list[Answer | None]
    probabilities: NDArray[np.float64] | None
    labels: tuple[str, ...]
    reasons: dict[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True)
class Scored:
    """Raw scores, float32 (n, outputs), NaN where a row could not be read, and why it could not.

    `unseen` counts, for each column, the categories that were not there at training.
    """

    scores: Floats
    reasons: dict[int, str]
    unseen: dict[str, int]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, ready to predict. Made by `load`."""

    manifest: Manifest
    digest: str
    preprocess: Preprocess
    session: Any

    @property
    def task_kind(self) -> TaskKind:
        """The shape of the answer."""
        return self.manifest.decision.kind

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the scores; empty for regression."""
        return self.manifest.decision.labels

    def predict(self, rows: Any) -> Predictions:
        """Answer rows given as a list of texts or image paths, dicts, columns or a data frame.

        Columns may come in any order and extra ones are ignored. A row that cannot be read has the
        answer None and a reason; the number and order of the rows never change.

        Raises:
            DataError: when the rows are none of these, or no input column is among them.
        """
        found = to_rows(rows, self.manifest.columns)
        scored = self.scored(found.columns)
        reasons = {
            **dict.fromkeys(_not_finite(scored.scores), "the model gave no finite score"),
            **scored.reasons,
            **(found.reasons or {}),
        }
        reasons = dict(sorted(reasons.items()))
        scored.scores[list(reasons)] = np.nan
        readable = [row for row in range(found.count) if row not in reasons]
        answers: list[Answer | None] = [None] * found.count
        decided = self.manifest.decision.answers(scored.scores[readable]) if readable else []
        for row, answer in zip(readable, decided, strict=True):
            answers[row] = answer
        return Predictions(
            answers=answers,
            probabilities=self._probabilities(scored.scores, readable),
            labels=self.labels,
            reasons=reasons,
            warnings=_warnings(found.absent, scored.unseen),
        )

    def scores(self, columns: Columns) -> Floats:
        """Return raw scores, float32 (n, outputs), NaN for rows that cannot be read.

        `columns` holds every input column. Logits for classes and labels, the value for regression.
        """
        return self.scored(columns).scores

    def _probabilities(self, scores: Floats, readable: list[int]) -> NDArray[np.float64] | None:
        if self.task_kind == "regression":
            return None
        found = np.full(scores.shape, np.nan)
        if readable:
            found[readable] = self.manifest.decision.probabilities(scores[readable])
        return found

    def scored(self, columns: Columns) -> Scored:
        """Return what `scores` gives, with the reasons for rows that cannot be read."""
        count = _length(columns)
        outputs = len(self.labels) or 1
        scores = np.full((count, outputs), np.nan, dtype=np.float32)
        reasons: dict[int, str] = {}
        unseen: dict[str, int] = {}
        size = _least(ROWS_AT_A_TIME, self.manifest.preprocess)
        for start in range(0, count, size):
            part = {name: columns[name][start : start + size] for name in columns}
            encoded = self.preprocess.encode(part)
            reasons.update({start + row: reason for row, reason in encoded.reasons.items()})
            for name, times in encoded.unseen.items():
                unseen[name] = unseen.get(name, 0) + times
            for batch in self._batches(encoded.examples):
                examples = [example for row in batch if (example := encoded.examples[row])]
                scores[[start + row for row in batch]] = self._run(examples)
        return Scored(scores, reasons, unseen)

    def _batches(self, examples: Sequence[Example | None]) -> Iterator[list[int]]:
        """Rows of like cost together, so that little is padded."""
        costs = {i: self.preprocess.cost(e) for i, e in enumerate(examples) if e is not None}
        most = _least(ROWS_IN_A_BATCH, self.manifest.preprocess)
        batch: list[int] = []
        for row in sorted(costs, key=lambda row: costs[row]):
            if batch and (len(batch) == most or (len(batch) + 1) * costs[row] > BATCH_COST):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _run(self, examples: Sequence[Example]) -> Floats:
        arrays = self.preprocess.collate(examples)
        return np.asarray(self.session.run(["scores"], arrays)[0], dtype=np.float32)


def load(path: str | Path, *, expect: str | None = None, threads: int | None = None) -> Bundle:
    """Open a bundle after checking every file against its hash.

    Args:
        path: a run folder or its `specialist/`.
        expect: the digest that the bundle must have; it proves where the bundle comes from, which
            the hashes inside it cannot.
        threads: threads that the graph runs on; None lets onnxruntime choose.

    Raises:
        BundleError: when the bundle is missing, incomplete, changed, unsafe or another one.
    """
    folder = _specialist(Path(path))
    manifest, found = read_manifest(folder)
    if expect is not None and found != expect.strip().lower():
        raise BundleError(f"{folder}: has digest {found}, and {expect} was expected")
    graph = verify(folder, manifest)
    try:
        preprocess = restore(manifest.preprocess, folder)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise BundleError(f"{folder / NAME}: preprocessing cannot be built ({error})") from None
    session = _session(folder / GRAPH, graph, threads)
    return Bundle(manifest, found, preprocess, session)


def _specialist(path: Path) -> Path:
    for folder in (path, path / "specialist"):
        if (folder / NAME).exists() or (folder / NAME).is_symlink():
            return folder
    raise BundleError(f"{path}: no {NAME} there; give a run folder or its specialist/")


def _session(path: Path, graph: bytes, threads: int | None) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Waiting threads that spin take the cores away from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    faults: tuple[type[Exception], ...] = (
        ValueError,
        RuntimeError,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    )
    try:
        if reads_other_files(graph):
            raise ValueError("it keeps weights in other files")
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except faults as error:
        reason = str(error).strip().splitlines()
        told = reason[0] if reason else type(error).__name__
        raise BundleError(f"{path}: cannot be run ({told}); get the bundle again") from None


def _least(limits: dict[str, int], spec: Any) -> int:
    """The smallest limit among the parts of a preprocessing."""
    return min(limits.get(part["kind"], OTHERS) for part in (spec, *spec.get("parts", ())))


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def _not_finite(scores: Floats) -> list[int]:
    return [int(row) for row in np.flatnonzero(~np.isfinite(scores).all(axis=1))]


def _warnings(absent: Sequence[str], unseen: dict[str, int]) -> tuple[str, ...]:
    """One line on all that was missing or unknown, or none."""
    told = []
    if absent:
        names = ", ".join(repr(name) for name in absent)
        told.append(f"missing column{'s' if len(absent) > 1 else ''} {names} read as empty")
    if unseen:
        names = ", ".join(f"{name!r} ({count})" for name, count in unseen.items())
        told.append(f"values never seen in training treated as unknown in {names}")
    return ("; ".join(told),) if told else ()
