"""Regions that follow edges, and pictures as a model sees them."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from metier.evidence.explanations.regions import blur, seen_by, segment
from metier.runtime.both import Both
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.images import Image


@pytest.mark.parametrize("shape", [(224, 224), (60, 200), (7, 5), (1, 1)])
def test_every_pixel_has_a_region_and_every_number_is_used(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    regions = segment(pixels, 49)
    assert regions.shape == shape
    assert sorted(np.unique(regions)) == list(range(regions.max() + 1))
    assert regions.max() < 64


def test_regions_follow_an_edge() -> None:
    pixels = np.zeros((128, 128, 3), dtype=np.uint8)
    pixels[:, 70:] = (250, 200, 30)
    regions = segment(pixels, 49)
    crossing = np.intersect1d(regions[:, :66], regions[:, 74:])
    assert not len(crossing)


def test_out_of_focus_the_detail_is_gone_and_the_light_stays() -> None:
    pixels = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    found = blur(pixels).astype(float)
    assert found.std() < 5 and abs(found.mean() - pixels.mean()) < 3


def test_what_was_looked_at_is_read_as_the_picture_was() -> None:
    random = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(random)
    image = Image("photo", ("shortest_edge", 40), (32, 32))
    table = Numbers((ColumnSpec("size", "number", "raw"),))
    for preprocess in (image, Both((image, table))):
        again, look = seen_by(preprocess)
        pixels = look(picture)
        assert pixels.shape == (32, 32, 3)
        cells = {"size": [1.0]}
        whole = preprocess.encode({"photo": [picture], **cells}).examples[0]
        seen = again.encode({"photo": [PIL.Image.fromarray(pixels)], **cells}).examples[0]
        assert whole is not None and seen is not None
        for a, b in zip(whole, seen, strict=True):
            np.testing.assert_array_equal(a, b)
