"""Near-duplicate images: thumbnails that correlate, found without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.99
"""Correlation of grey thumbnails from which two images count as near-duplicates."""
_BUCKET = 8192
_BLOCK = 1024
_TABLES = 3
_FLAT = 2.0


def find_alike(pixels: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield pairs that put together all thumbnails, (n, pixels), which correlate to `ALIKE` or
    more, whatever their brightness, or are linked by such.

    Up to 8,192 thumbnails are all compared. More are first put into buckets of about that size by
    random planes (Charikar, 2002, "Similarity estimation techniques from rounding algorithms"),
    three times over, so that the work is linear in their number. Images without any contrast are
    never alike.
    """
    values = pixels - pixels.mean(axis=1, keepdims=True)
    scale = np.sqrt((values * values).sum(axis=1, keepdims=True))
    shown = np.flatnonzero(scale[:, 0] > _FLAT * np.sqrt(values.shape[1]))
    values = values[shown] / scale[shown]
    for bucket in _buckets(values):
        for one, two in _compare(values[bucket]):
            yield int(shown[bucket[one]]), int(shown[bucket[two]])


def _buckets(values: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    planes = max(0, int(np.ceil(np.log2(max(1, len(values)) / _BUCKET))))
    if planes == 0:
        yield np.arange(len(values), dtype=np.int64)
        return
    random = np.random.default_rng(0)
    for _ in range(_TABLES):
        sides = values @ random.normal(size=(values.shape[1], planes)).astype(np.float32) > 0
        keys = sides @ (1 << np.arange(planes))
        for key in range(1 << planes):
            yield np.flatnonzero(keys == key)


def _compare(values: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield hardly more pairs than there are thumbnails: who is known to be together with whom is
    not said again."""
    known_by = np.arange(len(values))
    for start in range(0, len(values), _BLOCK):
        near = values[start : start + _BLOCK] @ values[start:].T >= ALIKE
        for one, others in enumerate(near, start):
            found = start + np.flatnonzero(others)
            for two in np.unique(known_by[found]):
                if one != two:
                    yield one, int(two)
            known_by[found] = one
