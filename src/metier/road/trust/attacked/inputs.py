"""Inputs as attacks take them: each kind knows how the bundle scores what was changed, and which
attacks there are on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.curves import Broken, Rows
from metier.runtime.postprocess import Decision
from metier.types import Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel

TOGETHER = 8
"""Pictures, or texts, that are attacked at once: few, since the clock is looked at between."""
SHOWN = 6
"""Broken inputs that are kept to be shown."""


@dataclass(frozen=True)
class Way:
    """One attack as it is told, and what it does to a batch of prepared inputs."""

    name: str
    about: str
    family: str
    sees: str
    radius: float | None
    craft: Callable[[Any, Aim, int], tuple[Any, float]]


class Attackable(Protocol):
    """Inputs of one kind. A batch is whatever `read` makes of rows; crafted ones are the same."""

    gradients: bool
    """Whether an attack can follow the gradients of a net."""
    together: int
    """Rows that are attacked at once."""
    shown: str
    """The attack whose broken inputs are shown."""

    def read(self, rows: Rows) -> tuple[Any, NDArray[np.int64]]:
        """Return a batch of the rows that could be read, and which these are."""
        ...

    def scores(self, batch: Any, /) -> Floats:
        """Return the bundle's scores of a batch."""
        ...

    def ways(self, net: NetModel | None) -> list[Way]:
        """Return the attacks; without a net those that see scores alone."""
        ...

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        """Remember what one attack did to a batch, if it is the one to be shown."""
        ...

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        """Return a few inputs that fell, before and after."""
        ...


def broken(
    rows: Rows,
    row: int,
    decision: Decision,
    answered: Any,
    texts: tuple[str, str],
    pictures: tuple[bytes, bytes] | None,
) -> Broken:
    """Return an input that fell, before and after, as texts or pictures to be shown."""
    truth = rows.truth[row]
    named = str(truth)
    if decision.kind in ("binary", "multiclass"):
        named = decision.labels[int(truth)]
    elif decision.kind == "multilabel":
        named = ", ".join(decision.labels[j] for j in np.flatnonzero(truth))
    told = ", ".join(answered) if isinstance(answered, list) else str(answered)
    return Broken(int(rows.numbers[row]), named, *texts, told, pictures)
