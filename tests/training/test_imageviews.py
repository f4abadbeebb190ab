from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.training.imageviews import CHANGES, changed_pixels

ROWS, COLUMNS = np.mgrid[0:40, 0:56]
PICTURE = np.stack([ROWS * 6, COLUMNS * 4, (ROWS + COLUMNS) * 2], axis=2).astype(np.uint8)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_a_picture_keeps_its_size_and_changes(strength: Any) -> None:
    seen = [changed_pixels(PICTURE, np.random.default_rng(s), strength) for s in range(20)]
    for found in seen:
        assert found.shape == PICTURE.shape and found.dtype == np.uint8
    assert len({found.tobytes() for found in seen}) == 20
    again = changed_pixels(PICTURE, np.random.default_rng(7), strength)
    assert (again == seen[7]).all()


def test_nothing_is_changed_when_nothing_is_asked_and_the_picture_itself_never() -> None:
    before = PICTURE.copy()
    assert (changed_pixels(PICTURE, np.random.default_rng(0), "none") == before).all()
    for seed in range(10):
        changed_pixels(PICTURE, np.random.default_rng(seed), "strong")
    assert (before == PICTURE).all()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dose", [-1.0, 0.0, 1.0])
def test_every_operation_takes_every_dose(change: Any, dose: float) -> None:
    import PIL.Image

    found = change(PIL.Image.fromarray(PICTURE), dose)
    assert found.size == (56, 40) and found.mode == "RGB"


def test_a_picture_of_one_pixel_is_survived() -> None:
    dot = np.full((1, 1, 3), 7, np.uint8)
    for seed in range(20):
        assert changed_pixels(dot, np.random.default_rng(seed), "strong").shape == (1, 1, 3)
