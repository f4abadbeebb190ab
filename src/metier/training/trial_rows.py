"""A few rows made up from what a bundle knows of its inputs, to compare two models of it on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from metier.runtime.both import Both
from metier.runtime.columns import Numbers
from metier.runtime.counts import Tfidf
from metier.runtime.manifest import InputColumn
from metier.runtime.preprocess import Preprocess
from metier.runtime.session import Bundle
from metier.types import Roles, Table

ROWS = 12
SENTENCES = (
    "It did not arrive yet, and nobody answers.",
    "A",
    "Thank you, that was exactly what I had hoped for; please go on like this!",
    "",
)


@contextmanager
def trial_rows(bundle: Bundle) -> Iterator[Table]:
    """Rows with the bundle's input columns: its labels as texts, numbers and dates from their
    ranges, known categories, images of noise, and empty cells. The same ones each time."""
    rng = np.random.default_rng(0)
    parts = _parts(bundle.preprocess)
    with TemporaryDirectory() as folder:
        columns = {
            column.name: _cells(column, bundle.labels, parts, Path(folder), rng)
            for column in bundle.manifest.columns
        }
        kinds = {column.name: column.kind for column in bundle.manifest.columns}
        yield Table(pl.DataFrame(columns), Roles(kinds), Path(folder))


def _parts(preprocess: Preprocess) -> Sequence[Preprocess]:
    return preprocess.parts if isinstance(preprocess, Both) else (preprocess,)


def _cells(
    column: InputColumn,
    labels: Sequence[str],
    parts: Sequence[Preprocess],
    folder: Path,
    rng: np.random.Generator,
) -> list[Any]:
    if column.kind == "image":
        return [_noise(folder / f"{column.name}-{i}.png", rng) for i in range(ROWS)]
    if column.kind == "text":
        return _texts(labels, parts)
    known: Sequence[Any] = _categories(column, parts)
    if column.kind == "number" and isinstance(column.low, int | float):
        known = rng.uniform(column.low, float(column.high or column.low), ROWS).tolist()
    if column.kind == "date":
        known = [day for day in (column.low, column.high) if day is not None]
    filled = [*known[: ROWS - 2], None]
    return [filled[i % len(filled)] for i in range(ROWS)]


def _texts(labels: Sequence[str], parts: Sequence[Preprocess]) -> list[str]:
    counted = [part.vocabulary for part in parts if isinstance(part, Tfidf)]
    terms = counted[0] if counted else ()
    found = [*SENTENCES, *(" ".join(terms[i::97][:20]) for i in range(4) if terms), *labels]
    return [found[i % len(found)] for i in range(ROWS)]


def _categories(column: InputColumn, parts: Sequence[Preprocess]) -> Sequence[str]:
    for part in parts:
        for spec in part.columns if isinstance(part, Numbers) else ():
            if spec.name == column.name and spec.vocabulary:
                return spec.vocabulary
    return ()


def _noise(path: Path, rng: np.random.Generator) -> str:
    from PIL import Image

    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((320, 256)).save(path)
    return path.name
