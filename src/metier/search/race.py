"""Candidates on shared rows: each is fitted on folds, and what it says of the rows left out is kept.

Everything a candidate did lies on disk the moment it is done (`trials/NAME/fold-K.npy` with its
facts beside it), so a killed run finds it again and goes on to the same end.
"""

from __future__ import annotations

import io
import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache, write_aside
from metier.data.splits import CALIBRATE, PROVE, SELECT, Split
from metier.errors import InputError, MissingExtraError, Pruned
from metier.evidence.metrics import find as find_metric
from metier.evidence.metrics import measure
from metier.runtime.postprocess import Decision
from metier.search.recipe import Recipe
from metier.types import (
    Floats,
    Problem,
    Rows,
    Run,
    Source,
    Specialist,
    Table,
    Task,
    nothing_to_report,
)

State = Literal["tried", "baseline", "failed", "cut"]


@dataclass(frozen=True)
class FoldResult:
    """What a fit on one fold gave: scores of the rows left out, and how it went."""

    scores: Floats
    seconds: float
    notes: Mapping[str, Any]


@dataclass
class Candidate:
    """A recipe in the race, and what is known of it so far."""

    name: str
    rung: str
    recipe: Recipe
    state: State = "tried"
    folds: dict[int, FoldResult] = field(default_factory=dict)
    note: str = ""

    @property
    def seconds(self) -> float:
        """Seconds spent on all its fits."""
        return sum(result.seconds for result in self.folds.values())


class Race:
    """Fits candidates on the folds of one split and compares them on the same rows."""

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
    ) -> None:
        self.table, self.task, self.split = table, task, split
        self.sources, self.cache, self.seed, self.device = sources, cache, seed, device
        self._folder = folder / "trials"
        self.targets: NDArray[Any] = task.encode(table)
        self.plain = Decision(task.kind, task.labels)
        self.metric = task.metrics[0]
        self.sign = 1.0 if find_metric(self.metric, task.kind).higher_is_better else -1.0

    def fit(
        self,
        recipe: Recipe,
        rows: Rows | None = None,
        *,
        name: str,
        deadline: float | None = None,
        report: Callable[[int, float], None] = nothing_to_report,
    ) -> Specialist:
        """Fit a recipe on some rows of the table (None: all). Raises what the strategy raises."""
        source = self.sources.get(recipe.source) or next(iter(self.sources.values()))
        table = self.table if rows is None else self.table.take(rows)
        run = Run(
            cache=self.cache,
            seed=zlib.crc32(f"{self.seed}/{recipe.strategy}".encode()) % (1 << 31),
            device=self.device,
            deadline=deadline,
            folder=self._folder / name,
            report=report,
        )
        start = Specialist(source, self.task)
        return recipe.build()(start, Problem(self.task, table), run)

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
        if fold in candidate.folds:
            return True
        found = self._read(candidate, fold)
        if found is not None:
            candidate.folds[fold] = found
            return True
        held = self.split.folds[fold]
        began = time.monotonic()
        try:
            specialist = self.fit(
                candidate.recipe,
                held.train,
                name=f"{candidate.name}/fold-{fold}",
                deadline=deadline,
                report=report,
            )
            scores = specialist.scores(self.table.take(held.valid), self.cache)
        except Pruned as reason:
            candidate.state, candidate.note = "cut", str(reason)
            return False
        except (InputError, MissingExtraError) as error:
            candidate.state, candidate.note = "failed", str(error)
            return False
        except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as e:
            reason = str(e).splitlines()
            candidate.state = "failed"
            candidate.note = f"{type(e).__name__}: {reason[0] if reason else ''}"
            return False
        if not np.isfinite(scores).all():
            candidate.state, candidate.note = "failed", "its scores are not all numbers"
            return False
        notes = specialist.lineage[-1].notes
        result = FoldResult(scores, time.monotonic() - began, notes)
        candidate.folds[fold] = result
        self._write(candidate, fold, result)
        return True

    def rows(self, purpose: int, folds: Sequence[int]) -> Rows:
        """The rows left out in some folds that may be used for a purpose, in order."""
        held = [self.split.folds[k].valid for k in folds]
        found = np.sort(np.concatenate(held)) if held else np.zeros(0, dtype=np.int64)
        return np.asarray(found[self.split.purpose[found] == purpose])

    def scores(self, candidate: Candidate, rows: Rows) -> Floats:
        """Out-of-fold scores of rows that the candidate's folds left out."""
        whole = np.full((len(self.table), self.task.outputs), np.nan, dtype=np.float32)
        for k, result in candidate.folds.items():
            whole[self.split.folds[k].valid] = result.scores
        return whole[rows]

    def value(self, candidate: Candidate, rows: Rows) -> float:
        """The deciding metric on some rows, turned so that higher is better."""
        scores = self.scores(candidate, rows)
        return self.sign * measure(self.metric, self.targets[rows], scores, self.plain)

    def selecting_rows(self, folds: Sequence[int]) -> Rows:
        """The rows of some folds on which candidates are compared."""
        return self.rows(SELECT, folds)

    def calibrating_rows(self, candidate: Candidate, fewest: int = 100) -> Rows:
        """Rows for thresholds and temperature: ones that selection did not use, or, when those are
        too few, all out-of-fold rows that the proof does not need."""
        folds = sorted(candidate.folds)
        own = self.rows(CALIBRATE, folds)
        if len(own) >= fewest:
            return own
        return np.sort(np.concatenate([own, self.rows(SELECT, folds)]))

    def proving_rows(self, candidate: Candidate) -> Rows:
        """Out-of-fold rows kept for the proof; empty when a held-out share or a test file serves."""
        return self.rows(PROVE, sorted(candidate.folds))

    def _paths(self, candidate: Candidate, fold: int) -> tuple[Path, Path]:
        base = self._folder / candidate.name / f"fold-{fold}"
        return base.with_suffix(".npy"), base.with_suffix(".json")

    def _read(self, candidate: Candidate, fold: int) -> FoldResult | None:
        scores, facts = self._paths(candidate, fold)
        if not (scores.exists() and facts.exists()):
            return None
        about = json.loads(facts.read_text())
        if about["recipe"] != json.loads(json.dumps(candidate.recipe.to_json())):
            return None
        return FoldResult(np.load(scores, allow_pickle=False), about["seconds"], about["notes"])

    def _write(self, candidate: Candidate, fold: int, result: FoldResult) -> None:
        scores, facts = self._paths(candidate, fold)
        buffer = io.BytesIO()
        np.save(buffer, result.scores, allow_pickle=False)
        write_aside(scores, buffer.getvalue())
        about = {
            "recipe": candidate.recipe.to_json(),
            "seconds": result.seconds,
            "notes": dict(result.notes),
        }
        write_aside(facts, json.dumps(about, default=str).encode())
        checkpoint = self._folder / candidate.name / f"fold-{fold}" / "checkpoint.safetensors"
        checkpoint.unlink(missing_ok=True)


def with_parameters(recipe: Recipe, parameters: Mapping[str, Any]) -> Recipe:
    """Return a recipe with some parameters set."""
    return replace(recipe, parameters={**recipe.parameters, **parameters})
