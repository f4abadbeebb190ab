"""What can be said of a row in words: its columns; the length and shape of a text; the light, the
size and the shape of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.evidence.words import number
from metier.runtime.columns import category_text, to_dates, to_numbers
from metier.types import Floats, Table

MOST_VALUES = 20
"""Commonest categories of a column that get a feature of their own."""
MOST_COLUMNS = 200


@dataclass(frozen=True)
class Feature:
    """One number a row that can be read of a column: `value` is None for a number, else the
    category that it is 1 for; `missing` is 1 where the cell is empty."""

    name: str
    column: str
    value: str | None = None
    missing: bool = False

    def below(self, cut: float) -> str:
        """Say in words that the feature is at most `cut`."""
        if self.missing:
            return f"{self.name} is there"
        if self.value is not None:
            return f"{self.name} ≠ {self.value}"
        return f"{self.name} ≤ {number(cut)}"

    def above(self, cut: float) -> str:
        """Say in words that the feature is above `cut`."""
        if self.missing:
            return f"{self.name} is missing"
        if self.value is not None:
            return f"{self.name} = {self.value}"
        return f"{self.name} > {number(cut)}"


def read_features(table: Table, sensitive: bool = True) -> tuple[Floats, tuple[Feature, ...]]:
    """Return readable features (n, features) of a table, and what each is called.

    Inputs are read, and with `sensitive` the sensitive columns. Numbers keep their values, with the
    middle one where they are missing and a feature of their own that says so; dates count days;
    categories that occur often are 0 or 1.
    """
    parts: list[tuple[Feature, NDArray[Any]]] = []
    for name, kind in table.roles.inputs.items():
        if name in table.roles.sensitive and not sensitive:
            continue
        cells = table.frame[name].to_list()
        if kind == "text":
            parts += _of_text(name, cells)
        elif kind == "image":
            parts += _of_image(name, cells, table.base)
        elif kind == "category":
            parts += _of_category(name, cells)
        else:
            parts += _of_number(name, to_dates(cells)[:, -1].tolist() if kind == "date" else cells)
    for name in table.roles.sensitive if sensitive else ():
        if name not in table.roles.inputs:
            numeric = name in table.roles.cuts
            cells = table.frame[name].to_list()
            parts += _of_number(name, cells) if numeric else _of_category(name, cells)
    varying = [(f, v) for f, v in parts if np.ptp(v) > 0][:MOST_COLUMNS]
    if not varying:
        return np.zeros((len(table), 0), dtype=np.float32), ()
    values = np.stack([v for _, v in varying], axis=1).astype(np.float32)
    return values, tuple(feature for feature, _ in varying)


def _of_number(name: str, cells: Sequence[Any]) -> list[tuple[Feature, Any]]:
    values = to_numbers(cells)
    gone = np.isnan(values)
    if gone.all():
        return []
    found = [(Feature(name, name), np.where(gone, np.median(values[~gone]), values))]
    return (
        [*found, (Feature(name, name, missing=True), gone.astype(float))] if gone.any() else found
    )


def _of_category(name: str, cells: Sequence[Any]) -> list[tuple[Feature, Any]]:
    texts = pl.Series("v", [category_text(cell) for cell in cells], dtype=pl.String)
    counts = texts.drop_nulls().value_counts().sort(["count", "v"], descending=[True, False])
    common = counts["v"].head(MOST_VALUES).to_list()
    found = [
        (Feature(name, name, value), (texts == value).fill_null(False).to_numpy().astype(float))
        for value in common
    ]
    gone = texts.is_null().to_numpy().astype(float)
    return [*found, (Feature(name, name, missing=True), gone)]


def _of_text(name: str, cells: Sequence[Any]) -> list[tuple[Feature, Any]]:
    texts = pl.Series([str(cell or "") for cell in cells], dtype=pl.String)
    letters = texts.str.len_chars().to_numpy().astype(float)
    counted = {
        f"words of {name}": texts.str.count_matches(r"\S+"),
        f"digits of {name}": texts.str.count_matches(r"\d"),
        f"question marks of {name}": texts.str.count_matches(r"\?"),
        f"exclamation marks of {name}": texts.str.count_matches("!"),
        f"negations of {name}": texts.str.to_lowercase().str.count_matches(
            r"\b(?:not|no|never|n't|nothing|without)\b|n't\b"
        ),
    }
    found = [(Feature(what, name), v.to_numpy().astype(float)) for what, v in counted.items()]
    for what, pattern in (("capitals", r"\p{Lu}"), ("letters beyond a to z", r"[^\x00-\x7f]")):
        share = texts.str.count_matches(pattern).to_numpy() / np.maximum(letters, 1.0)
        found.append((Feature(f"share of {what} in {name}", name), share))
    return found


def _of_image(
    name: str, cells: Sequence[Any], base: Path | None
) -> list[tuple[Feature, NDArray[Any]]]:
    measured = np.array([_light(cell, base) for cell in cells], dtype=float)
    names = ("brightness", "contrast", "colourfulness", "width", "height", "width by height")
    middle = np.nanmedian(measured, axis=0) if np.isfinite(measured).any() else np.zeros(6)
    filled = np.where(np.isnan(measured), middle, measured)
    return [(Feature(f"{what} of {name}", name), filled[:, i]) for i, what in enumerate(names)]


def _light(cell: Any, base: Path | None) -> list[float]:
    """Brightness, contrast and colours from 0 to 1; width and height in pixels; their ratio."""
    from metier.runtime.images import open_image

    if cell is None:
        return [np.nan] * 6
    try:
        image = open_image(str(cell) if base is None else str(base / str(cell)))
    except (ValueError, TypeError):
        return [np.nan] * 6
    wide, tall = image.size
    small = np.asarray(image.resize((32, 32)), dtype=float) / 255.0
    grey = small.mean(axis=2)
    colour = small.max(axis=2) - small.min(axis=2)
    return [grey.mean(), grey.std(), colour.mean(), wide, tall, wide / max(tall, 1)]
