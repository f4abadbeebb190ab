"""What is watched of rows and answers: a few values a row, cheap enough for every request.

A signal is named after its column ("age"), after a trait of it ("text: length", "photo:
brightness"), or "prediction" and "confidence".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.columns import category_text, to_dates, to_numbers
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import (
    Arrays,
    Columns,
    Encoded,
    Example,
    Preprocess,
    joined_texts,
)
from metier.runtime.spellings import Spellings

Doubles = NDArray[np.float64]
Hashes = NDArray[np.uint32]

WORD = re.compile(r"[^\W\d_]+")
LONGEST = 10_000
"""Characters of a text whose words are looked at."""
IDEOGRAPHS = "\u2e80"
"""From this character on, scripts put no spaces between words."""
STRIDE = 4
"""Every fourth line of pixels says enough of an image as a whole."""
PREDICTION, CONFIDENCE = "prediction", "confidence"


@dataclass(frozen=True)
class Signals:
    """The signals of some rows, by name.

    Args:
        numbers: float64 (n,), NaN where missing.
        categories: a text a row, None where missing.
        words: the hashes of the words of a text, one array a row.
    """

    numbers: dict[str, Doubles] = field(default_factory=dict)
    categories: dict[str, list[str | None]] = field(default_factory=dict)
    words: dict[str, list[Hashes]] = field(default_factory=dict)

    def __len__(self) -> int:
        for kind in (self.numbers, self.categories, self.words):
            for values in kind.values():
                return len(values)
        return 0

    def and_also(self, other: Signals) -> Signals:
        """Return the signals of the same rows together."""
        return Signals(
            {**self.numbers, **other.numbers},
            {**self.categories, **other.categories},
            {**self.words, **other.words},
        )


def joined(parts: Sequence[Signals]) -> Signals:
    """Return the same signals of several runs of rows, one after the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Signals(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
        {name: [v for part in parts for v in part.categories[name]] for name in first.categories},
        {name: [v for part in parts for v in part.words[name]] for name in first.words},
    )


def columns_read(
    columns: Sequence[InputColumn], spec: Mapping[str, Any]
) -> tuple[InputColumn, ...]:
    """Return the columns that a preprocessing looks at, a part of those that the data had."""
    names = {name for part in _parts(spec) for name in _columns_of(part)}
    return tuple(column for column in columns if column.name in names)


def vocabularies(spec: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the categories that a preprocessing knows, for each column of categories."""
    found: dict[str, frozenset[str]] = {}
    for part in _parts(spec):
        for column in part.get("columns", ()):
            if isinstance(column, Mapping) and column.get("vocabulary"):
                known = found.get(column["name"], frozenset())
                found[column["name"]] = known | frozenset(column["vocabulary"])
    return found


def date_formats(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return how dates are written, for each column of dates that a preprocessing reads as text."""
    return {
        str(column["name"]): str(column["format"])
        for part in _parts(spec)
        for column in part.get("columns", ())
        if isinstance(column, Mapping) and column.get("format")
    }


def _parts(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    parts: Sequence[Mapping[str, Any]] = spec.get("parts", (spec,))
    return parts


def _columns_of(part: Mapping[str, Any]) -> list[str]:
    if "column" in part:
        return [part["column"]]
    return [each if isinstance(each, str) else each["name"] for each in part["columns"]]


@dataclass(frozen=True)
class Eye:
    """Looks at the inputs of one preprocessing.

    Args:
        columns: the columns that it reads.
        spec: its `spec()`.
    """

    columns: tuple[InputColumn, ...]
    spec: Mapping[str, Any]

    @cached_property
    def _spellings(self) -> dict[str, Spellings]:
        known = vocabularies(self.spec)
        return {name: Spellings.of(sorted(texts)) for name, texts in known.items()}

    def columns_alone(self, columns: Columns) -> Signals:
        """Return the signals of everything but images; categories as the preprocessing spells
        those that it knows."""
        numbers: dict[str, Doubles] = {}
        categories: dict[str, list[str | None]] = {}
        words: dict[str, list[Hashes]] = {}
        texts = [column.name for column in self.columns if column.kind == "text"]
        formats = date_formats(self.spec)
        for column in self.columns:
            cells = columns[column.name]
            if column.kind == "number":
                numbers[column.name] = to_numbers(cells)
            elif column.kind == "date":
                numbers[column.name] = to_dates(cells, formats.get(column.name, ""))[:, -1]
            elif column.kind == "category":
                categories[column.name] = self._categories(column.name, cells)
        if texts:
            name = " + ".join(texts)
            whole = joined_texts(columns, texts)
            numbers[f"{name}: length"] = np.array([len(text) for text in whole], dtype=np.float64)
            words[f"{name}: new words"] = [hashed_words(text) for text in whole]
        return Signals(numbers, categories, words)

    def _categories(self, name: str, cells: Sequence[Any]) -> list[str | None]:
        texts, known = [category_text(cell) for cell in cells], self._spellings.get(name)
        if known is None:
            return texts
        return [None if text is None else known.respell(text) for text in texts]

    def look(self, columns: Columns, encoded: Encoded) -> Signals:
        """Return the signals of rows before and after they were encoded."""
        found = self.columns_alone(columns)
        return Signals(
            {**found.numbers, **self._of_images(encoded.examples)}, found.categories, found.words
        )

    def _of_images(self, examples: Sequence[Example | None]) -> dict[str, Doubles]:
        for place, part in enumerate(_parts(self.spec)):
            traits = TRAITS.get(part["kind"])
            if traits is not None:
                arrays = [_array_of(self.spec, example, place) for example in examples]
                unread = np.full(len(traits.names), np.nan)
                rows = [unread if each is None else traits.measure(each, part) for each in arrays]
                table = np.array(rows, dtype=np.float64).reshape(len(examples), len(traits.names))
                name = part["column"]
                return {f"{name}: {n}": table[:, i] for i, n in enumerate(traits.names)}
        return {}


def _array_of(spec: Mapping[str, Any], example: Example | None, place: int) -> NDArray[Any] | None:
    """Return what one part made of an image; parts side by side begin with their sizes."""
    if example is None:
        return None
    return example[1 + int(example[0][:place].sum())] if "parts" in spec else example[0]


@dataclass(frozen=True)
class _Traits:
    """What is measured of an encoded image."""

    names: tuple[str, ...]
    measure: Callable[[NDArray[Any], Mapping[str, Any]], Sequence[float]]


def _of_pixels(pixels: NDArray[Any], part: Mapping[str, Any]) -> Sequence[float]:
    """Measure light from 0 to 1, whatever the network normalises it to."""
    mean, std = (np.asarray(part[name], np.float32)[:, None, None] for name in ("mean", "std"))
    some = (pixels[:, ::STRIDE] * std + mean) / (255 * part["rescale"])
    red, _, blue = some.mean(axis=(1, 2))[:: -1 if part["channels"] == "bgr" else 1]
    return some.mean(), some.std(), np.abs(np.diff(some, axis=2)).mean(), red - blue


def _of_colours(features: NDArray[Any], part: Mapping[str, Any]) -> Sequence[float]:
    """Mean brightness and saturation from the histogram of hue, saturation and value."""
    shares = (features[:72] ** 2).reshape(8, 3, 3)
    levels = np.arange(3)
    return float((shares.sum((0, 1)) * levels).sum()), float((shares.sum((0, 2)) * levels).sum())


TRAITS = {
    "image": _Traits(("brightness", "contrast", "detail", "warmth"), _of_pixels),
    "histograms": _Traits(("brightness", "saturation"), _of_colours),
}


def hashed_words(text: str) -> Hashes:
    """Return a 32-bit hash of each word of a text, lower case; pairs of ideographs are words.

    >>> len(hashed_words("My card, MY card!"))
    4
    """
    found = [zlib.crc32(word.encode("utf-8", "replace")) for word in _words(text[:LONGEST].lower())]
    return np.array(found, dtype=np.uint32)


def _words(text: str) -> Iterator[str]:
    for run in WORD.findall(text):
        if run[0] < IDEOGRAPHS:
            yield run
        else:
            yield from (run[i : i + 2] for i in range(max(len(run) - 1, 1)))


def of_scores(scores: NDArray[Any], decision: Decision) -> Signals:
    """Return what was answered and how surely: the likeliest share, or its mean over labels."""
    answers = decision.answers(scores)
    if decision.kind == "regression":
        return Signals({PREDICTION: np.array(answers, dtype=np.float64)})
    return of_answers(answers, decision.probabilities(scores), decision.kind == "multilabel")


def of_answers(answers: Sequence[Any], shares: Doubles | None, several: bool) -> Signals:
    """Return the signals of answers; None is a row that could not be read.

    Args:
        answers: labels, lists of labels, or numbers when there are no `shares`.
        shares: probabilities (n, labels).
        several: whether a row may have several labels.
    """
    if shares is None:
        numbers = [np.nan if answer is None else answer for answer in answers]
        return Signals({PREDICTION: np.array(numbers, dtype=np.float64)})
    sure = np.maximum(shares, 1 - shares).mean(axis=1) if several else shares.max(axis=1, initial=0)
    sure = np.where(np.isnan(shares).any(axis=1), np.nan, sure)
    told = [_told(answer) for answer in answers]
    return Signals({CONFIDENCE: np.asarray(sure)}, {PREDICTION: told})


def _told(answer: Any) -> str | None:
    if isinstance(answer, list):
        return " + ".join(answer) or "(none)"
    return None if answer is None else str(answer)


class Watched:
    """A preprocessor that tells what passes through it, and does nothing else.

    Args:
        inner: what does the work.
        eye: what to look at.
        note: given the signals of every call of `encode`.
    """

    def __init__(self, inner: Preprocess, eye: Eye, note: Callable[[Signals], None]) -> None:
        self._inner, self._eye, self._note = inner, eye, note

    @property
    def kind(self) -> str:
        """The kind of what does the work."""
        return self._inner.kind

    def encode(self, columns: Columns) -> Encoded:
        """Encode, and tell."""
        encoded = self._inner.encode(columns)
        self._note(self._eye.look(columns, encoded))
        return encoded

    def cost(self, example: Example) -> int:
        """What a row costs in a batch."""
        return self._inner.cost(example)

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Put rows together."""
        return self._inner.collate(examples)

    def spec(self) -> dict[str, Any]:
        """Everything needed to build the inner one again."""
        return self._inner.spec()

    def files(self) -> dict[str, bytes]:
        """The files of the inner one."""
        return self._inner.files()
