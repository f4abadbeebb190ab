"""Which of what was tried to make a specialist smaller is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metier.errors import OptionError
from metier.search.front import (
    Limits,
    Shrunk,
    Side,
    State,
    conclude,
    limits_of,
    pareto,
    parse_latency,
    parse_size,
)

PARENT = Side(90_000_000, 0.010, 0.012, 0.015, 500.0, None, 0.90, 0.88, 0.92, 1000)


def tried(
    name: str,
    size: float,
    latency: float,
    loss: float,
    state: State = "accepted",
    limit: int = 12_000_000,
) -> Shrunk:
    side = replace(PARENT, bytes=int(size * 1e6), latency=latency / 1e3, value=0.9 - loss / 100)
    meets = Limits(size=limit).excess(side) <= 1
    return Shrunk(name, state, "why", side, loss, loss - 0.4, loss + 0.4, meets)


LARGE = tried("int8", 23, 4, 0.0)
SMALL = tried("trim > int8", 11, 4, 0.3)
SMALLER = tried("distill > int8", 6, 2, 0.4)
LOSSY = tried("harder", 5, 1, 3.0, "rejected")


def test_within_limits_what_loses_least_is_taken() -> None:
    found = conclude(Limits(size=12_000_000), PARENT, [LARGE, SMALL, SMALLER, LOSSY])
    assert (found.chosen, found.met) == ("trim > int8", True)
    assert "8.2 times smaller and 2.5 times as fast" in found.verdict
    assert "losing 0.300 points (loss -0.100 to 0.700 on 1,000 rows)" in found.verdict


def test_a_loss_is_told_in_the_unit_it_was_counted_in() -> None:
    found = conclude(Limits(), PARENT, [replace(SMALL, unit="per cent")])
    assert "losing 0.300 per cent (loss -0.100 to 0.700 on 1,000 rows)" in found.verdict
    assert found.unit == "per cent"
    assert conclude(Limits(), PARENT, [SMALL]).unit == "points"


def test_without_limits_what_saves_most_is_taken() -> None:
    assert conclude(Limits(), PARENT, [LARGE, SMALL, SMALLER, LOSSY]).chosen == "distill > int8"


def test_what_was_rejected_is_never_taken_and_the_nearest_is_named() -> None:
    near = tried("trim > int8", 11, 4, 0.3, limit=5_500_000)
    found = conclude(Limits(size=5_500_000), PARENT, [near, LOSSY])
    assert (found.chosen, found.met) == ("trim > int8", False)
    assert "nothing meets at most 5.5 MB; the nearest is trim > int8, 11 MB" in found.verdict
    assert "harder is within them with 5 MB" in found.verdict


def test_a_specialist_within_its_limits_stays_as_it_is() -> None:
    found = conclude(Limits(size=100_000_000, latency=0.02), PARENT, [LARGE])
    assert (found.chosen, found.met) == ("", True)


def test_nothing_accepted_leaves_the_parent() -> None:
    assert conclude(Limits(), PARENT, [LOSSY]).chosen == ""
    found = conclude(Limits(latency=0.001), PARENT, [LOSSY])
    assert (found.chosen, found.met) == ("", False)
    assert "the nearest is the specialist as it was" in found.verdict


def test_the_front_is_what_nothing_beats_in_all_three() -> None:
    dominated = tried("worse", 24, 5, 0.5)
    assert pareto(PARENT, [LARGE, SMALLER, dominated]) == {"int8", "distill > int8"}
    # The parent loses nothing, but int8 does not either and is smaller and faster.


def test_limits_are_read_and_nonsense_is_refused() -> None:
    assert limits_of("12MB", "3ms", None) == Limits(12_000_000, 0.003)
    assert parse_size("1 KiB") == 1024
    assert parse_latency("250us") == pytest.approx(0.00025)
    for wrong in ("12 parsecs", "-1MB", "0", "MB"):
        with pytest.raises(OptionError, match="expected something like"):
            parse_size(wrong)
    with pytest.raises(OptionError, match="3ms"):
        parse_latency("quick")
    with pytest.raises(OptionError, match="points"):
        limits_of(None, None, -1.0)


def test_a_limit_of_size_alone_asks_for_size() -> None:
    assert Limits(size=1).wanted == "size"
    assert Limits(size=1, latency=1.0).wanted == Limits().wanted == "speed"
