"""A race that is run in moments: a real table, and strategies that know how good they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from metier.cache import Cache
from metier.data.splits import split
from metier.errors import Pruned
from metier.runtime.preprocess import Preprocess
from metier.search.ladder import Rung
from metier.search.race import Race
from metier.space import Float, tune
from metier.tasks import build
from metier.types import (
    Floats,
    Form,
    Modality,
    Problem,
    Roles,
    Run,
    Specialist,
    Step,
    Table,
)

SEEN: list[frozenset[int]] = []
"""The ids of the rows that each fit was given."""


@dataclass(frozen=True)
class Oracle:
    """Knows the answers of a share of the rows, always the same ones."""

    share: float
    form: Form = "linear"
    parameters: int = 1

    @property
    def preprocess(self) -> Preprocess:
        raise NotImplementedError

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        truth = (table.frame["label"] == "yes").to_numpy().astype(int)
        knows = (table.frame["id"].to_numpy() * 0.61803399) % 1.0 < self.share
        found = np.eye(2, dtype=np.float32)[np.where(knows, truth, 1 - truth)]
        return 4 * found

    def graph(self) -> Any:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Guess:
    """Answers a share of the rows right, after some seconds; or fails in some way."""

    right: float = tune(0.8, Float(0.0, 1.0))
    seconds: float = 0.0
    fault: str = ""
    size: int = 10

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "linear"
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular", "text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        SEEN.append(frozenset(problem.train.frame["id"].to_list()))
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            if run.deadline is not None and time.monotonic() > run.deadline:
                raise Pruned("out of time")
            time.sleep(0.002)
        if self.fault == "all rows" and len(problem.train) > 1000:
            raise MemoryError
        FAULTS.get(self.fault, FAULTS[""])()
        step = Step("guess", {"right": self.right}, notes={"epochs": np.float32(2.0)})
        right = 0.5 if self.fault == "stunted" else self.right
        model = Broken() if self.fault == "nan" else Oracle(right, "linear", self.size)
        return start.then(model, step)


class Broken(Oracle):
    """Answers with what is no number."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        return np.full((len(table), 2), np.nan, dtype=np.float32)


class OddError(Exception):
    """An error of somebody's own."""


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


FAULTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "nan": lambda: None,
    "raises": raising(OddError("an odd thing\nand more of it")),
    "memory": raising(MemoryError()),
    "full disk": raising(OSError(28, "No space left on device")),
    "pruned": raising(Pruned("hopeless")),
}


def table(n: int = 400, groups: int = 0) -> Table:
    """Rows in their order; with groups, those of one group follow each other."""
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": np.arange(n),
            "x": random.normal(size=n),
            "label": np.where(np.arange(n) % 2, "yes", "no"),
        }
    )
    if not groups:
        return Table(frame, Roles({"x": "number"}, ("label",)))
    frame = frame.with_columns(who=np.arange(n) * groups // n)
    return Table(frame, Roles({"x": "number"}, ("label",), group="who"))


def race(folder: Path, n: int = 400, *, test_given: bool = False, groups: int = 0) -> Race:
    rows = table(n, groups)
    task = build("binary", rows)
    divided = split(rows, "binary", test_given=test_given)
    return Race(rows, task, divided, {}, folder, Cache(folder / "cache"))


def rung(name: str, baseline: bool = False, **fixed: Any) -> Rung:
    """A rung of the fake strategy; it has nothing to search when `right` is fixed."""
    return Rung(name, "guess", "none", fixed, baseline)
