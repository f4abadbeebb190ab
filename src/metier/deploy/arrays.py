"""The rows of a table as the arrays that a graph takes, block by block."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache
from metier.runtime.preprocess import Arrays, Preprocess
from metier.types import Floats, Rows, Table, batches_of


def blocks(preprocess: Preprocess, table: Table, size: int = 1024) -> Iterator[tuple[Rows, Arrays]]:
    """Yield the numbers of the rows that can be read and their arrays, `size` rows at a time."""
    for part in batches_of(len(table), size):
        rows = np.arange(part.start, part.stop)
        examples = preprocess.encode(table.take(rows).columns()).examples
        readable = np.array([example is not None for example in examples], dtype=bool)
        if readable.any():
            kept = [example for example in examples if example is not None]
            yield rows[readable], preprocess.collate(kept)


def matrix(preprocess: Preprocess, table: Table, cache: Cache | None = None) -> Floats:
    """Return the one array of a preprocessor with one fixed-width row a row: float32 (n, width).

    Rows that cannot be read are all NaN. With a cache, a row that was read before in any table is
    not read again.
    """
    if len(table) == 0:
        return np.zeros((0, 0), dtype=np.float32)
    if cache is None:
        return _computed(preprocess, table)
    store = cache.store("matrix", json.dumps(preprocess.spec(), sort_keys=True))
    digests = table.digests
    whole = store.fill(
        digests,
        lambda rows: ((rows, list(_computed(preprocess, table.take(rows))[:, None, :])),),
    )
    return store.stack(digests) if whole else _computed(preprocess, table)


def _computed(preprocess: Preprocess, table: Table) -> Floats:
    found: NDArray[np.float32] | None = None
    for rows, arrays in blocks(preprocess, table):
        (values,) = arrays.values()
        if found is None:
            found = np.full((len(table), values.shape[1]), np.nan, dtype=np.float32)
        found[rows] = values
    return np.full((len(table), 1), np.nan, dtype=np.float32) if found is None else found
