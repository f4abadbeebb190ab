"""What was computed once is kept: arrays by content, memory-mapped, under a quota.

A store holds one array a row, all of one dtype, ragged in the first dimension (the tokens of a
text) or all of one shape (features, the activations of an image). Rows are named by their content
digest, so the same text in another fold, trial or run finds its array again. A store lives in two
files: raw numbers appended to `NAME.bin`, and `NAME.json` + `NAME.npy` that say where each row
lies; the index is renamed into place after the numbers are written, so a killed run leaves a valid
store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Make = Callable[[NDArray[np.int64]], Iterable[tuple[NDArray[np.int64], Sequence[NDArray[Any]]]]]
"""Computes arrays for the given positions; yields (positions, arrays) batch by batch."""

GIB = 1 << 30
RESIDENT = 64 << 20
"""Bytes that are read of a store before its pages are given back."""


class Store:
    """Arrays of one kind, one a row, found by content digest; all stores of a folder share its
    quota in bytes."""

    def __init__(self, folder: Path, name: str, quota: int) -> None:
        self._numbers = folder / f"{name}.bin"
        self._index = folder / f"{name}.npy"
        self._about = folder / f"{name}.json"
        self._quota = quota
        self._at: dict[int, tuple[int, int]] = {}
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] | None = None
        self._map: NDArray[Any] | None = None
        self._pages: mmap.mmap | None = None
        self._read = 0
        if self._about.exists() and self._index.exists() and self._numbers.exists():
            # What cannot be read is computed again.
            with contextlib.suppress(ValueError, KeyError, TypeError, EOFError, OSError):
                self._read_index()

    def _read_index(self) -> None:
        about = json.loads(self._about.read_text())
        dtype, shape = np.dtype(about["dtype"]), tuple(int(size) for size in about["shape"])
        rows = np.load(self._index, allow_pickle=False).reshape(-1, 3).tolist()
        self._dtype, self._shape = dtype, shape
        self._at = {digest: (start, length) for digest, start, length in rows}
        self._forget_unwritten()

    @property
    def bytes(self) -> int:
        """Bytes of numbers held on disk."""
        return self._numbers.stat().st_size if self._numbers.exists() else 0

    def missing(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Positions of the first occurrence of each digest that is not held yet."""
        seen: set[int] = set()
        found = []
        for position, digest in enumerate(digests.tolist()):
            if digest not in self._at and digest not in seen:
                seen.add(digest)
                found.append(position)
        return np.asarray(found, dtype=np.int64)

    def fill(
        self, digests: NDArray[np.uint64], make: Make, sizes: NDArray[np.int64] | None = None
    ) -> bool:
        """Compute and keep what is missing. False when the quota does not allow it.

        `sizes` says how long each row's array will be, so that what cannot fit is known after the
        first batch. When `make` raises or the disk is full, what was written whole is kept.
        """
        positions = self.missing(digests)
        if len(positions) == 0:
            return True
        sizes = np.ones(len(digests), dtype=np.int64) if sizes is None else sizes
        names = digests.tolist()
        self._map = self._pages = None
        self._drop_tail()
        room, before, held = self._room(), self.bytes, dict(self._at)
        done = 0
        try:
            with self._numbers.open("ab") as out:
                for batch, arrays in make(positions):
                    for position, array in zip(batch.tolist(), arrays, strict=True):
                        self._append(out, names[position], np.ascontiguousarray(array))
                    done += int(sizes[batch].sum())
                    expected = (out.tell() - before) * int(sizes[positions].sum()) / max(done, 1)
                    if expected > room:
                        self._at = held
                        return False
        finally:
            self._forget_unwritten()
            self._drop_tail()
            if self._at:
                self._write_index()
        return True

    def __getitem__(self, digest: int) -> NDArray[Any]:
        start, length = self._at[digest]
        self._let_go(length)
        return self._rows()[start : start + length]

    def stack(self, digests: NDArray[np.uint64]) -> NDArray[Any]:
        """Arrays of one row each, stacked: (n, *shape). For stores with one row an entry."""
        at = np.fromiter((self._at[d][0] for d in digests.tolist()), np.int64, len(digests))
        self._let_go(len(at))
        return np.asarray(self._rows()[at])

    def lengths(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The first dimension of each row's array."""
        return np.fromiter((self._at[d][1] for d in digests.tolist()), np.int64, len(digests))

    def _append(self, out: Any, digest: int, array: NDArray[Any]) -> None:
        if self._dtype is None:
            self._dtype, self._shape = array.dtype, array.shape[1:]
        start = out.tell() // self._width
        out.write(array.astype(self._dtype, copy=False).tobytes())
        self._at[digest] = (start, array.shape[0])

    def _forget_unwritten(self) -> None:
        """Leave out rows whose numbers are not, or not all, on disk."""
        if self._dtype is None:
            return
        rows = self.bytes // self._width
        self._at = {d: (start, n) for d, (start, n) in self._at.items() if start + n <= rows}

    def _drop_tail(self) -> None:
        """Cut off numbers that belong to no row: a killed run wrote them, or there was no room."""
        if self._numbers.exists():
            end = max((start + length for start, length in self._at.values()), default=0)
            os.truncate(self._numbers, end * self._width if end else 0)

    @property
    def _width(self) -> int:
        """Bytes of one row of an array."""
        assert self._dtype is not None
        return int(np.prod(self._shape, dtype=np.int64)) * self._dtype.itemsize

    def _room(self) -> int:
        """Bytes that may still be written in this folder."""
        return self._quota - sum(p.stat().st_size for p in self._numbers.parent.glob("*.bin"))

    def _write_index(self) -> None:
        assert self._dtype is not None
        rows = np.empty((len(self._at), 3), dtype=np.uint64)
        for i, (digest, (start, length)) in enumerate(self._at.items()):
            rows[i] = (digest, start, length)
        aside = self._index.with_suffix(".aside.npy")
        np.save(aside, rows, allow_pickle=False)
        write_aside(
            self._about, json.dumps({"dtype": self._dtype.str, "shape": list(self._shape)}).encode()
        )
        os.replace(aside, self._index)

    def _rows(self) -> NDArray[Any]:
        if self._map is None:
            assert self._dtype is not None
            shape = (self.bytes // self._width, *self._shape)
            with self._numbers.open("rb") as file:
                self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._map = np.frombuffer(self._pages, self._dtype, math.prod(shape)).reshape(shape)
        return self._map

    def _let_go(self, rows: int) -> None:
        """Before more rows are read, give back the pages of those read long ago.

        They stay in the system's own cache, from where they come back at once; but as long as they
        are mapped they count as memory of this process, all of the store in the end.
        """
        self._read += rows * self._width
        if self._read > RESIDENT and self._pages is not None:
            if hasattr(mmap, "MADV_DONTNEED"):
                self._pages.madvise(mmap.MADV_DONTNEED)
            self._read = 0


class Cache:
    """Stores by name in one folder, safe to delete, together under one quota in bytes."""

    def __init__(self, folder: Path | None = None, quota: int = 8 * GIB) -> None:
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="metier-")
            folder = Path(self._temporary.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.quota = quota
        self.memory: dict[str, dict[int, Any]] = {}
        """What is cheap to make again and lives only as long as the process, by key and digest."""
        self._stores: dict[str, Store] = {}

    def store(self, *key: object) -> Store:
        """The store for a key (source digest, preprocessing, boundary, ...)."""
        name = fingerprint(*key)
        if name not in self._stores:
            self._stores[name] = Store(self.folder, name, self.quota)
        return self._stores[name]


def fingerprint(*parts: object) -> str:
    """A short name for a key: equal parts give equal names on every machine.

    >>> fingerprint("a", 1) == fingerprint("a", 1) != fingerprint("a", 2)
    True
    """
    text = json.dumps([repr(part) for part in parts]).encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def write_aside(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never half of it."""
    with replacing(path) as aside:
        aside.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; what was written there takes the place of the file at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    try:
        yield aside
        with aside.open("rb+") as out:
            os.fsync(out.fileno())
        os.replace(aside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
