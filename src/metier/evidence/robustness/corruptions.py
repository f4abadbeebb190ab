"""What happens to inputs by themselves, at five severities: typing, cameras, gaps.

Every kind is deterministic in its seed, and changes each row on its own: a row is changed the same
way whichever rows stand beside it. All severities draw the same random numbers, so that what
differs between them is how severe they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metier.evidence.robustness import pictures
from metier.runtime.images import open_image
from metier.runtime.preprocess import is_missing
from metier.types import Kind

SEVERITIES = (1, 2, 3, 4, 5)
Change = Callable[[Any, int, np.random.Generator], Any]
"""From a cell that is not missing and a severity from 1 to 5 to the changed cell."""


KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Rows of a keyboard: a slip hits a key beside the right one."""
_BESIDE = {
    letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2]
    for row in KEYS
    for i, letter in enumerate(row)
}
TYPOS = (0.02, 0.04, 0.07, 0.11, 0.16)
"""Share of the letters that are mistyped."""
DROPPED = (0.05, 0.1, 0.2, 0.3, 0.45)
"""Share of the words that are left out."""
CASED = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Share of the words whose case is turned."""
GAPS = (0.05, 0.1, 0.2, 0.35, 0.5)
"""Share of the cells that are emptied."""
JITTER = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Standard deviation of what is added to numbers, in standard deviations of their column."""


@dataclass(frozen=True)
class Corruption:
    """One kind of damage.

    Args:
        name: what it is called.
        kinds: the kinds of input column that it happens to.
        told: how strong each severity is, in words.
        change: what it does to one cell; None where a whole column is needed (`over`).
        over: what it does to a column: cells, severity, one generator a row.
    """

    name: str
    kinds: tuple[Kind, ...]
    told: tuple[str, ...]
    change: Change | None = None
    over: Callable[[Sequence[Any], int, Sequence[np.random.Generator]], list[Any]] | None = None

    def apply(
        self, cells: Sequence[Any], severity: int, seed: int, numbers: Sequence[int]
    ) -> list[Any]:
        """Return the changed cells of a column. `numbers` say which rows they are."""
        mark = zlib.crc32(self.name.encode())
        random = [np.random.default_rng((seed, mark, int(n))) for n in numbers]
        if self.over is not None:
            return self.over(cells, severity, random)
        assert self.change is not None
        return [
            cell if is_missing(cell) else self.change(cell, severity, own)
            for cell, own in zip(cells, random, strict=True)
        ]


def typos(text: str, severity: int, random: np.random.Generator) -> str:
    """Hit the wrong key, swap two letters, leave one out or double it."""
    letters = list(str(text))
    found: list[str] = []
    at = 0
    while at < len(letters):
        letter = letters[at]
        if not letter.isalpha() or random.random() >= TYPOS[severity - 1]:
            found.append(letter)
        else:
            kind = int(random.integers(4))
            if kind == 0:
                near = _BESIDE.get(letter.lower(), letter.lower())
                hit = near[int(random.integers(len(near)))]
                found.append(hit.upper() if letter.isupper() else hit)
            elif kind == 1 and at + 1 < len(letters):
                found += [letters[at + 1], letter]
                at += 1
            elif kind == 2:
                found += [letter, letter]
        at += 1
    return "".join(found)


def casing(text: str, severity: int, random: np.random.Generator) -> str:
    """Write words in capitals, or without them."""
    words = str(text).split(" ")
    turned = random.random(len(words)) < CASED[severity - 1]
    upper = random.random(len(words)) < 0.5
    return " ".join(
        (word.upper() if up and not word.isupper() else word.swapcase()) if on else word
        for word, on, up in zip(words, turned, upper, strict=True)
    )


def dropping(text: str, severity: int, random: np.random.Generator) -> str:
    """Leave words out; one always stays."""
    words = str(text).split()
    kept = random.random(len(words)) >= DROPPED[severity - 1]
    if len(words) and not kept.any():
        kept[int(random.integers(len(words)))] = True
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def gaps(cell: Any, severity: int, random: np.random.Generator) -> Any:
    """Leave a cell empty."""
    return None if random.random() < GAPS[severity - 1] else cell


def jitter(cells: Sequence[Any], severity: int, random: Sequence[np.random.Generator]) -> list[Any]:
    """Measure numbers badly: noise in units of the column's spread; whole numbers stay whole."""
    values = np.array([_number(cell) for cell in cells], dtype=np.float64)
    known = values[np.isfinite(values)]
    spread = float(known.std()) if len(known) else 0.0
    whole = bool(len(known)) and bool((known == np.rint(known)).all())
    found: list[Any] = []
    for cell, value, own in zip(cells, values, random, strict=True):
        moved = value + JITTER[severity - 1] * spread * own.standard_normal()
        kept = not np.isfinite(value)
        found.append(cell if kept else float(np.rint(moved)) if whole else float(moved))
    return found


def _number(cell: Any) -> float:
    try:
        return float("nan") if is_missing(cell) else float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _shares(values: Sequence[float], of: str) -> tuple[str, ...]:
    return tuple(f"{100 * value:g} % of the {of}" for value in values)


def _each(words: str, values: Sequence[float]) -> tuple[str, ...]:
    return tuple(words.format(f"{value:g}") for value in values)


def _picture(change: Callable[[Any, int, np.random.Generator], Any]) -> Change:
    """A change of pixels as a change of whatever names a picture; what cannot be read stays."""

    def apply(cell: Any, severity: int, random: np.random.Generator) -> Any:
        try:
            return change(open_image(cell), severity, random)
        except ValueError:
            return cell

    return apply


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("typos", ("text",), _shares(TYPOS, "letters"), typos),
    Corruption("casing", ("text",), _shares(CASED, "words"), casing),
    Corruption("missing words", ("text",), _shares(DROPPED, "words"), dropping),
    Corruption(
        "noise",
        ("image",),
        _shares(pictures.NOISE, "range of a pixel"),
        _picture(pictures.noise),
    ),
    Corruption("blur", ("image",), _shares(pictures.BLUR, "shorter side"), _picture(pictures.blur)),
    Corruption(
        "JPEG compression", ("image",), _each("quality {}", pictures.JPEG), _picture(pictures.jpeg)
    ),
    Corruption(
        "brightness",
        ("image",),
        _shares(pictures.BRIGHTNESS, "range of a pixel"),
        _picture(pictures.brightness),
    ),
    Corruption(
        "rotation", ("image",), _each("{} degrees", pictures.ROTATION), _picture(pictures.rotation)
    ),
    Corruption("missing values", ("number", "category", "date"), _shares(GAPS, "cells"), gaps),
    Corruption(
        "jittered numbers", ("number",), _each("{} standard deviations", JITTER), over=jitter
    ),
)
"""Every kind, in the order in which it is told."""


def fitting(kinds: Mapping[str, Kind]) -> list[tuple[Corruption, tuple[str, ...]]]:
    """Return the kinds of damage that inputs can take, each with the columns that it happens to."""
    found = []
    for each in CORRUPTIONS:
        columns = tuple(name for name, kind in kinds.items() if kind in each.kinds)
        if columns:
            found.append((each, columns))
    return found
