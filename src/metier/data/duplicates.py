"""Rows that are the same, or nearly: clusters that no split may tear apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.alike import find_alike
from metier.data.images import look
from metier.data.minhash import LIKENESS, SHORTEST, find_pairs, likeness
from metier.data.table import target_keys
from metier.types import Rows, Table

SWALLOWED, FEWEST = 0.1, 20
"""A cluster that holds more than this share of all rows, and this many, is looked at again."""
MIXED = 0.5
"""Labels in it that are mixed by more than this part of how mixed they are in all rows tell that
its rows share a frame (a disclaimer, a camera that never moves) and not their content."""


def near_clusters(table: Table) -> NDArray[np.int64]:
    """Return a cluster number for each row; near-duplicates share one.

    Images are near when their grey thumbnails correlate to 0.99 or more, texts when four fifths of
    their five-letter shingles are shared (signs left out). Short texts must be equal but for case
    and white space, and rows of a table are each on their own. Linear in the rows, and the same
    whatever their order, but for the numbers themselves.

    Where a tenth of all rows and more would be one cluster although their labels are mixed, they
    are compared by what most of them do not share: without the words that more than half of them
    hold, or without their mean image.
    """
    texts = [name for name, kind in table.roles.inputs.items() if kind == "text"]
    images = [name for name, kind in table.roles.inputs.items() if kind == "image"]
    if images:
        return _cluster_images(table.frame[images[0]], table.base, _labels(table))
    if texts:
        return _cluster_texts(_without_signs(normal_texts(table, texts)), _labels(table))
    return np.arange(len(table), dtype=np.int64)


def _labels(table: Table) -> NDArray[np.int64]:
    """A number for each row, the same for equal targets."""
    if not table.roles.target:
        return np.zeros(len(table), dtype=np.int64)
    keys = pl.Series(target_keys(table), dtype=pl.String)
    return keys.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def equal_clusters(table: Table) -> NDArray[np.int64]:
    """Return a cluster number for each row; rows whose inputs are equal share one.

    Texts are compared without case and repeated white space, images by the bytes of the files.
    """
    texts = [name for name, kind in table.roles.inputs.items() if kind == "text"]
    keys = table.digests
    if texts and table.roles.modality == "text":
        inputs = table.inputs.with_columns(
            _normal(pl.col(name)).alias(name) for name in texts
        ).select(pl.all().cast(pl.String))
        keys = inputs.hash_rows(seed=0).to_numpy()
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def normal_texts(table: Table, columns: Sequence[str]) -> pl.Series:
    """Return the texts of each row as one, in lower case, with single spaces."""
    return table.frame.select(
        pl.concat_str((_normal(pl.col(name)) for name in columns), separator="\x1f").alias("text")
    )["text"]


def _normal(text: pl.Expr) -> pl.Expr:
    plain = text.fill_null("").str.to_lowercase().str.replace_all(r"\s+", " ")
    return plain.str.strip_chars()


def join(
    count: int,
    pairs: Iterable[tuple[int, int]],
    agree: Callable[[int, int], bool] = lambda one, two: True,
) -> NDArray[np.int64]:
    """Return the set each of `count` things is in when the pairs that agree are put together.

    `agree` is asked only of pairs that are not together yet.
    """
    parent = list(range(count))
    for one, two in pairs:
        a, b = _root(parent, one), _root(parent, two)
        if a != b and agree(one, two):
            parent[max(a, b)] = min(a, b)
    return np.fromiter((_root(parent, i) for i in range(count)), dtype=np.int64, count=count)


def _root(parent: list[int], item: int) -> int:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


def _without_signs(texts: pl.Series) -> pl.Series:
    """Drop punctuation, but from texts so short that it may be all that tells them apart."""
    bare = texts.str.replace_all(r"[^\w\s\x1f]+", " ").str.replace_all(r" +", " ")
    return bare.str.strip_chars().zip_with(bare.str.len_bytes() >= SHORTEST, texts)


def _cluster_texts(texts: pl.Series, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    clusters = _join_texts(texts)
    for rows in _in_a_frame(clusters, labels):
        apart = _join_texts(_without_shared_words(texts.gather(rows)))
        clusters[rows] = clusters.max() + 1 + apart
    return clusters


def _in_a_frame(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> list[Rows]:
    """The rows of each cluster that is too large, and too mixed, to be of one content."""
    many = max(FEWEST, SWALLOWED * len(clusters))
    large = [rows for rows in members(clusters) if len(rows) > many]
    return [rows for rows in large if _mixing(labels[rows]) > MIXED * _mixing(labels)]


def _mixing(labels: NDArray[np.int64]) -> float:
    """The share of labels that are not the most frequent one."""
    return 1.0 - float(np.bincount(labels).max()) / len(labels)


def _without_shared_words(texts: pl.Series) -> pl.Series:
    """Leave out the words that more than half of the texts hold; a text of no others stays."""
    words = [text.split() for text in texts]
    held = Counter(word for each in words for word in set(each))
    rest = [" ".join(w for w in each if held[w] <= len(words) / 2) for each in words]
    kept = [left or text for left, text in zip(rest, texts, strict=True)]
    return pl.Series(kept, dtype=pl.String)


def _join_texts(texts: pl.Series) -> NDArray[np.int64]:
    distinct = texts.unique().sort()
    found = distinct.search_sorted(texts).to_numpy().astype(np.int64)
    known = distinct.to_list()
    roots = join(
        len(known), find_pairs(known), lambda a, b: likeness(known[a], known[b]) >= LIKENESS
    )
    empty = texts.str.replace_all("\x1f", "").str.len_bytes().to_numpy() == 0
    clusters: NDArray[np.int64] = roots[found]
    clusters[empty] = len(known) + np.flatnonzero(empty)
    return clusters


def _cluster_images(
    paths: pl.Series, base: Path | None, labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    greys = [seen.grey for seen in look(paths, base)]
    opened = np.flatnonzero([bool(grey) for grey in greys])
    clusters = np.arange(len(greys), dtype=np.int64) + len(greys)
    if not len(opened):
        return clusters
    pixels = np.stack([np.frombuffer(greys[row], dtype=np.uint8) for row in opened])
    clusters[opened] = _join_images(pixels.astype(np.float32))
    for rows in _in_a_frame(clusters, labels):
        shown = pixels[np.searchsorted(opened, rows)].astype(np.float32)
        clusters[rows] = clusters.max() + 1 + _join_images(shown - shown.mean(axis=0))
    return clusters


def _join_images(pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the set each thumbnail, (n, pixels), is in; equal ones are in one."""
    distinct, place = np.unique(pixels, axis=0, return_inverse=True)
    joined: NDArray[np.int64] = join(len(distinct), find_alike(distinct))[place.ravel()]
    return joined


def members(clusters: NDArray[np.int64]) -> list[Rows]:
    """Return the rows of each cluster that has more than one, first rows first."""
    order = np.argsort(clusters, kind="stable")
    cuts = np.flatnonzero(np.diff(clusters[order])) + 1
    found = [group for group in np.split(order, cuts) if len(group) > 1]
    return sorted(found, key=lambda group: int(group[0]))
