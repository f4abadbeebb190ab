"""Changing a picture a little: crop, flip, and for more a few random operations (as RandAugment:
Cubuk et al., 2020) and an erased part (Zhong et al., 2020). Pillow and numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
SMALLEST_CROP = {"light": 0.75, "strong": 0.5}
"""The share of a picture's area that stays at least."""
OPERATIONS = 2
ERASED = (0.02, 0.2)
"""The share of the area that is erased, in half of the pictures."""


def changed_pixels(
    pixels: Pixels, random: np.random.Generator, strength: Literal["none", "light", "strong"]
) -> Pixels:
    """Return a changed picture of the same size, uint8 (height, width, 3)."""
    if strength == "none":
        return pixels
    image = PIL.Image.fromarray(_cropped(pixels, random, SMALLEST_CROP[strength]))
    image = image.resize((pixels.shape[1], pixels.shape[0]), PIL.Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        image = PIL.ImageOps.mirror(image)
    if strength == "light":
        return np.asarray(image, dtype=np.uint8)
    for which in random.choice(len(CHANGES), OPERATIONS, replace=False):
        image = CHANGES[int(which)](image, float(random.uniform(-1, 1)))
    found = np.array(image, dtype=np.uint8)
    return _erased(found, random) if random.random() < 0.5 else found


def _cropped(pixels: Pixels, random: np.random.Generator, least: float) -> Pixels:
    """A part of the picture, of a shape between 3:4 and 4:3 of its own."""
    height, width = pixels.shape[:2]
    area, shape = random.uniform(least, 1.0), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
    tall = min(height, max(1, round(height * np.sqrt(area / shape))))
    wide = min(width, max(1, round(width * np.sqrt(area * shape))))
    top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
    return pixels[top : top + tall, left : left + wide]


def _erased(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A rectangle of one random colour."""
    height, width = pixels.shape[:2]
    side = np.sqrt(random.uniform(*ERASED))
    tall, wide = max(1, round(side * height)), max(1, round(side * width))
    top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
    pixels[top : top + tall, left : left + wide] = random.integers(0, 256, 3, dtype=np.uint8)
    return pixels


Change = Callable[[PIL.Image.Image, float], PIL.Image.Image]


def _brighter(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return PIL.ImageEnhance.Brightness(image).enhance(1 + 0.4 * dose)


def _harder(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return PIL.ImageEnhance.Contrast(image).enhance(1 + 0.4 * dose)


def _brighter_colours(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return PIL.ImageEnhance.Color(image).enhance(1 + 0.6 * dose)


def _sharper(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return PIL.ImageEnhance.Sharpness(image).enhance(1 + 0.8 * dose)


def _turned(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return image.rotate(15 * dose, PIL.Image.Resampling.BILINEAR)


def _slanted(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    slant = 0.2 * dose
    data = (1, slant, -slant * image.height / 2, 0, 1, 0)
    affine = PIL.Image.Transform.AFFINE
    return image.transform(image.size, affine, data, PIL.Image.Resampling.BILINEAR)


def _evened(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return PIL.Image.blend(image, PIL.ImageOps.autocontrast(image), abs(dose))


def _posterised(image: PIL.Image.Image, dose: float) -> PIL.Image.Image:
    return PIL.ImageOps.posterize(image, 8 - round(3 * abs(dose)))


CHANGES: tuple[Change, ...] = (
    _brighter,
    _harder,
    _brighter_colours,
    _sharper,
    _turned,
    _slanted,
    _evened,
    _posterised,
)
