"""Between the pixels of a picture, from 0 to 1, and what an image network is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.images import Image, open_image

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pixels:
    """The affine step from pixels to inputs, by channel: ``input = pixel * unit + zero``.

    Pixels are those of the picture in the size that the network sees, so that a radius of 4/255
    means four of the 256 steps of each colour there. Both are (n, 3, height, width), channels in
    the network's order.
    """

    unit: tuple[float, ...]
    zero: tuple[float, ...]

    @classmethod
    def of(cls, preprocess: Image) -> Pixels:
        """Return the step that an image preprocessing ends with."""
        unit = tuple(255 * preprocess.rescale / s for s in preprocess.std)
        return cls(
            unit, tuple(-m / s for m, s in zip(preprocess.mean, preprocess.std, strict=True))
        )

    def inputs(self, pixels: Floats) -> Floats:
        """Return what the network is given for pixels from 0 to 1."""
        return (pixels * _by_channel(self.unit) + _by_channel(self.zero)).astype(np.float32)

    def read(self, preprocess: Image, pictures: Sequence[Any]) -> Floats:
        """Return the pixels, from 0 to 1, of pictures given as paths, bytes or PIL images.

        Raises ValueError for one that cannot be read.
        """
        order = [2, 1, 0] if preprocess.channels == "bgr" else [0, 1, 2]
        seen = np.stack([preprocess.pixels(open_image(each)) for each in pictures])
        found = seen[..., order].transpose(0, 3, 1, 2).astype(np.float32)
        return np.ascontiguousarray(found / np.float32(255))


def _by_channel(values: tuple[float, ...]) -> Floats:
    return np.asarray(values, dtype=np.float32)[:, None, None]
