"""What a fit had to go back for: learning from few steps of an attack that hardened no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metier.evidence.bootstrap import wilson
from metier.types import Finding

NOTE = "turns"
"""Where the notes of a fit keep it."""
LEVEL = 0.95


def setbacks(notes: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return one claim for each time that the fit of these notes went back."""
    return tuple(_told(turn) for turn in notes.get(NOTE, ()))


def _told(turn: Mapping[str, Any]) -> Finding:
    withstood, left, steps = (int(turn[name]) for name in ("withstood", "left", "steps"))
    low, high = wilson(left, withstood, LEVEL)
    verdict = (
        f"after {turn['epoch']:g} epochs {withstood} of {turn['rows']} training rows withstood an "
        f"attack of {_counted(steps)}, and {left} of these a longer one: the network had learned "
        "that attack and nothing else, so the fit went back an epoch and went on with "
        f"{_counted(2 * steps)}"
    )
    return Finding(NOTE, verdict, left / withstood, low, high, withstood, "warning", details=turn)


def _counted(steps: int) -> str:
    return "one step" if steps == 1 else f"{steps} steps"
