"""Plain features of rows, for checks that need some and were handed none."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.duplicates import normal_texts
from metier.data.images import look
from metier.threads import few_threads
from metier.types import Table

_WORDS = 20_000
_AXES = 256
_CATEGORIES = 50


def plain_features(table: Table) -> NDArray[np.float32]:
    """Return one row of features a row: word counts, colours and shapes, or encoded columns."""
    if table.roles.modality == "text":
        return _of_texts(table)
    if table.roles.modality == "image":
        return _of_images(table)
    return _of_columns(table)


def _of_texts(table: Table) -> NDArray[np.float32]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = [name for name, kind in table.roles.inputs.items() if kind == "text"]
    texts = [text or " " for text in normal_texts(table, names).to_list()]
    counter = TfidfVectorizer(
        max_features=_WORDS, ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]"
    )
    counts = counter.fit_transform(texts)
    if counts.shape[1] <= _AXES:
        return np.asarray(counts.todense(), dtype=np.float32)
    axes = TruncatedSVD(_AXES, n_iter=2, random_state=0)
    with few_threads(counts.shape[0] * _AXES):
        return np.asarray(axes.fit_transform(counts), dtype=np.float32)


def _of_images(table: Table) -> NDArray[np.float32]:
    name = next(name for name, kind in table.roles.inputs.items() if kind == "image")
    rows = []
    for seen in look(table.frame[name], table.base):
        grey = np.frombuffer(seen.grey or bytes(256), dtype=np.uint8) / 255.0
        colours = np.frombuffer(seen.colours or bytes(64), dtype=np.uint8) / 255.0
        rows.append(np.concatenate([grey - grey.mean(), np.sqrt(colours)]))
    return np.asarray(rows, dtype=np.float32)


def _of_columns(table: Table) -> NDArray[np.float32]:
    parts = []
    for name, kind in table.roles.inputs.items():
        column = table.frame[name]
        if kind == "category":
            parts.append(_indicators(column))
        elif column.dtype.is_numeric() or column.dtype.is_temporal():
            parts.append(_ranks(column))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(table), 1), np.float32)


def _indicators(column: pl.Series) -> NDArray[np.float32]:
    counts = column.alias("v").drop_nulls().value_counts().sort(["count", "v"], descending=True)
    values = counts["v"].head(_CATEGORIES)
    if values.is_empty():
        return np.zeros((len(column), 1), np.float32)
    return np.stack([(column == v).fill_null(False).to_numpy() for v in values], axis=1).astype(
        np.float32
    )


def _ranks(column: pl.Series) -> NDArray[np.float32]:
    """Ranks from -1 to 1, their squares, and whether the value is missing."""
    ranks = column.rank("average").to_numpy().astype(np.float64)
    known = max(1, len(column) - column.null_count())
    ranks = np.where(np.isnan(ranks), 0.0, 2 * ranks / known - 1)
    missing = column.is_null().to_numpy()
    return np.stack([ranks, ranks * ranks, missing], axis=1).astype(np.float32)
