"""What `domains.py` and `semi.py` share: fits on the same rows, and which test rows are right."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench import paired
from bench.paired import Gap
from bench.sets import IMAGE, TEXT


@dataclass(frozen=True)
class Rows:
    """Labelled rows, rows without labels, rows that judge, and the name of the source."""

    labelled: pl.DataFrame
    unlabelled: pl.DataFrame
    test: pl.DataFrame
    modality: Any
    source: str
    target: str = "label"

    @property
    def column(self) -> str:
        """The input."""
        return TEXT if self.modality == "text" else IMAGE

    def table(self, frame: pl.DataFrame, labelled: bool = True) -> Any:
        """A table of some rows, with their labels or without."""
        from metier.types import Roles, Table

        names = [self.column, self.target] if labelled else [self.column]
        target = (self.target,) if labelled else ()
        return Table(frame.select(names), Roles({self.column: self.modality}, target))


@dataclass(frozen=True)
class Fitted:
    """A specialist, the seconds that it took, and what its wrapper noted."""

    specialist: Any
    seconds: float
    notes: Mapping[str, Any]


def fit(strategy: str, parameters: Mapping[str, Any], rows: Rows, train: Any, run: Any) -> Fitted:
    """Fit a strategy, named as on the command line, on the training table."""
    from metier.search.wrapping import build
    from metier.sources import open_source
    from metier.tasks import build as task_of
    from metier.types import Problem, Specialist

    every = rows.table(rows.labelled)
    task = task_of("binary" if every.target.n_unique() == 2 else "multiclass", every)
    given = {"unlabeled": rows.table(rows.unlabelled, labelled=False)}
    start = Specialist(open_source(rows.source, rows.modality), task)
    began = time.monotonic()
    made = build(strategy, parameters, given)(start, Problem(task, train), run)
    name = made.lineage[-1].strategy
    told = {k: v for k, v in made.lineage[-1].notes.get(name, {}).items() if k != "curve"}
    return Fitted(made, time.monotonic() - began, told)


def pack(right: NDArray[np.bool_]) -> str:
    """Return which rows are right as hexadecimal digits, so that a line of results holds them."""
    return np.packbits(right).tobytes().hex()


def unpack(packed: str, n: int) -> NDArray[np.bool_]:
    """Return which of n rows are right, from `pack`."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(packed), np.uint8))[:n].astype(bool)


def gap(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> Gap:
    """Return how many points more of the test rows one method gets right; several records of each
    are of the same seeds, in order."""
    first, second = (
        np.stack([unpack(r["right"], r["n"]) for r in records]).astype(np.float64)
        for records in (one, other)
    )
    return paired.judge(100.0 * (first - second))


def mean_gap(points: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean gain over pairs or sets, with Student's interval over them."""
    from scipy.stats import t

    values = np.asarray(points, dtype=np.float64)
    middle = float(values.mean())
    if len(values) < 2:
        return middle, float("-inf"), float("inf")
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return middle, middle - half, middle + half


def run_in(folder: Path, seed: int) -> Any:
    """The context of a fit whose activations are kept in a folder."""
    from metier.cache import Cache
    from metier.types import Run

    return Run(Cache(folder), seed=seed)
