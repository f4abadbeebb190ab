"""The bench of training speed, on a few rows: both sides learn and are timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import records, speed


@pytest.mark.slow
def test_both_sides_are_timed_on_the_same_rows(shared_data: Path, tmp_path: Path) -> None:
    options = ["--rows", "64", "--repeats", "1", "--threads", "1", "--parts", "top", "head"]
    speed.main([*options, "--data", str(shared_data), "--results", str(tmp_path)])
    found = records.read("speed", tmp_path)
    assert [(r["method"], r["part"]) for r in found] == [
        ("trainer", "top"),
        ("metier", "top"),
        ("metier", "head"),
    ]
    assert all(r["examples_per_second"] > 0 for r in found)
    assert all(0 < r["share_of_peak"] < 1.5 for r in found[:2])
