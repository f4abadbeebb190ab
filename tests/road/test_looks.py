from __future__ import annotations

from pathlib import Path

from metier.road.looks import count_again, count_look


def test_looks_add_up_and_the_same_recipe_looks_once(tmp_path: Path) -> None:
    assert count_look(tmp_path, "rows", "recipe a") == 1
    assert count_look(tmp_path, "rows", "recipe a") == 1
    assert count_look(tmp_path, "rows", "recipe b") == 2
    assert count_again(tmp_path, "rows") == 3
    assert count_again(tmp_path, "rows") == 4


def test_other_rows_are_no_look(tmp_path: Path) -> None:
    assert count_again(tmp_path, "rows") is None
    count_look(tmp_path, None, "recipe a")
    assert count_again(tmp_path, "rows") is None
