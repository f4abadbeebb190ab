"""Pictures as regions, and out of focus: how a part of a picture is taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

from metier.runtime.both import Both
from metier.runtime.images import Image, open_image
from metier.runtime.preprocess import Preprocess

Pixels = NDArray[np.uint8]
Look = Callable[[Any], Pixels]

SIDE = 64
"""Regions are found on a picture of this many pixels along its longer side."""
ROUNDS = 8
COMPACT = 0.35
"""How much nearness counts beside likeness of colour."""


def seen_by(preprocess: Preprocess) -> tuple[Preprocess, Look]:
    """Return how a model looks at a picture, and its preprocessing for what was looked at already.

    Parts of a picture are taken away from what the network sees, so that no border is blurred by
    scaling. A model without a fixed size sees the picture as it is.
    """
    parts = preprocess.parts if isinstance(preprocess, Both) else (preprocess,)
    image = next((part for part in parts if isinstance(part, Image)), None)
    if image is None:
        return preprocess, lambda cell: np.asarray(open_image(cell), dtype=np.uint8)
    whole: Preprocess = replace(image, resize=None, crop=image.size)
    if isinstance(preprocess, Both):
        whole = Both(tuple(whole if part is image else part for part in parts))
    return whole, lambda cell: image.pixels(open_image(cell))


def blur(pixels: Pixels) -> Pixels:
    """Return a picture out of focus: nothing in it but where it is light and dark."""
    radius = max(pixels.shape[:2]) / 12
    blurred = PIL.Image.fromarray(pixels).filter(PIL.ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, dtype=np.uint8)


def segment(pixels: Pixels, about: int) -> NDArray[np.int64]:
    """Return the region of each pixel, int64 (height, width), numbered from 0.

    k-means over colour and place from a regular grid, as in SLIC (Achanta et al., 2012), on a small
    copy; specks are taken up by what is around them. `about` is how many regions are begun with,
    255 at most.

    >>> halves = np.zeros((32, 32, 3), np.uint8); halves[:, 16:] = 255
    >>> regions = segment(halves, 4)
    >>> bool((regions[:, 15] != regions[:, 16]).all())
    True
    """
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(PIL.Image.fromarray(pixels).resize(size), dtype=np.float64) / 255.0
    across = max(1, round(np.sqrt(about * size[0] / size[1])))
    down = max(1, min(255 // across, round(about / across)))
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    step = max(size) / max(across, down)
    place = np.stack([rows, columns], axis=2) * (COMPACT / step)
    points = np.concatenate([small, place], axis=2).reshape(-1, 5)
    start = (rows * down // size[1]) * across + columns * across // size[0]
    found = start.ravel()
    for _ in range(ROUNDS):
        names, found = np.unique(found, return_inverse=True)
        counts = np.bincount(found, minlength=len(names))[:, None]
        sums = np.stack([np.bincount(found, weights=column) for column in points.T], axis=1)
        centres = sums / counts
        far = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)
        found = far.argmin(axis=1)
    specks = PIL.Image.fromarray(found.reshape(size[1], size[0]).astype(np.uint8))
    smooth = specks.filter(PIL.ImageFilter.ModeFilter(5)).resize(
        (width, height), PIL.Image.Resampling.NEAREST
    )
    _, numbered = np.unique(np.asarray(smooth), return_inverse=True)
    return np.asarray(numbered.reshape(height, width), dtype=np.int64)
