"""The time that a run may take, kept over interruptions."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from metier.cache import write_aside
from metier.errors import OptionError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_budget(text: str | float) -> float:
    """Return seconds: a number, or "90s", "5m", "1.5h". Raises OptionError for anything else.

    >>> parse_budget("5m"), parse_budget("90s"), parse_budget(30)
    (300.0, 90.0, 30.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(text))
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise OptionError(f"budget {text!r}: expected a time such as 90s, 5m or 1h")
    return seconds


class Clock:
    """Wall-clock against a budget; None is a run that only counts its trials.

    Args:
        budget: seconds.
        started: the time.monotonic() instant that it runs from; now when None.
    """

    def __init__(self, budget: float | None, started: float | None = None) -> None:
        self.budget = budget
        self._path: Path | None = None
        self._before = 0.0
        self._started = time.monotonic() if started is None else started
        self._noted = self._started

    def keep(self, folder: Path) -> None:
        """Write down the time used in a run folder; what earlier sittings used there counts."""
        self._path = folder / "clock.json"
        if self._path.exists():
            self._before = float(json.loads(self._path.read_text(encoding="utf-8"))["used"])

    @property
    def used(self) -> float:
        """Seconds used so far, earlier sittings included."""
        return self._before + time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds left; infinite without a budget."""
        return float("inf") if self.budget is None else self.budget - self.used

    def deadline(self, seconds: float) -> float | None:
        """The time.monotonic() instant `seconds` from now; None without a budget."""
        return None if self.budget is None else time.monotonic() + max(0.0, seconds)

    def note(self, force: bool = False) -> None:
        """Write down the time used, at most once a second."""
        if self._path is None or (not force and time.monotonic() - self._noted < 1.0):
            return
        self._noted = time.monotonic()
        write_aside(self._path, json.dumps({"used": self.used}).encode())
