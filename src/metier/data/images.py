"""One look at every image file: does it open, and what does it look like when small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

SIDE = 16
"""Side of the grey thumbnail in pixels."""


@dataclass(frozen=True)
class Seen:
    """What one look found: a grey thumbnail and a colour histogram, or the reason for neither."""

    grey: bytes = b""
    colours: bytes = b""
    reason: str | None = None


def look(paths: pl.Series, base: Path | None) -> Iterator[Seen]:
    """Look at the files of a column; each content of a path is decoded once in a process."""
    for name in paths:
        if name is None:
            yield Seen(reason="no path")
            continue
        path = Path(name) if base is None else base / name
        try:
            state = path.stat()
        except OSError:
            yield Seen(reason="no such file")
            continue
        yield _look(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=200_000)
def _look(path: str, changed: int, size: int) -> Seen:
    from PIL import Image, ImageOps

    from metier.runtime.images import open_image

    try:
        with Image.open(path) as found:
            if found.format == "JPEG" and found.mode == "RGB":
                found.draft("RGB", (64, 64))
                image = ImageOps.exif_transpose(found).convert("RGB")
            else:
                image = open_image(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Seen(reason=str(error).replace(path, "").strip() or type(error).__name__)
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), dtype=np.uint16) // 64
    codes = small[..., 0] * 16 + small[..., 1] * 4 + small[..., 2]
    colours = np.bincount(codes.ravel(), minlength=64) // 4
    return Seen(grey.tobytes(), colours.astype(np.uint8).tobytes())
