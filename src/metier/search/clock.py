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
        resumed: a run folder whose time used before an interruption counts.
        keep: the run folder in which the time used is written down.
    """

    def __init__(
        self, budget: float | None, resumed: Path | None = None, keep: Path | None = None
    ) -> None:
        self.budget = budget
        self._path = None if keep is None else keep / "clock.json"
        self._before = 0.0
        if resumed is not None and (resumed / "clock.json").exists():
            self._before = float(json.loads((resumed / "clock.json").read_text())["used"])
        self._started = time.monotonic()
        self._noted = self._started

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
