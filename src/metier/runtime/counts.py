"""Text to weighted term counts (TF-IDF), without a learned network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metier.runtime.preprocess import Arrays, Columns, Encoded, Example, Preprocess, joined_texts

FILE = "vocabulary.json"
WORD = re.compile(r"\w+")
MARK = "\t"
"""Stands before a term of characters, so that it is never taken for a word."""


@dataclass(frozen=True)
class Tfidf:
    """Text columns to the terms of a fixed vocabulary, each with its TF-IDF weight.

    With `analyzer=tfidf.terms` scikit-learn's `TfidfVectorizer` learns vocabulary and weights that
    give the same numbers here (L2 norm; Salton and Buckley, 1988).

    Args:
        columns: the text columns (several become one text, see `joined_texts`).
        vocabulary: the terms, in the order of the model's weights.
        idf: the inverse document frequency of each term.
        words: shortest and longest run of words that is a term; None for no words.
        characters: the same for runs of characters inside a word and its borders.
        sublinear: count 1 + ln(n) instead of n.
        longest: characters of a text that are read at most.
    """

    kind: ClassVar[str] = "tfidf"

    columns: tuple[str, ...]
    vocabulary: tuple[str, ...] = ()
    idf: tuple[float, ...] = ()
    words: tuple[int, int] | None = (1, 2)
    characters: tuple[int, int] | None = None
    sublinear: bool = True
    longest: int = 100_000

    def __post_init__(self) -> None:
        if len(self.vocabulary) != len(self.idf):
            raise ValueError("one idf for each term is needed")

    @cached_property
    def _index(self) -> dict[str, int]:
        return {term: i for i, term in enumerate(self.vocabulary)}

    def terms(self, text: str) -> list[str]:
        """Return every term of a text, repeated as often as it occurs.

        >>> Tfidf(("t",)).terms("Lost my card!")
        ['lost', 'my', 'card', 'lost my', 'my card']
        """
        words = WORD.findall(text[: self.longest].lower())
        found: list[str] = []
        if self.words is not None:
            found.extend(_runs_of_words(words, *self.words))
        if self.characters is not None:
            found.extend(_runs_of_characters(words, *self.characters))
        return found

    def encode(self, columns: Columns) -> Encoded:
        """Return term numbers and weights of each row. Every row can be read."""
        return Encoded([self._weigh(text) for text in joined_texts(columns, self.columns)], {})

    def _weigh(self, text: str) -> Example:
        index = self._index
        counts = Counter(index[term] for term in self.terms(text) if term in index)
        places = np.array(sorted(counts), dtype=np.int64)
        weights = np.array([counts[place] for place in places.tolist()], dtype=np.float64)
        if self.sublinear:
            weights = 1 + np.log(weights)
        weights *= self._idf[places]
        norm = float(np.sqrt(weights @ weights))
        return places, (weights / norm if norm else weights).astype(np.float32)

    @cached_property
    def _idf(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(self.idf, dtype=np.float64)

    def cost(self, example: Example) -> int:
        """Different terms in the row."""
        return max(1, len(example[0]))

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Return `terms`, int64 (n, most terms), and `weights`, float32, 0 where there is none."""
        shape = (len(examples), max([1, *(len(example[0]) for example in examples)]))
        terms, weights = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.float32)
        for row, (places, values) in enumerate(examples):
            terms[row, : len(places)] = places
            weights[row, : len(places)] = values
        return {"terms": terms, "weights": weights}

    def spec(self) -> dict[str, Any]:
        """Return the settings as JSON; the vocabulary lies in its own file."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "file": FILE,
            "words": None if self.words is None else list(self.words),
            "characters": None if self.characters is None else list(self.characters),
            "sublinear": self.sublinear,
            "longest": self.longest,
        }

    def files(self) -> dict[str, bytes]:
        """Return the vocabulary with its weights."""
        content = {"terms": self.vocabulary, "idf": self.idf}
        return {FILE: json.dumps(content, ensure_ascii=False).encode()}


def _runs_of_words(words: Sequence[str], low: int, high: int) -> Iterator[str]:
    for size in range(low, high + 1):
        for start in range(len(words) - size + 1):
            yield " ".join(words[start : start + size])


def _runs_of_characters(words: Sequence[str], low: int, high: int) -> Iterator[str]:
    for word in words:
        bordered = f" {word} "
        for size in range(low, min(high, len(bordered)) + 1):
            for start in range(len(bordered) - size + 1):
                yield MARK + bordered[start : start + size]


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build the preprocessor from its `spec()` and the folder that holds its vocabulary."""
    content = json.loads((folder / FILE).read_bytes())
    return Tfidf(
        columns=tuple(spec["columns"]),
        vocabulary=tuple(content["terms"]),
        idf=tuple(float(v) for v in content["idf"]),
        words=_run(spec["words"]),
        characters=_run(spec["characters"]),
        sublinear=bool(spec["sublinear"]),
        longest=int(spec["longest"]),
    )


def _run(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))
