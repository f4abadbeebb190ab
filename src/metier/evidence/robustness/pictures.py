"""What cameras and files do to pictures, at five severities (after Hendrycks and Dietterich, 2019).

Strengths are shares of the picture's own size, so that a thumbnail and a photo are damaged alike.
"""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

Picture = PIL.Image.Image

NOISE = (0.04, 0.08, 0.12, 0.18, 0.26)
"""Standard deviation of what is added to each pixel, of a range of 1."""
BLUR = (0.004, 0.008, 0.014, 0.022, 0.034)
"""Radius of a Gaussian blur, as a share of the shorter side."""
JPEG = (40, 25, 15, 10, 6)
"""Quality at which the picture is saved."""
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""What is added to each pixel, or taken away, of a range of 1."""
ROTATION = (5, 10, 15, 22, 30)
"""Degrees to either side; the corners show the mirrored border."""


def noise(picture: Picture, severity: int, random: np.random.Generator) -> Picture:
    """Add noise to each pixel, as a sensor does in the dark."""
    pixels = _unit(picture)
    return _picture(pixels + NOISE[severity - 1] * random.standard_normal(pixels.shape))


def blur(picture: Picture, severity: int, random: np.random.Generator) -> Picture:
    """Blur, as out of focus."""
    radius = max(BLUR[severity - 1] * min(picture.size), 0.3)
    return picture.filter(PIL.ImageFilter.GaussianBlur(radius))


def jpeg(picture: Picture, severity: int, random: np.random.Generator) -> Picture:
    """Save with little quality and open again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG[severity - 1])
    again = PIL.Image.open(file)
    again.load()
    return again


def brightness(picture: Picture, severity: int, random: np.random.Generator) -> Picture:
    """Make lighter or darker, in turns by chance."""
    sign = 1.0 if random.random() < 0.5 else -1.0
    return _picture(_unit(picture) + sign * BRIGHTNESS[severity - 1])


def rotation(picture: Picture, severity: int, random: np.random.Generator) -> Picture:
    """Turn to either side; what comes in at the corners mirrors the border, and is not black."""
    sign = 1 if random.random() < 0.5 else -1
    pixels = np.asarray(picture)
    room = int(np.ceil(0.25 * max(picture.size)))
    high, wide = (min(room, side - 1) for side in pixels.shape[:2])
    padded = np.pad(pixels, ((high, high), (wide, wide), (0, 0)), mode="symmetric")
    turned = PIL.Image.fromarray(padded).rotate(
        sign * ROTATION[severity - 1], PIL.Image.Resampling.BILINEAR
    )
    return turned.crop((wide, high, wide + picture.width, high + picture.height))


def _unit(picture: Picture) -> NDArray[np.float64]:
    return np.asarray(picture, dtype=np.float64) / 255


def _picture(unit: NDArray[np.float64]) -> Picture:
    return PIL.Image.fromarray(np.rint(255 * unit.clip(0, 1)).astype(np.uint8))
