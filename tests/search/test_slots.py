"""How much of what is left one fit may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.search.clock import Clock
from metier.search.ladder import Rung
from metier.search.slots import Limits, slot
from tests.search import fakes


def seconds(folder: Path, strategy: str, budget: float | None, baseline: bool = False) -> float:
    race = fakes.race(folder)
    limits = Limits(Clock(budget), lambda: 1.0, 1)
    found = slot(limits, race, Rung("r", strategy, "s", baseline=baseline), [], None, (0, 1, 2, 3))
    return -1.0 if found is None else found


def test_what_is_left_is_divided_among_folds_and_the_last_fit(tmp_path: Path) -> None:
    assert seconds(tmp_path, "finetune", None) == -1.0
    assert 8.0 < seconds(tmp_path, "finetune", 60.0) < 59.0 / 5
    assert seconds(tmp_path, "finetune", 60.0, baseline=True) < 59.0 / 5 / 4


@pytest.mark.parametrize("strategy", ["probe", "generalist"])
def test_a_head_alone_is_begun_in_a_shorter_slot(tmp_path: Path, strategy: str) -> None:
    assert seconds(tmp_path, "finetune", 3.0) == 0.0
    assert 0.1 <= seconds(tmp_path, strategy, 3.0) < 0.5
    assert seconds(tmp_path, strategy, 1.2) == 0.0
