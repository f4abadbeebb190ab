"""Several preprocessors side by side, for models that see text or images and columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metier.runtime import preprocess
from metier.runtime.preprocess import Arrays, Columns, Encoded, Example, Preprocess


@dataclass(frozen=True)
class Both:
    """The arrays of several preprocessors together.

    A row that one of them cannot read gives None, with the first reason.

    Raises:
        ValueError: when two parts have files or arrays of the same name.
    """

    kind: ClassVar[str] = "both"

    parts: tuple[Preprocess, ...]

    def __post_init__(self) -> None:
        kinds = Counter(part.kind for part in self.parts)
        if twice := [kind for kind, count in kinds.items() if count > 1]:
            raise ValueError(f"two preprocessors of kind {twice[0]} cannot stand side by side")

    def encode(self, columns: Columns) -> Encoded:
        """Return rows that hold how many arrays each part has, then those arrays."""
        found = [part.encode(columns) for part in self.parts]
        reasons: dict[int, str] = {}
        unseen: dict[str, list[int]] = {}
        unread: dict[str, list[int]] = {}
        for one in reversed(found):
            reasons.update(one.reasons)
            unseen.update(one.unseen)
            unread.update(one.unread)
        rows = zip(*(one.examples for one in found), strict=True)
        examples = [_together(row) for row in rows]
        return Encoded(examples, dict(sorted(reasons.items())), unseen, unread)

    def cost(self, example: Example) -> int:
        """The costs of all parts."""
        rows = zip(self.parts, _apart(example), strict=True)
        return sum(part.cost(own) for part, own in rows)

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Return the arrays of all parts."""
        arrays: Arrays = {}
        for part, own in zip(self.parts, zip(*map(_apart, examples), strict=True), strict=True):
            more = part.collate(own)
            if both := arrays.keys() & more.keys():
                raise ValueError(f"two preprocessors give the array {min(both)}")
            arrays.update(more)
        return arrays

    def spec(self) -> dict[str, Any]:
        """Return the specs of the parts."""
        return {"kind": self.kind, "parts": [part.spec() for part in self.parts]}

    def files(self) -> dict[str, bytes]:
        """Return the files of all parts."""
        return {name: content for part in self.parts for name, content in part.files().items()}


def _together(row: Sequence[Example | None]) -> Example | None:
    found = [example for example in row if example is not None]
    if len(found) < len(row):
        return None
    sizes = np.array([len(example) for example in found], dtype=np.int64)
    return (sizes, *(array for example in found for array in example))


def _apart(example: Example) -> list[Example]:
    stops = 1 + np.cumsum(example[0])
    starts = np.concatenate([[1], stops[:-1]])
    return [example[start:stop] for start, stop in zip(starts, stops, strict=True)]


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build the parts from their specs."""
    return Both(tuple(preprocess.restore(part, folder) for part in spec["parts"]))
