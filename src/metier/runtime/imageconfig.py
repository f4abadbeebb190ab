"""Reading the `preprocessor_config.json` of image models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

UNKNOWN = (
    "rescale_offset",
    "do_affine_transform",
    "do_thumbnail",
    "do_align_long_axis",
    "keep_aspect_ratio",
)
"""Settings that change pixels in ways that `Image` has no field for."""
CROPS_FIRST = ("Perceiver",)
"""Families of processors that crop before they resize, which `Image` does not."""
BY_EDGE = (
    "Bit",
    "ChineseCLIP",
    "CLIP",
    "ConvNext",
    "Levit",
    "MobileNetV1",
    "MobileNetV2",
    "MobileViT",
    "PoolFormer",
    "TextNet",
    "VideoMAE",
)
"""Families whose single number for a size is the shortest edge; that of all others is a square."""
CROP_SHARES = {"ConvNext": 224 / 256, "PoolFormer": 0.9}
"""Families that enlarge by `crop_pct` before they crop, and theirs when a file has none."""
WARPED = 384
"""ConvNeXt enlarges and crops below this edge; from it on, the picture becomes a square."""
LEVIT = 256 / 224
"""LeViT enlarges the edge that it is given."""


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Image` that a configuration asks for, read as the processors of
    `transformers` read it: what a number means depends on the class that the configuration names.

    Where the configuration leaves images of different sizes (a shortest edge and no crop), the
    centre square is taken, as a batch needs one size.

    Raises:
        ValueError: naming the setting that cannot be reproduced.
    """
    family = _family(config)
    for name in UNKNOWN:
        if config.get(name):
            raise ValueError(f"image preprocessing with {name} is not supported")
    if family in CROPS_FIRST and config.get("do_center_crop", True):
        raise ValueError(f"the image preprocessing of {family}, a crop first, is not supported")
    rescales = config.get("do_rescale", True)
    resize, crop = _shape(config, family)
    resample = config.get("resample")
    mean, std = _levels(config, family)
    return {
        "resize": resize,
        "crop": crop,
        "resample": 2 if resample is None else int(resample),
        "rescale": float(config.get("rescale_factor", 1 / 255)) if rescales else 1.0,
        "mean": mean,
        "std": std,
        "channels": "bgr" if config.get("do_flip_channel_order") else "rgb",
    }


def _family(config: Mapping[str, Any]) -> str:
    """What stands before the kind of class, of today or of old: `ConvNext`; nothing when the
    configuration names none."""
    named = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
    return re.sub(r"(ImageProcessor|FeatureExtractor)\w*$", "", str(named))


def _levels(config: Mapping[str, Any], family: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not config.get("do_normalize", family != "MobileViT"):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = _channels(config.get("image_mean"), 0.5), _channels(config.get("image_std"), 0.5)
    if config.get("include_top", family == "EfficientNet"):  # which divides by it once more
        std = tuple(value**2 for value in std)
    return mean, std


def _shape(
    config: Mapping[str, Any], family: str
) -> tuple[tuple[Any, ...] | None, tuple[int, int] | None]:
    size, crops = config.get("size"), bool(config.get("do_center_crop"))
    enlarges = not family or family in CROP_SHARES
    share = config.get("crop_pct", CROP_SHARES.get(family)) if enlarges else None
    by_edge = family in BY_EDGE if family else crops or bool(share)
    resizes = config.get("do_resize", True) and size is not None
    resize = _resize(size, by_edge) if resizes else None
    crop = _pair(config.get("crop_size", size)) if crops else None
    if resize is None:
        return resize, crop
    if family == "Levit" and resize[0] == "shortest_edge":
        resize = "shortest_edge", int(LEVIT * resize[1])
    if share and (family == "PoolFormer" or crop is not None):
        resize = _enlarged(resize, share)
    if crop is not None or resize[0] == "exact":
        return resize, crop
    edge = int(resize[1])
    if share and edge < WARPED:
        return _enlarged(resize, share), (edge, edge)
    return (("exact", edge, edge), None) if share else (resize, (edge, edge))


def _enlarged(resize: tuple[Any, ...], share: float) -> tuple[Any, ...]:
    """So much larger that `share` of an edge is what it was; a square then keeps proportions."""
    kind, *edges = resize
    larger = [int(edge / share) for edge in edges]
    square = kind == "exact" and edges[0] == edges[1]
    return ("shortest_edge", larger[0]) if square else (kind, *larger)


def _resize(size: Any, by_edge: bool) -> tuple[Any, ...]:
    if isinstance(size, int):
        return ("shortest_edge", size) if by_edge else ("exact", size, size)
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
