"""Growing LightGBM boosters: how many trees rows set aside ask for, then trees on all rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import MissingExtraError
from metier.training.folds import Fold
from metier.types import Floats, Rows

if TYPE_CHECKING:
    import lightgbm

Settings = Mapping[str, Any]
CHECK_EVERY = 5
"""Trees between two looks at the rows set aside."""


@dataclass(frozen=True)
class Sample:
    """What a booster learns from.

    Args:
        numbers: float32 (n, features), NaN where missing.
        targets: (n,) class numbers or values.
        categorical: columns of `numbers` that hold codes.
        weights: (n,) of the rows, or None.
        start: scores to start from, (n,) or (n, classes), or None.
    """

    numbers: Floats
    targets: NDArray[Any]
    categorical: tuple[int, ...] = ()
    weights: NDArray[Any] | None = None
    start: NDArray[Any] | None = None

    def dataset(
        self, rows: Rows, settings: Settings, like: lightgbm.Dataset | None = None
    ) -> lightgbm.Dataset:
        """The given rows as LightGBM bins them, or in the bins of `like`."""
        found: lightgbm.Dataset = _lightgbm().Dataset(
            self.numbers[rows],
            self.targets[rows],
            reference=like,
            weight=None if self.weights is None else self.weights[rows],
            init_score=None if self.start is None else self.start[rows],
            categorical_feature=list(self.categorical),
            params={**settings},
        )
        return found


@dataclass(frozen=True)
class Stop:
    """Where to stop: trees, the mean loss on rows set aside, and the seconds a tree takes."""

    trees: int
    loss: float
    seconds: float
    share: float
    """The part of the rows that these trees were grown on."""


def find_stop(
    sample: Sample,
    folds: Sequence[Fold],
    settings: Settings,
    most: int,
    patience: int,
    deadline: float | None = None,
) -> Stop:
    """Grow one booster a fold, all in step, until their mean loss has not fallen for `patience`
    trees, `most` is reached or the time is over."""
    begun = time.monotonic()
    boosters = []
    for fit, judge in folds:
        data = sample.dataset(fit, settings)
        booster = _lightgbm().Booster({**settings}, data)
        booster.add_valid(sample.dataset(judge, settings, like=data), "judged")
        boosters.append(booster)
    sizes = np.array([len(judge) for _, judge in folds], dtype=np.float64)
    best, best_at, grown = np.inf, 1, 0
    while grown < most and grown - best_at < patience:
        wanted = min(CHECK_EVERY, most - grown)
        finished = [_advance(booster, wanted) for booster in boosters]
        grown += wanted
        losses = [booster.eval_valid()[0][2] for booster in boosters]
        loss = float(np.average(losses, weights=sizes))
        if loss < best:
            best, best_at = loss, grown
        if all(finished) or (deadline is not None and time.monotonic() > deadline):
            break
    fitted = sum(len(fit) for fit, _ in folds)
    share = fitted / sum(len(fit) + len(judge) for fit, judge in folds)
    spent = (time.monotonic() - begun) / max(1, grown * len(folds)) / share
    return Stop(best_at, best, spent, share)


def grow(sample: Sample, settings: Settings, trees: int, deadline: float | None = None) -> str:
    """Return a booster of `trees` trees (a class) grown on all rows, as LightGBM text.

    Past the deadline it ends with the trees that it has, at least one.
    """
    rows = np.arange(len(sample.targets))
    booster = _lightgbm().Booster({**settings}, sample.dataset(rows, settings))
    for _ in range(trees):
        if booster.update() or (deadline is not None and time.monotonic() > deadline):
            break
    text: str = booster.model_to_string()
    return text


def _advance(booster: lightgbm.Booster, trees: int) -> bool:
    """Add trees; True when no split helps any more."""
    return any(booster.update() for _ in range(trees))


def _lightgbm() -> ModuleType:
    """The library, asked for only when something grows."""
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("lightgbm", "tables", "boosting") from error
    return lightgbm
