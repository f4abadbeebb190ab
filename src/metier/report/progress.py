"""Live progress on standard error: the stage, the rung being tried, the best so far, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from metier.report import wording


class Progress:
    """Shows how a run goes; a context manager, so that the screen is left clean after a fault.

    In a terminal, a few lines that are redrawn; elsewhere, one line for each event; nothing at all
    when `quiet`.

    >>> import io
    >>> said = io.StringIO()
    >>> with Progress(Console(file=said), clock=lambda: 0.0) as progress:
    ...     progress.stage("read the data")
    ...     progress.best("probe", 0.9, 0.85, 0.94)
    >>> print(said.getvalue(), end="")
    [0 s] read the data
    [0 s] best so far: probe 0.900 (0.850 to 0.940)

    Args:
        console: where to; standard error by default.
        deadline: when the run must have ended, in `clock` seconds; None when there is no budget.
        quiet: say nothing.
        clock: the time in seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        deadline: float | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._deadline = deadline
        self._quiet = quiet
        self._clock = clock
        self._start = clock()
        self._stage = self._trial = self._best = ""
        self._trials = 0
        self._live: Live | None = None
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(
                get_renderable=self._drawn,
                console=self._console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finished()

    def stage(self, name: str) -> None:
        """Say which part of the run begins."""
        self._stage, self._trial = name, ""
        self._say(name)

    def trial(self, rung: str, parameters: Mapping[str, Any]) -> None:
        """Say which rung is being tried, and with what."""
        self._trials += 1
        written = wording.parameters(parameters)
        self._trial = f"trying {rung}" + (f": {written}" if written else "")
        self._say(self._trial)

    def best(self, name: str, value: float, low: float | None, high: float | None) -> None:
        """Say what leads now."""
        around = f" ({wording.interval(low, high)})" if low is not None else ""
        self._best = f"{name} {wording.number(value)}{around}"
        self._say(f"best so far: {self._best}")

    def warn(self, text: str) -> None:
        """Say something that stays on the screen."""
        if not self._quiet:
            self._console.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)

    def until(self, deadline: float | None) -> None:
        """Set when the run must have ended, in `clock` seconds."""
        self._deadline = deadline

    def finished(self) -> None:
        """Stop showing. More calls do no harm."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, text: str) -> None:
        if not self._quiet and not self._console.is_terminal:
            passed = wording.duration(round(self._clock() - self._start))
            self._console.print(Text(f"[{passed}] {text}"), soft_wrap=True)

    def _drawn(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(overflow="ellipsis", no_wrap=True)
        grid.add_row(self._spinner, Text.assemble((self._stage, "bold"), f"   {self._time()}"))
        if self._trial:
            grid.add_row("", Text(self._trial, style="dim"))
        if self._best:
            grid.add_row("", Text.assemble(("best so far: ", "dim"), self._best))
        return grid

    def _time(self) -> str:
        now = self._clock()
        passed = _clock_face(now - self._start)
        tried = f", {self._trials} tried" if self._trials else ""
        if self._deadline is None:
            return f"{passed}{tried}"
        return f"{passed}{tried}, {_clock_face(max(0.0, self._deadline - now))} left"


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
