"""Reading the `preprocessor_config.json` of image models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN = ("rescale_offset", "do_affine_transform", "do_thumbnail", "do_align_long_axis")
"""Settings that change pixels in ways that `Image` has no field for."""


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Image` that a configuration asks for.

    Where the configuration leaves images of different sizes (a shortest edge and no crop), the
    centre square is taken, as a batch needs one size.

    Raises:
        ValueError: naming the setting that cannot be reproduced.
    """
    for name in UNKNOWN:
        if config.get(name):
            raise ValueError(f"image preprocessing with {name} is not supported")
    rescales = config.get("do_rescale", True)
    normalises = config.get("do_normalize", True)
    resize, crop = _shape(config)
    return {
        "resize": resize,
        "crop": crop,
        "resample": int(config.get("resample") or 2),
        "rescale": float(config.get("rescale_factor", 1 / 255)) if rescales else 1.0,
        "mean": _channels(config.get("image_mean"), 0.5) if normalises else (0.0, 0.0, 0.0),
        "std": _channels(config.get("image_std"), 0.5) if normalises else (1.0, 1.0, 1.0),
        "channels": "bgr" if config.get("do_flip_channel_order") else "rgb",
    }


def _shape(config: Mapping[str, Any]) -> tuple[tuple[Any, ...] | None, tuple[int, int] | None]:
    size, crops = config.get("size"), bool(config.get("do_center_crop"))
    resize = _resize(size, crops) if config.get("do_resize", True) and size is not None else None
    crop = _pair(config.get("crop_size", size)) if crops else None
    if resize is None or resize[0] == "exact" or crop is not None:
        return resize, crop
    edge = int(resize[1])
    ratio = config.get("crop_pct")
    if ratio and edge < 384:  # ConvNeXt: enlarge, then keep the centre.
        return ("shortest_edge", int(edge / ratio)), (edge, edge)
    return (("exact", edge, edge), None) if ratio else (resize, (edge, edge))


def _resize(size: Any, crops: bool) -> tuple[Any, ...]:
    """An old configuration gives one number: the shortest edge before a crop, else a square."""
    if isinstance(size, int):
        return ("shortest_edge", size) if crops else ("exact", size, size)
    if isinstance(size, Mapping):
        if "height" in size and "width" in size:
            return ("exact", int(size["height"]), int(size["width"]))
        if "shortest_edge" in size and "longest_edge" not in size:
            return ("shortest_edge", int(size["shortest_edge"]))
    raise ValueError(f"image size {size!r} is not supported")


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    raise ValueError(f"image crop size {size!r} is not supported")


def _channels(values: Any, default: float) -> tuple[float, ...]:
    if values is None:
        return (default,) * 3
    if isinstance(values, int | float):
        return (float(values),) * 3
    return tuple(float(v) for v in values)
