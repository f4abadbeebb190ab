"""Before learning: more rows of the rare classes, between the ones that there are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import ChainError, MissingExtraError
from metier.space import Choice, Float, Int, tune
from metier.training.around import FormInnerGives, FormsInnerTakes, learned_within
from metier.training.tables.madeup import Cells, nearest, read_cells, with_made
from metier.types import Modality, Problem, Rows, Run, Specialist, Strategy, Table

AROUND = 10
"""Rows of any class around one, which say whether it is near another class."""


@dataclass(frozen=True)
class Oversample:
    """Let an inner strategy learn from rows among which rare classes are more frequent.

    Made rows lie between a row and its neighbours of the same class (SMOTE: Chawla et al., 2002;
    borderline: Han et al., 2005), categories are those of most neighbours (SMOTE-NC); with the
    library imbalanced-learn. A class with one row, and "random", repeat rows.

    Args:
        inner: what learns; boost when None.
        method: "smote", "borderline" (only rows near another class are added to; tables of
            numbers alone, else "smote") or "random".
        share: rows of each class afterwards, at least, as a share of the commonest class.
        near: how many neighbours a row has.
    """

    inner: Strategy | None = None
    method: Literal["smote", "borderline", "random"] = tune(
        "smote", Choice(("smote", "borderline", "random"))
    )
    share: float = tune(0.5, Float(0.1, 1.0))
    near: int = tune(5, Int(2, 15))

    accepts = FormsInnerTakes("source", "booster")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Make rows of the rare classes and let the inner strategy learn.

        Raises:
            ChainError: for a task without classes.
            MissingExtraError: without imbalanced-learn.
        """
        if problem.task.kind not in ("binary", "multiclass"):
            raise ChainError("oversample evens out classes, and this task has none")
        targets = problem.task.encode(problem.train)
        wanted = _wanted(targets, self.share)
        table = self._more(problem.train, targets, wanted, run.seed)
        notes = {"made": len(table) - len(problem.train)}
        more = Problem(problem.task, table)
        return learned_within("oversample", self, start, more, run, notes)

    def _more(
        self, table: Table, targets: NDArray[Any], wanted: dict[int, int], seed: int
    ) -> Table:
        """The table with made rows after its own."""
        if not wanted:
            return table
        cells, known = read_cells(table)
        counts = np.bincount(targets)
        random = np.random.default_rng(seed)
        repeated = {c for c in wanted if self.method == "random" or counts[c] < 2}
        if not cells.numbers.shape[1] and not cells.codes.shape[1]:
            repeated = set(wanted)
        parents = [random.choice(np.flatnonzero(targets == c), wanted[c]) for c in repeated]
        made = [cells.take(rows) for rows in parents]
        between = {c: count for c, count in wanted.items() if c not in repeated}
        if between:
            filled = _filled(cells, targets)
            found, labels = self._between(filled, targets, between, seed)
            own = _parents(found, labels, filled, targets)
            # What the nearest row does not know is not made up.
            gaps = np.isnan(cells.numbers[own])
            made.append(Cells(np.where(gaps, np.nan, found.numbers), found.codes))
            parents.append(own)
        whole = Cells(
            np.concatenate([each.numbers for each in made]),
            np.concatenate([each.codes for each in made]),
        )
        return with_made(table, whole, np.concatenate(parents), known)

    def _between(
        self, cells: Cells, targets: NDArray[Any], wanted: dict[int, int], seed: int
    ) -> tuple[Cells, NDArray[Any]]:
        """Cells between rows of the same class, with their labels."""
        width = cells.numbers.shape[1]
        counts = np.bincount(targets)
        near = min(self.near, min(int(counts[c]) for c in wanted) - 1)
        sampler = _sampler(self.method, width, cells.codes.shape[1])
        settings: dict[str, Any] = {
            "sampling_strategy": {c: int(counts[c]) + n for c, n in wanted.items()},
            "k_neighbors": near,
            "random_state": seed,
        }
        if self.method == "borderline" and not cells.codes.shape[1]:
            settings["m_neighbors"] = min(AROUND, len(cells) - 1)
        if width and cells.codes.shape[1]:
            settings["categorical_features"] = list(range(width, width + cells.codes.shape[1]))
        both = np.concatenate([cells.numbers, cells.codes], axis=1)
        found, labels = sampler(**settings).fit_resample(both, targets)
        added = np.asarray(found)[len(both) :]
        codes = np.rint(added[:, width:]).astype(np.int64)
        return Cells(added[:, :width], codes), np.asarray(labels)[len(both) :]


def _wanted(targets: NDArray[Any], share: float) -> dict[int, int]:
    """How many rows each class lacks, for the classes that have any and lack some."""
    counts = np.bincount(targets)
    least = round(share * counts.max())
    return {c: int(least - n) for c, n in enumerate(counts) if 0 < n < least}


def _filled(cells: Cells, targets: NDArray[Any]) -> Cells:
    """The cells with the median of the class, or of all, where a number is missing."""
    numbers = cells.numbers.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any number
        for rows in [
            *(targets == c for c in np.unique(targets)),
            np.ones(len(targets), dtype=bool),
        ]:
            part = numbers[rows]
            numbers[rows] = np.where(np.isnan(part), np.nanmedian(part, axis=0), part)
    return Cells(np.nan_to_num(numbers), cells.codes)


def _parents(made: Cells, labels: NDArray[Any], real: Cells, targets: NDArray[Any]) -> Rows:
    """The nearest real row of the same class."""
    found = np.zeros(len(made), dtype=np.int64)
    for label in np.unique(labels):
        rows, own = np.flatnonzero(labels == label), np.flatnonzero(targets == label)
        places, _ = nearest(made.take(rows).scaled(real), real.take(own).scaled(real))
        found[rows] = own[places]
    return found


def _sampler(method: str, numbers: int, categories: int) -> Any:
    try:
        from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, BorderlineSMOTE
    except ImportError as error:
        raise MissingExtraError("imbalanced-learn", "balance", "the strategy oversample") from error
    if not categories:
        return BorderlineSMOTE if method == "borderline" else SMOTE
    return SMOTENC if numbers else SMOTEN
