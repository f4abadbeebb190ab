"""Choosing rows for labels, played through."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from metier.tasks import build
from metier.training.unlabelled.asking import play
from metier.types import Roles, Table, Task


@pytest.fixture
def rare() -> tuple[np.ndarray, np.ndarray, Task]:
    """One class is most of the rows, nine others are rare and lie apart."""
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.zeros(600, np.int64), np.repeat(np.arange(1, 10), 12)])
    centres = rng.normal(size=(10, 12)) * 2
    features = (centres[targets] + rng.normal(size=(len(targets), 12))).astype(np.float32)
    table = Table(pl.DataFrame({"y": [f"c{t}" for t in targets]}), Roles({}, ("y",)))
    return features, targets, build("multiclass", table, "balanced_accuracy")


def test_choosing_finds_rare_classes_sooner_than_chance(
    rare: tuple[np.ndarray, np.ndarray, Task],
) -> None:
    features, targets, task = rare
    judged = np.arange(0, len(features), 3)
    ends = {"both": [], None: []}  # type: dict[str | None, list[float]]
    for seed in range(3):
        for by in ("both", None):
            found = play(
                features, targets, task, by, judged=judged, start=30, step=30, rounds=2, seed=seed
            )
            assert found.sizes == (30, 60, 90)
            ends[by].append(found.values[-1])
    assert np.mean(ends["both"]) > np.mean(ends[None])


def test_all_begin_alike_and_end_when_no_row_is_left(
    rare: tuple[np.ndarray, np.ndarray, Task],
) -> None:
    features, targets, task = rare
    judged = np.arange(100, len(features))
    chosen, drawn = (
        play(features, targets, task, by, judged=judged, start=40, step=50, rounds=9)
        for by in ("margin", None)
    )
    assert chosen.values[0] == drawn.values[0] and chosen.sizes == (40, 90, 100)
    assert chosen.values[-1] == pytest.approx(drawn.values[-1], abs=0.05)
