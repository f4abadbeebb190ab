"""Images to colour and gradient histograms: what one can see without a learned network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from metier.runtime.images import open_image
from metier.runtime.preprocess import Arrays, Columns, Encoded, Example, Preprocess, is_missing

Doubles = NDArray[np.float64]

CELL = 8
ORIENTATIONS = 9
HUES, SATURATIONS, VALUES = 8, 3, 3
LEVELS = 8


@dataclass(frozen=True)
class Histograms:
    """An image column to one vector: histograms of colours and of oriented gradients.

    Colours: hue, saturation and value together over the whole image, and the three channels in
    each quarter. Gradients: Dalal and Triggs, 2005, "Histograms of oriented gradients for human
    detection" (cells of 8 pixels, blocks of 2 x 2 cells, 9 orientations).

    Args:
        column: the image column (paths, bytes or PIL images).
        size: the side in pixels to which an image is resized; a multiple of 8 and at least 16.
    """

    kind: ClassVar[str] = "histograms"

    column: str
    size: int = 64

    def __post_init__(self) -> None:
        if self.size % CELL or self.size < 2 * CELL:
            raise ValueError(f"size {self.size} is no multiple of {CELL} of at least {2 * CELL}")

    @property
    def length(self) -> int:
        """Numbers in a vector."""
        blocks = self.size // CELL - 1
        return HUES * SATURATIONS * VALUES + 4 * 3 * LEVELS + blocks * blocks * 4 * ORIENTATIONS

    def features(self, image: PIL.Image.Image) -> NDArray[np.float32]:
        """Return the vector of an RGB image, float32 (length,)."""
        small = image.resize((self.size, self.size), PIL.Image.Resampling.BILINEAR)
        pixels = np.asarray(small, dtype=np.uint8)
        hsv = np.asarray(small.convert("HSV"), dtype=np.uint8)
        parts = [_colours(hsv), _quarters(pixels), _gradients(pixels.astype(np.float64))]
        return np.concatenate(parts).astype(np.float32)

    def encode(self, columns: Columns) -> Encoded:
        """Read each image; one that cannot be read gives None and the reason."""
        examples: list[Example | None] = []
        reasons: dict[int, str] = {}
        for row, source in enumerate(columns[self.column]):
            try:
                if is_missing(source):
                    raise ValueError("no image given")
                examples.append((self.features(open_image(source)),))
            except ValueError as error:
                examples.append(None)
                reasons[row] = str(error)
        return Encoded(examples, reasons)

    def cost(self, example: Example) -> int:
        """Every image costs the same."""
        return 1

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Return `features`, float32 (n, length)."""
        return {"features": np.stack([example[0] for example in examples])}

    def spec(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {"kind": self.kind, "column": self.column, "size": self.size}

    def files(self) -> dict[str, bytes]:
        """Nothing lies beside the graph."""
        return {}


def _shares(counts: NDArray[np.int64]) -> Doubles:
    """The square root of shares: distances between histograms then behave (Hellinger)."""
    return np.asarray(np.sqrt(counts / max(1, counts.sum())), dtype=np.float64)


def _colours(hsv: NDArray[np.uint8]) -> Doubles:
    bins = (HUES, SATURATIONS, VALUES)
    place = np.zeros(hsv.shape[:2], dtype=np.int64)
    for channel, count in enumerate(bins):
        place = place * count + hsv[..., channel].astype(np.int64) * count // 256
    return _shares(np.bincount(place.ravel(), minlength=HUES * SATURATIONS * VALUES))


def _quarters(pixels: NDArray[np.uint8]) -> Doubles:
    half = pixels.shape[0] // 2
    level = pixels.astype(np.int64) * LEVELS // 256
    quarters = [level[r : r + half, c : c + half] for r in (0, half) for c in (0, half)]
    counts = [
        _shares(np.bincount(quarter[..., channel].ravel(), minlength=LEVELS))
        for quarter in quarters
        for channel in range(3)
    ]
    return np.concatenate(counts)


def _gradients(pixels: Doubles) -> Doubles:
    """Vote each pixel's gradient into the two nearest orientations of its cell."""
    down, right = np.zeros_like(pixels), np.zeros_like(pixels)
    down[1:-1] = pixels[2:] - pixels[:-2]
    right[:, 1:-1] = pixels[:, 2:] - pixels[:, :-2]
    strength = np.hypot(down, right)
    strongest = strength.argmax(axis=2)[..., None]
    magnitude = np.take_along_axis(strength, strongest, 2)[..., 0]
    angle = np.arctan2(
        np.take_along_axis(down, strongest, 2)[..., 0],
        np.take_along_axis(right, strongest, 2)[..., 0],
    )
    place = (angle % np.pi) / np.pi * ORIENTATIONS - 0.5
    lower = np.floor(place)
    share = place - lower
    side = pixels.shape[0] // CELL
    rows, columns = np.indices(magnitude.shape) // CELL
    cell = (rows * side + columns) * ORIENTATIONS
    low = cell + lower.astype(np.int64) % ORIENTATIONS
    high = cell + (lower.astype(np.int64) + 1) % ORIENTATIONS
    size = side * side * ORIENTATIONS
    votes = np.bincount(low.ravel(), (magnitude * (1 - share)).ravel(), size)
    votes += np.bincount(high.ravel(), (magnitude * share).ravel(), size)
    return _blocks(np.asarray(votes, dtype=np.float64).reshape(side, side, ORIENTATIONS))


def _blocks(cells: Doubles) -> Doubles:
    corners = [cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]]
    blocks = np.concatenate(corners, axis=2)
    for _ in range(2):  # normalise, cut the peaks, normalise again ("L2-Hys")
        blocks = blocks / np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 1e-6)
        blocks = np.minimum(blocks, 0.2)
    return np.asarray(blocks / np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 1e-6)).ravel()


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build the preprocessor from its `spec()`; `folder` is not looked at."""
    return Histograms(column=spec["column"], size=int(spec["size"]))
