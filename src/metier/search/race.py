"""Candidates on shared rows: each is fitted on folds, and judged on the rows that these leave out.

Everything a candidate did lies on disk the moment it is done (see `metier.search.records`), so a
killed run finds it again and goes on to the same end.
"""

from __future__ import annotations

import errno
import hashlib
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache
from metier.data.splits import CALIBRATE, PROVE, SELECT, Split
from metier.errors import MetierError, Pruned
from metier.evidence.metrics import find as find_metric
from metier.evidence.metrics import measure
from metier.memory import give_back
from metier.runtime.postprocess import Decision
from metier.search.ladder import NOTHING
from metier.search.recipe import Recipe, notes_of
from metier.search.records import Candidate, FoldResult, Records
from metier.search.sampling import resampled, thin
from metier.types import (
    Floats,
    Modality,
    Problem,
    Rows,
    Run,
    Source,
    Specialist,
    Table,
    Task,
    nothing_to_report,
)

FEWEST_CALIBRATING = 100


@dataclass(frozen=True)
class Nothing:
    """The source of what starts from nothing."""

    modality: Modality
    name: str = NOTHING

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()


class Race:
    """Fits candidates on the folds of one split and compares them on the same rows.

    Args:
        table: all rows given for training, those held out for the proof included.
        task: what is learned.
        split: who learns from which rows.
        sources: pretrained starts by name.
        folder: the run folder.
        cache: what all fits share.
        seed: where random numbers come from.
        device: of networks.
        given: data that strategies have fields for and recipes cannot hold.
        costs: what errors cost, `costs[truth][answer]`; empty when all cost the same.
    """

    def __init__(
        self,
        table: Table,
        task: Task,
        split: Split,
        sources: Mapping[str, Source],
        folder: Path,
        cache: Cache,
        seed: int = 0,
        device: str = "cpu",
        given: Mapping[str, Any] | None = None,
        costs: tuple[tuple[float, ...], ...] = (),
    ) -> None:
        self.table, self.task, self.split = table, task, split
        self.sources, self.cache, self.seed, self.device = sources, cache, seed, device
        self.given = dict(given or {})
        self.weights: NDArray[np.float64] | None = None
        """How much each row of the table says of the rows that the specialist is for, (n,)."""
        self.looked: Rows | None = None
        self.fitted: dict[str, Specialist] | None = {}
        """What the last fold's fit of each candidate gave, by name; None when nobody needs it."""
        self.records = Records(folder / "trials")
        self.targets: NDArray[Any] = task.encode(table)
        self.plain = Decision(task.kind, task.labels, costs=costs)
        self.metric = task.metrics[0]
        self._values: dict[tuple[str, tuple[int, ...], int], float] = {}
        self.sign = 1.0 if find_metric(self.metric, task.kind).higher_is_better else -1.0

    def show_only(self, rows: Rows) -> None:
        """Let pretrained networks look at these rows only, and compare everybody on them."""
        self.looked = rows
        self.split = thin(self.split, rows)

    def fit(
        self,
        recipe: Recipe,
        rows: Rows | None = None,
        *,
        name: str,
        deadline: float | None = None,
        report: Callable[[int, float], None] = nothing_to_report,
    ) -> Specialist:
        """Fit a recipe on some rows of the table (None: all). Raises what the strategy raises.

        `name` is the folder below `trials/` in which the fit keeps its checkpoint.
        """
        source = self.sources.get(recipe.source) or Nothing(self.table.roles.modality)
        learned = self.rows_for(recipe, np.arange(len(self.table)) if rows is None else rows)
        run = Run(
            cache=self.cache,
            seed=zlib.crc32(f"{self.seed}/{recipe.strategy}".encode()) % (1 << 31),
            device=self.device,
            deadline=deadline,
            folder=self.records.folder / name,
            report=report,
        )
        problem = Problem(self.task, self.table.take(learned))
        give_back()
        made = recipe.build(self.given)(Specialist(source, self.task), problem, run)
        self.records.forget_checkpoints(name)
        return made

    def rows_for(self, recipe: Recipe, rows: Rows) -> Rows:
        """Those of the rows that a recipe learns from: a network may look at a sample only."""
        images = self.table.roles.modality == "image"
        if self.looked is None or (recipe.source == NOTHING and not images):
            return rows
        return rows[np.isin(rows, self.looked)]

    def attempt(self, candidate: Candidate, work: Callable[[], Specialist]) -> Specialist | None:
        """Do work for a candidate; None when it was cut or failed, which its state then says.

        A strategy may be anybody's code, so whatever it raises is its own failure and ends only
        this candidate. A full disk is nobody's fault and does end the run.
        """
        try:
            return work()
        except Pruned as reason:
            candidate.state, candidate.note = "cut", str(reason)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            candidate.state, candidate.note = "failed", told(error)
        self.records.forget_checkpoints(candidate.name)
        return None

    def run_fold(
        self,
        candidate: Candidate,
        fold: int,
        *,
        deadline: float | None = None,
        report: Callable[[int, float], None] = nothing_to_report,
    ) -> bool:
        """Fit a candidate on one fold, or find that it was done before. False when it was cut or
        failed, which is recorded in the candidate and does not end the race."""
        if self.recall(candidate, fold):
            return True
        found = self._fit_fold(candidate, fold, deadline, report)
        if found is None:
            return False
        candidate.folds[fold] = found
        return True

    def recall(self, candidate: Candidate, fold: int) -> bool:
        """Find what a candidate did on a fold before; False when it was not fitted there."""
        if fold in candidate.folds:
            return True
        found = self.records.read(candidate, fold)
        if found is None or len(found.scores) != len(self.split.folds[fold].valid):
            return False
        candidate.folds[fold] = found
        return True

    def _fit_fold(
        self,
        candidate: Candidate,
        fold: int,
        deadline: float | None,
        report: Callable[[int, float], None],
    ) -> FoldResult | None:
        held = self.split.folds[fold]
        began = time.monotonic()
        scored: list[Floats] = []

        def work() -> Specialist:
            name = f"{candidate.name}/fold-{fold}"
            recipe = candidate.recipe
            made = self.fit(recipe, held.train, name=name, deadline=deadline, report=report)
            fitted.append(time.monotonic())
            scored.append(np.asarray(made.scores(self.table.take(held.valid), self.cache)))
            return made

        fitted: list[float] = []
        made = self.attempt(candidate, work)
        if made is None:
            return None
        if not np.isfinite(scored[0]).all():
            candidate.state, candidate.note = "failed", "its scores are not all numbers"
            return None
        ended = time.monotonic()
        if self.fitted is not None:
            self.fitted[candidate.name] = made
        result = FoldResult(
            scored[0],
            seconds=ended - began,
            scoring=ended - fitted[0],
            parameters=0 if made.model is None else made.model.parameters,
            notes=notes_of(made),
        )
        return self.records.write(candidate, fold, result)

    @property
    def proves_out_of_fold(self) -> bool:
        """Whether the proof is measured on rows that the folds leave out."""
        scored = np.concatenate([fold.valid for fold in self.split.folds])
        return bool((self.split.purpose[scored] == PROVE).any())

    def rows(self, purpose: int, folds: Sequence[int]) -> Rows:
        """The rows left out in some folds that may be used for a purpose, in order.

        Where rows weigh, those that choose and calibrate are as many as their weights are worth,
        and a heavy one is there several times.
        """
        held = [self.split.folds[k].valid for k in folds]
        found = np.sort(np.concatenate(held)) if held else np.zeros(0, dtype=np.int64)
        own = np.asarray(found[self.split.purpose[found] == purpose])
        if self.weights is None or purpose == PROVE or not len(own):
            return own
        return own[resampled(self.weights[own])]

    def scores(self, candidate: Candidate, rows: Rows) -> Floats:
        """Out-of-fold scores of rows that the candidate's folds left out."""
        whole = np.full((len(self.table), self.task.outputs), np.nan, dtype=np.float32)
        for k, result in candidate.folds.items():
            whole[self.split.folds[k].valid] = result.scores
        return whole[rows]

    def scores_of(self, made: Specialist, rows: Rows) -> Floats:
        """Scores that a specialist gives to rows of the table."""
        return made.scores(self.table.take(rows), self.cache)

    def value(self, candidate: Candidate, rows: Rows) -> float:
        """The deciding metric on some rows, turned so that higher is better."""
        key = (candidate.name, tuple(sorted(candidate.folds)), hash(rows.tobytes()))
        if key not in self._values:
            scores = self.scores(candidate, rows)
            found = measure(self.metric, self.targets[rows], scores, self.plain)
            self._values[key] = self.sign * found
        return self._values[key]

    def selecting_rows(self, folds: Sequence[int]) -> Rows:
        """The rows of some folds on which candidates are compared."""
        return self.rows(SELECT, folds)

    def calibrating_rows(self, candidate: Candidate) -> Rows:
        """Rows for thresholds and temperature: ones that selection did not use, or, when those are
        too few, all out-of-fold rows that the proof does not need."""
        folds = sorted(candidate.folds)
        own = self.rows(CALIBRATE, folds)
        if len(own) >= FEWEST_CALIBRATING:
            return own
        return np.sort(np.concatenate([own, self.rows(SELECT, folds)]))

    def proving_rows(self, candidate: Candidate) -> Rows:
        """Out-of-fold rows kept for the proof; none when held-out rows or a test file serve."""
        return self.rows(PROVE, sorted(candidate.folds))

    @property
    def held(self) -> Rows:
        """Rows held out for the proof; they are fitted on only when all is decided."""
        return self.split.proof

    @property
    def free(self) -> Rows:
        """Rows that what is proven may learn from: none of the proof, and none that tells of it."""
        return self.split.free


def told(error: BaseException) -> str:
    """Return a failure in one line."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    if isinstance(error, MetierError) and text:
        return text
    if isinstance(error, MemoryError):
        return f"out of memory{f': {text}' if text else ''}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
