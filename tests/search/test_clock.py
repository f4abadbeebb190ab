from __future__ import annotations

import time
from pathlib import Path

import pytest

from metier.errors import OptionError
from metier.search.clock import Clock, parse_budget


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("5m", 300.0), ("1.5h", 5400.0), (30, 30.0), ("7", 7.0)]
)
def test_budgets(text: str | float, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", "5 days", "1e3"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(OptionError, match="5m"):
        parse_budget(text)


def test_it_runs_from_the_start_of_everything() -> None:
    clock = Clock(60.0, started=time.monotonic() - 50.0)
    assert 9.0 < clock.left < 10.1
    deadline = clock.deadline(3.0)
    assert deadline is not None
    assert 2.5 < deadline - time.monotonic() <= 3.0
    assert Clock(None).left == float("inf")
    assert Clock(None).deadline(3.0) is None


def test_earlier_sittings_count(tmp_path: Path) -> None:
    first = Clock(60.0, started=time.monotonic() - 20.0)
    first.keep(tmp_path)
    first.note(force=True)
    second = Clock(60.0)
    second.keep(tmp_path)
    assert 39.0 < second.left < 40.1
