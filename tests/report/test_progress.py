"""Live progress: redrawn in a terminal, one line an event elsewhere, silent when quiet."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from metier.report.progress import Progress


def a_run(progress: Progress) -> None:
    progress.stage("search")
    progress.trial("finetune", {"rate": 0.0002, "train": "all"})
    progress.best("finetune 1", 0.91, 0.88, 0.94)
    progress.warn("one image could not be read")


def ticking(seconds: float = 10.0) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += seconds


def test_one_line_for_each_event() -> None:
    said, clock = io.StringIO(), ticking()
    with Progress(Console(file=said, width=30), clock=lambda: next(clock)) as progress:
        a_run(progress)
    assert said.getvalue().splitlines() == [
        "[10.0 s] search",
        "[20.0 s] trying finetune: rate 0.0002, train all",
        "[30.0 s] best so far: finetune 1 0.910 (0.880 to 0.940)",
        "warning: one image could not be read",
    ]


def test_quiet_is_silent() -> None:
    for terminal in (True, False):
        said = io.StringIO()
        with Progress(Console(file=said, force_terminal=terminal), quiet=True) as progress:
            a_run(progress)
        assert said.getvalue() == ""


def test_a_terminal_shows_time_left_rung_and_best() -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=80, no_color=True)
    with Progress(console, deadline=300.0, clock=lambda: 0.0) as progress:
        a_run(progress)
    shown = said.getvalue()
    for part in ("search", "5:00 left", "trying finetune", "finetune 1 0.910", "warning:"):
        assert part in shown


def test_the_screen_is_given_back_after_a_fault() -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=80)
    with pytest.raises(RuntimeError), Progress(console) as progress:
        progress.stage("read")
        raise RuntimeError
    assert "\x1b[?25h" in said.getvalue(), "the cursor is shown again"
    progress.finished()


def test_time_left_never_goes_below_zero_and_can_be_set_late() -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=80, no_color=True)
    with Progress(console, clock=lambda: 4000.0) as progress:
        progress.until(10.0)
        progress.stage("prove")
    assert "0:00 left" in said.getvalue()
