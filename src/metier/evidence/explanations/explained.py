"""All that an explanation of a bundle on rows has found: what the page and `--json` are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metier.deploy.additive import Additive
from metier.evidence.explanations.attribution import Attribution
from metier.evidence.explanations.faithful import Faithfulness, Stability
from metier.evidence.explanations.overall import Overall
from metier.evidence.explanations.players import Part, Player
from metier.runtime.postprocess import TaskKind
from metier.types import Finding


@dataclass(frozen=True)
class Neighbour:
    """A training row that the model sees as near to a row.

    Args:
        row: its number in the training data (0-based).
        likeness: 1 for the same, by what `Nearest.measure` says.
        truth: its label or value.
        inputs: its cells as a person can read them; images by their path.
    """

    row: int
    likeness: float
    truth: str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class Nearest:
    """The training rows near to the rows shown.

    Args:
        told: how likeness is measured, or why there are none.
        rows: for each row shown, the nearest ones first.
        pictures: the columns that hold paths of images.
    """

    told: str
    rows: Mapping[int, tuple[Neighbour, ...]]
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowExplained:
    """One row, its answer, and what its players have to do with it.

    `label` is what is explained (None for a number), `chance` the probability or the value of it,
    `truth` what the data say.
    """

    row: int
    answer: str
    label: str | None
    chance: float
    truth: str | None
    parts: tuple[Part, ...]
    attribution: Attribution

    @property
    def players(self) -> tuple[Player, ...]:
        return tuple(player for part in self.parts for player in part.players)


@dataclass(frozen=True)
class Explained:
    """What was found.

    Args:
        bundle: where it lies.
        digest: which one it is.
        task: the shape of its answers.
        labels: its labels; empty for regression.
        method: the method that explains, chosen or asked for.
        asked: what was asked for: a method, or "auto".
        tried: how faithful each method was on the rows that chose, the best first; empty when the
            method was asked for.
        skipped: methods that could not be tried, and why.
        faithful: how faithful the method is, on rows that did not choose it.
        stable: whether its explanations stay the same.
        rows: the rows shown.
        overall: what matters over all rows explained.
        nearest: the training rows near to those shown.
        findings: all of this as claims.
        glass: the glass box with its curves, which are its own account of what it does; None for
            other models.
        seconds: how long it took.
    """

    bundle: str
    digest: str
    task: TaskKind
    labels: tuple[str, ...]
    method: str
    asked: str
    tried: tuple[Faithfulness, ...]
    skipped: Mapping[str, str]
    faithful: Faithfulness | None
    stable: Stability | None
    rows: tuple[RowExplained, ...]
    overall: Overall
    nearest: Nearest
    findings: tuple[Finding, ...]
    glass: Additive | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what `metier explain --json` prints, as plain values: no pixels."""
        return {
            "bundle": self.bundle,
            "digest": self.digest,
            "task": self.task,
            "labels": list(self.labels),
            "method": self.method,
            "asked": self.asked,
            "tried": list(self.tried),
            "skipped": dict(self.skipped),
            "faithful": self.faithful,
            "stable": self.stable,
            "rows": [_row_json(each) for each in self.rows],
            "overall": self.overall,
            "nearest": self.nearest,
            "findings": list(self.findings),
            "seconds": round(self.seconds, 2),
        }


def _row_json(found: RowExplained) -> dict[str, Any]:
    attribution = found.attribution
    return {
        "row": found.row,
        "answer": found.answer,
        "label": found.label,
        "chance": found.chance,
        "truth": found.truth,
        "base": attribution.base,
        "output": attribution.output,
        "error": attribution.error,
        "sums": attribution.tolerance is not None,
        "holds": attribution.holds,
        "players": [
            {"column": player.column, "name": player.name, "value": float(value)}
            for player, value in zip(found.players, attribution.values, strict=True)
        ],
    }
