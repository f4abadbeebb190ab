"""Before learning: rows made up by a model of the table, beside the real ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.errors import ChainError
from metier.evidence.unlabelled.closeness import NOTE, Closeness, closeness
from metier.space import Float, tune
from metier.training.around import FormInnerGives, FormsInnerTakes, learned_within
from metier.training.tables.copula import fit_copula
from metier.training.tables.madeup import Cells, nearest, read_cells, whole, with_made
from metier.types import Modality, Problem, Rows, Run, Specialist, Strategy, Table

FEWEST = 5
"""Rows of a class below which columns say nothing of each other, and none are made up."""


@dataclass(frozen=True)
class Synthesize:
    """Let an inner strategy learn from real and made-up rows.

    A Gaussian copula of each class, or of the rows with their number, draws them
    (`metier.training.tables.copula`). The race judges on real rows only. The notes say how near
    made-up rows come to real ones (`metier.evidence.unlabelled.closeness`).

    Args:
        inner: what learns; boost when None.
        share: made-up rows for each real one.
    """

    inner: Strategy | None = None
    share: float = tune(1.0, Float(0.2, 4.0, log=True))

    accepts = FormsInnerTakes("source", "booster")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Make rows up and let the inner strategy learn.

        Raises ChainError for several labels a row, of which no column holds one.
        """
        if problem.task.kind == "multilabel":
            raise ChainError("synthesize makes up one answer a row, and these have several labels")
        table, near = made_up(problem, self.share, run.seed)
        notes: dict[str, Any] = {"made": len(table) - len(problem.train)}
        if near is not None:
            notes[NOTE] = asdict(near)
        more = Problem(problem.task, table)
        return learned_within("synthesize", self, start, more, run, notes)


def made_up(problem: Problem, share: float, seed: int) -> tuple[Table, Closeness | None]:
    """Return the rows with made-up ones after them, and how near those come to real ones; the rows
    alone where there are too few, or no column can be made up."""
    table, task = problem.train, problem.task
    random = np.random.default_rng(seed)
    cells, known = read_cells(table)
    targets = task.encode(table)
    number = task.kind == "regression"
    if number:
        values = targets[:, None].astype(np.float64)
        cells = Cells(np.concatenate([cells.numbers, values], axis=1), cells.codes)
    parts, parents = [], []
    real = cells.scaled(cells)
    for own in _groups(targets, number):
        count = round(share * len(own))
        if len(own) < FEWEST or not count or real.shape[1] <= int(number):
            continue
        made = fit_copula(cells.take(own), random).draw(count, random)
        places, _ = nearest(made.scaled(cells), real[own])
        parts.append(made)
        parents.append(own[places])
    if not parts:
        return table, None
    made = Cells(*(np.concatenate(each) for each in zip(*map(_arrays, parts), strict=True)))
    far, others = nearest(made.scaled(cells), real)[1], nearest(real, real, leave_own=True)[1]
    name = table.roles.target[0]
    others_made: dict[str, pl.Series] = {}
    if number:
        others_made[name] = whole(table.frame[name], made.numbers[:, -1])
        made = Cells(made.numbers[:, :-1], made.codes)
    found = with_made(table, made, np.concatenate(parents), known, **others_made)
    return found, closeness(far, others, seed)


def _groups(targets: NDArray[Any], number: bool) -> list[Rows]:
    if number:
        return [np.arange(len(targets))]
    return [np.flatnonzero(targets == label) for label in np.unique(targets)]


def _arrays(cells: Cells) -> tuple[NDArray[Any], NDArray[Any]]:
    return cells.numbers, cells.codes
