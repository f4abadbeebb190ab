"""Images to pixels, equal to the PIL image processors of `transformers` to 1e-6."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from metier.runtime.preprocess import Arrays, Columns, Encoded, Example, Preprocess, is_missing

Pixels = NDArray[np.uint8]

COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")
OTHERS = ("WEBP", "TIFF", "AVIF", "JPEG2000", "ICO", "TGA", "QOI")
"""Formats that hold pixels. Others (EPS, WMF, ...) would start programs to read a picture."""
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    RuntimeError,
    MemoryError,
    struct.error,
)
LARGEST = 65535
MOST_RESIZED = 2**24
"""Pixels of a resized picture, most of which the crop throws away: of a picture one pixel wide, a
file of a hundred bytes, they fill the memory. Usual proportions come to a hundredth of so many."""


def open_image(source: str | Path | bytes | PIL.Image.Image) -> PIL.Image.Image:
    """Return an upright 8-bit RGB image, whatever was stored.

    EXIF orientation is applied, 16-bit grey is scaled to 8 bits, palettes and CMYK are converted,
    transparency is laid on white, and of an animation the first frame is taken.

    Raises:
        ValueError: with a short reason, when there is no image in `source`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)
            image = source if isinstance(source, PIL.Image.Image) else _open(source)
            image.load()
            return _to_rgb(_upright(image))
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError):
        raise ValueError("too many pixels") from None
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except IsADirectoryError:
        raise ValueError("is a folder, not an image") from None
    except PIL.UnidentifiedImageError:
        raise ValueError("not an image") from None
    except DAMAGED as error:
        raise ValueError(
            f"damaged image ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from None


def _open(source: str | Path | bytes) -> PIL.Image.Image:
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        return PIL.Image.open(io.BytesIO(content), formats=COMMON)
    except PIL.UnidentifiedImageError:
        PIL.Image.init()
        known = [name for name in OTHERS if name in PIL.Image.OPEN]
        return PIL.Image.open(io.BytesIO(content), formats=known)


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
    except DAMAGED:
        return image


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return PIL.Image.fromarray(_to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = PIL.Image.new("RGBA", image.size, (255, 255, 255, 255))
        return PIL.Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(grey: NDArray[Any]) -> Pixels:
    """Scale deep grey to 0..255: unit floats by 255, 16 bits by 1/257, deeper by their own top."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0).clip(0)
    top = float(values.max(initial=0.0))
    if grey.dtype.kind == "f" and top <= 1:
        scale = 255.0
    elif grey.dtype.itemsize == 2:
        scale = 255 / LARGEST
    elif top <= 255:
        scale = 1.0
    else:
        scale = 255 / max(top, LARGEST)
    return np.rint(values * scale).astype(np.uint8)


@dataclass(frozen=True)
class Image:
    """A column of images (paths, bytes or PIL images) to pixels of one size.

    Args:
        column: the image column.
        resize: ("shortest_edge", size) keeps the proportions; ("exact", height, width) does not;
            None leaves the size.
        crop: (height, width) of the centre that is kept; smaller images get a black border.
        resample: the PIL resampling filter (2 is bilinear, 3 bicubic).
        rescale: what 8-bit values are multiplied with.
        mean, std: of each channel, after rescaling.
        channels: the order of the channels, "rgb" or "bgr".

    Raises:
        ValueError: when neither `crop` nor an exact `resize` gives all images one size.
    """

    kind: ClassVar[str] = "image"

    column: str
    resize: tuple[Any, ...] | None
    crop: tuple[int, int] | None = None
    resample: int = 2
    rescale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if self.crop is None and (self.resize is None or self.resize[0] != "exact"):
            raise ValueError("images need one size: give a crop or an exact resize")

    @classmethod
    def from_config(cls, column: str, config: Mapping[str, Any]) -> Image:
        """Read a `preprocessor_config.json`.

        Raises:
            ValueError: naming the setting that cannot be reproduced.
        """
        from metier.runtime.imageconfig import settings

        return cls(column=column, **settings(config))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        if self.crop is not None:
            return self.crop
        assert self.resize is not None
        return int(self.resize[1]), int(self.resize[2])

    def pixels(self, image: PIL.Image.Image) -> Pixels:
        """Return the resized and cropped image, uint8 (height, width, 3), red first."""
        if self.resize is not None:
            if self.crop is not None and self.resize[0] == "shortest_edge":
                image = _middle(image, int(self.resize[1]), self.crop)
            height, width = _target_size(image, self.resize)
            image = image.resize((width, height), resample=PIL.Image.Resampling(self.resample))
        found = np.asarray(image, dtype=np.uint8)
        return np.ascontiguousarray(found if self.crop is None else _centre(found, self.crop))

    @cached_property
    def _levels(self) -> NDArray[np.float32]:
        """What each of the 256 values becomes in each channel, (3, 256)."""
        values = (np.arange(256, dtype=np.float64) * self.rescale).astype(np.float32)
        mean, std = (np.asarray(v, dtype=np.float32)[:, None] for v in (self.mean, self.std))
        return np.asarray((values - mean) / std, dtype=np.float32)

    def normalise(self, batch: Pixels) -> NDArray[np.float32]:
        """Turn uint8 (n, height, width, 3) into the network's float32 (n, 3, height, width)."""
        order = (2, 1, 0) if self.channels == "bgr" else (0, 1, 2)
        found = np.empty((len(batch), 3, *batch.shape[1:3]), dtype=np.float32)
        for place, channel in enumerate(order):
            np.take(self._levels[place], batch[..., channel], out=found[:, place])
        return found

    def encode(self, columns: Columns) -> Encoded:
        """Read each image; one that cannot be read gives None and the reason."""
        examples: list[Example | None] = []
        reasons: dict[int, str] = {}
        for row, source in enumerate(columns[self.column]):
            try:
                if is_missing(source):
                    raise ValueError("no image given")
                pixels = self.pixels(open_image(source))
                examples.append((self.normalise(pixels[None])[0],))
            except ValueError as error:
                examples.append(None)
                reasons[row] = str(error)
        return Encoded(examples, reasons)

    def cost(self, example: Example) -> int:
        """Every image costs the same."""
        return 1

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Return `pixel_values`, float32 (n, 3, height, width)."""
        return {"pixel_values": np.stack([example[0] for example in examples])}

    def spec(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {
            "kind": self.kind,
            "column": self.column,
            "resize": None if self.resize is None else list(self.resize),
            "crop": None if self.crop is None else list(self.crop),
            "resample": self.resample,
            "rescale": self.rescale,
            "mean": list(self.mean),
            "std": list(self.std),
            "channels": self.channels,
        }

    def files(self) -> dict[str, bytes]:
        """Nothing lies beside the graph."""
        return {}


def _middle(image: PIL.Image.Image, size: int, crop: tuple[int, int]) -> PIL.Image.Image:
    """Cut both ends off a picture that is far too long, well beyond what the crop keeps.

    By whole pixels of the resized picture, so that the crop finds its centre where it was.
    """
    short, long = sorted(image.size)
    if size * size * long <= MOST_RESIZED * short:
        return image
    upright = image.width <= image.height
    kept = 8 * max(size, crop[0] if upright else crop[1]) * short / size
    end = max(0, int((long - kept) / (2 * short))) * short
    left, top = (0, end) if upright else (end, 0)
    return image.crop((left, top, image.width - left, image.height - top))


def _target_size(image: PIL.Image.Image, resize: tuple[Any, ...]) -> tuple[int, int]:
    if resize[0] == "exact":
        return int(resize[1]), int(resize[2])
    size = int(resize[1])
    short, long = sorted(image.size)
    longer = int(size * long / short)
    return (longer, size) if image.width <= image.height else (size, longer)


def _centre(pixels: Pixels, crop: tuple[int, int]) -> Pixels:
    """Keep the centre; where the image is smaller, fill with black, as `transformers` does."""
    height, width = pixels.shape[:2]
    if height < crop[0] or width < crop[1]:
        room = np.zeros((max(height, crop[0]), max(width, crop[1]), 3), dtype=np.uint8)
        top, left = ceil((room.shape[0] - height) / 2), ceil((room.shape[1] - width) / 2)
        room[top : top + height, left : left + width] = pixels
        # The odd pixel goes where the arithmetic of the original puts it.
        top += (height - crop[0]) // 2
        left += (width - crop[1]) // 2
        return room[max(0, top) : top + crop[0], max(0, left) : left + crop[1]]
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return pixels[top : top + crop[0], left : left + crop[1]]


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build the preprocessor from its `spec()`; `folder` is not looked at."""
    return Image(
        column=spec["column"],
        resize=None if spec["resize"] is None else tuple(spec["resize"]),
        crop=None if spec["crop"] is None else (int(spec["crop"][0]), int(spec["crop"][1])),
        resample=int(spec["resample"]),
        rescale=float(spec["rescale"]),
        mean=_three(spec["mean"]),
        std=_three(spec["std"]),
        channels=spec["channels"],
    )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = values
    return float(first), float(second), float(third)
