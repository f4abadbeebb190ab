"""Predicting with a bundle: numpy, onnxruntime and what the preprocessing needs, nothing else.

>>> import metier
>>> bundle = metier.load("runs/tickets")  # doctest: +SKIP
>>> bundle.predict(["my invoice is wrong"]).answers  # doctest: +SKIP
['billing']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import BundleError
from metier.runtime.domain import Domain
from metier.runtime.doubt import Asked, Doubt, Held, Judge, doubt_of
from metier.runtime.graphs import reads_other_files
from metier.runtime.groups import told_of_strangers
from metier.runtime.manifest import GRAPH, NAME, Manifest, read_manifest, verify
from metier.runtime.postprocess import Answer, Decision, TaskKind
from metier.runtime.preprocess import Columns, Preprocess, restore
from metier.runtime.reference import Reference, reference_of
from metier.runtime.rows import of_no_text, to_rows, told_of_no_text
from metier.runtime.scoring import Floats, Scored, features_read, open_session, score
from metier.runtime.signals import Eye, columns_read


@dataclass(frozen=True)
class Predictions:
    """Answers in the order of the rows.

    Args:
        answers: a label, a list of labels or a number for each row; None where it was unreadable.
        probabilities: float64 (n, labels), NaN where unreadable; None for regression.
        labels: the names of the columns of `probabilities`.
        reasons: why a row has no answer.
        warnings: at most one line on what was missing or unknown in the input as a whole.
        withheld: what would have been answered, by row, where there was too much doubt.
        sets: with a coverage, the labels that hold the truth so often, likeliest first.
        low, high: with a coverage, the interval of a number that does; float64 (n,).
        unseen: for each column, the rows whose category the model does not know.
        unread: for each column of numbers or dates, the rows whose cell holds something else.
    """

    answers: list[Answer | None]
    probabilities: NDArray[np.float64] | None
    labels: tuple[str, ...]
    reasons: dict[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    withheld: dict[int, Answer] = field(default_factory=dict)
    sets: list[list[str] | None] | None = None
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    unseen: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unread: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.answers)


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

    @cached_property
    def doubt(self) -> Doubt:
        """What it knows of its doubt. Raises BundleError when that cannot be read."""
        return doubt_of(self.manifest.facts)

    def predict(
        self,
        rows: Any,
        *,
        abstain: bool = False,
        coverage: float | None = None,
        max_error: float | None = None,
    ) -> Predictions:
        """Answer rows given as a list of texts or image paths, dicts, columns or a data frame.

        Columns may come in any order and extra ones are ignored. A row that cannot be read has the
        answer None and a reason; the number and order of the rows never change.

        Args:
            rows: what to answer.
            abstain: answer None, with the reason, where a row is unlike those of training, or
                where not exactly one label holds the truth at the coverage.
            coverage: give sets of labels, or intervals of numbers, that hold the truth so often;
                without it, abstaining goes by the coverage that the bundle was made for.
            max_error: abstain where an answer is too unsure for this share of errors among those
                that are given, instead of by sets.

        Raises:
            DataError: when the rows are none of these, or no input column is among them.
            OptionError: for a coverage or error that the bundle cannot promise.
        """
        asked = Asked(abstain, coverage, max_error)
        if not asked.nothing:
            self.doubt.check(asked)
        found = to_rows(rows, self.manifest.columns)
        scored = self.scored(found.columns, features=asked.abstains)
        reasons = {
            **dict.fromkeys(_not_finite(scored.scores), "the model gave no finite score"),
            **scored.reasons,
            **(found.reasons or {}),
        }
        reasons = dict(sorted(reasons.items()))
        scored.scores[list(reasons)] = np.nan
        readable = [row for row in range(found.count) if row not in reasons]
        answers: list[Answer | None] = [None] * found.count
        decision, strangers = self._deciding(found.columns, readable)
        decided = decision.answers(scored.scores[readable]) if readable else []
        held = self._held(asked, decision, found.columns, scored, readable)
        withheld: dict[int, Answer] = {}
        for row, answer in zip(readable, decided, strict=True):
            if row in held.reasons:
                withheld[row] = answer
            else:
                answers[row] = answer
        return Predictions(
            answers=answers,
            probabilities=self._probabilities(scored.scores, readable),
            labels=self.labels,
            reasons=dict(sorted({**reasons, **held.reasons}.items())),
            warnings=_warnings(
                found.absent,
                scored.unseen,
                scored.unread,
                strangers,
                len(of_no_text(found.columns, self.manifest.columns)),
            ),
            withheld=withheld,
            sets=held.sets,
            low=held.low,
            high=held.high,
            unseen=scored.unseen,
            unread=scored.unread,
        )

    def _held(
        self,
        asked: Asked,
        decision: Decision,
        columns: Columns,
        scored: Scored,
        readable: list[int],
    ) -> Held:
        if asked.nothing:
            return Held({})
        judge = Judge(self.doubt, decision, self.manifest.columns, asked)
        unlike = self.unlike(columns, scored) if asked.abstains else None
        return judge.hold(columns, scored, readable, unlike)

    def unlike(self, columns: Columns, scored: Scored) -> NDArray[np.bool_]:
        """Tell which scored rows are unlike those of training (see `runtime.domain`).

        By the features and energies of `scored`, as `scored(columns, features=True)` gives them;
        where the graph has no features, by what the columns hold: words, categories and numbers
        that training had not.
        """
        domain = self.doubt.domain or Domain()
        found = domain.unlike(scored.scores, scored.features)
        if self.reference is not None and self._eye is not None:
            found |= self.reference.unlike_inputs(self._eye.columns_alone(columns))
        return found

    @cached_property
    def _eye(self) -> Eye | None:
        """What looks at the inputs themselves, where no features tell; None where only images are
        read, which say nothing before they are encoded."""
        if self.doubt.domain is not None and self.doubt.domain.cloud is not None:
            return None
        spec = self.manifest.preprocess
        read = columns_read(self.manifest.columns, spec)
        told = tuple(column for column in read if column.kind != "image")
        return Eye(told, spec) if told else None

    @property
    def alarm(self) -> float:
        """The share of rows like those of training that `unlike` tells of, wrongly."""
        domain = self.doubt.domain or Domain()
        rate = domain.alarm if domain.looks else 0.0
        alone = self.reference is not None and self._eye is not None
        return rate + (self.reference.unlike if alone and self.reference is not None else 0.0)

    @cached_property
    def reference(self) -> Reference | None:
        """What is usual in its inputs; None for a bundle that does not know.

        Raises BundleError when that cannot be read.
        """
        return reference_of(self.manifest.facts, self.manifest.preprocess)

    def _deciding(self, columns: Columns, rows: list[int]) -> tuple[Decision, int]:
        """The decision for some rows, and how many of them have no threshold of their own."""
        decision = self.manifest.decision
        if decision.groups is None:
            return decision, 0
        needed = (each.name for each in decision.groups.columns)
        own = {name: [columns[name][row] for row in rows] for name in needed}
        return decision.at(own), len(decision.groups.strangers(own))

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

    def scored(self, columns: Columns, *, features: bool = False) -> Scored:
        """Return what `scores` gives, with the reasons for rows that cannot be read, and what the
        bundle tells unlike rows by, if that is asked for."""
        domain = self.doubt.domain if features else None
        reads = None if domain is None else domain.reads
        if reads is not None and reads != features_read(self.session):
            reads = None
        return score(self.preprocess, self.session, len(self.labels) or 1, columns, reads)


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
    told = f"no {NAME} there" if path.exists() else "does not exist"
    raise BundleError(f"{path}: {told}; give a run folder or its specialist/")


def _session(path: Path, graph: bytes, threads: int | None) -> Any:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

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
        return open_session(graph, threads)
    except faults as error:
        reason = str(error).strip().splitlines()
        told = reason[0] if reason else type(error).__name__
        raise BundleError(f"{path}: cannot be run ({told}); get the bundle again") from None


def _not_finite(scores: Floats) -> list[int]:
    return [int(row) for row in np.flatnonzero(~np.isfinite(scores).all(axis=1))]


def _warnings(
    absent: Sequence[str],
    unseen: Mapping[str, Sequence[int]],
    unread: Mapping[str, Sequence[int]],
    strangers: int,
    blank: int,
) -> tuple[str, ...]:
    """One line on all that was missing or unknown, or none."""
    told = []
    if absent:
        names = ", ".join(repr(name) for name in absent)
        told.append(f"missing column{'s' if len(absent) > 1 else ''} {names} read as empty")
    told += told_of_cells(unseen, unread)
    if strangers:
        told.append(told_of_strangers(strangers))
    if blank:
        told.append(told_of_no_text(blank))
    return ("; ".join(told),) if told else ()


def told_of_cells(
    unseen: Mapping[str, Sequence[int]], unread: Mapping[str, Sequence[int]]
) -> list[str]:
    """Say in how many rows a category was unknown, and a number or a date none, by column."""
    told = []
    if unseen:
        told.append(
            "values not among the categories that the model knows treated as unknown in "
            f"{_counted(unseen)}"
        )
    if unread:
        told.append(
            "cells that are no number, or no date written as in training or as 2024-12-31, treated "
            f"as empty in {_counted(unread)}"
        )
    return told


def _counted(found: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name!r} ({len(rows)})" for name, rows in found.items())
