"""Rows of a table as batches for a network, from raw inputs or from activations computed once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metier.cache import Cache, Store, fingerprint
from metier.errors import DataError, Pruned
from metier.memory import freed_kept
from metier.runtime.images import Image
from metier.runtime.preprocess import Arrays, Example, Preprocess
from metier.runtime.text import Text
from metier.sources.backbone import Backbone
from metier.training.batches import budgeted
from metier.types import Table

if TYPE_CHECKING:
    from metier.training.augment import View

TOKENS = 4096
"""Tokens in a batch of rows that are read beside others, and of a pass on an accelerator."""
PORTION = 1024
"""Tokens that go through a network at once on a processor: what a pass makes of more does not stay
in its caches, and takes longer a token."""
PIXELS = 16 * 224 * 224
"""Pixels in a batch of a pass without gradients."""


class Feed:
    """The rows of one table for one backbone: encoded once, batched many times.

    Args:
        backbone: the network; below the boundary that is asked for, nothing of it may learn.
        preprocess: from columns to arrays.
        table: the rows. Raises DataError when one of them cannot be read.
        cache: where activations are kept.
        device: where tensors go.
        deadline: a time.monotonic() instant after which computing activations raises Pruned.
        view: how the rows are changed before they are read; None leaves them as they are. What is
            kept of them is kept by content and view.
    """

    def __init__(
        self,
        backbone: Backbone,
        preprocess: Preprocess,
        table: Table,
        cache: Cache,
        device: str = "cpu",
        deadline: float | None = None,
        view: View | None = None,
    ) -> None:
        self.backbone = backbone
        self.preprocess = preprocess
        self._view = view
        self._table = table
        self._cache = cache
        self._device = device
        self._deadline = deadline
        self._key = (json.dumps(preprocess.spec(), sort_keys=True), _digest(preprocess.files()))
        self._prepared: dict[int, Store] = {}
        self._examples = _encode(preprocess, table, cache, self._key, view)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """What names each row by its content."""
        return self._table.digests

    @cached_property
    def costs(self) -> NDArray[np.int64]:
        """What each row costs in a batch: its tokens, or 1 for an image."""
        if isinstance(self.preprocess, Image):
            return np.ones(len(self), dtype=np.int64)
        cost = self.preprocess.cost
        return np.fromiter((cost(e) for e in self._iterate()), np.int64, len(self))

    @property
    def budget(self) -> int:
        """The cost that a batch without gradients may have."""
        if isinstance(self.preprocess, Image):
            height, width = self.preprocess.size
            return max(4, PIXELS // (height * width))
        return TOKENS

    @cached_property
    def portion(self) -> int:
        """The cost of what goes through the network at once."""
        whole = isinstance(self.preprocess, Image) or self._device != "cpu"
        return self.budget if whole else PORTION

    def seen_in(self, epoch: int) -> Feed:
        """What an epoch reads of these rows: the rows, in all epochs."""
        return self

    def seen_as(self, view: View) -> Feed:
        """Return the same rows, changed."""
        return Feed(
            self.backbone,
            self.preprocess,
            self._table,
            self._cache,
            self._device,
            self._deadline,
            view,
        )

    def tokens(self) -> NDArray[np.int64]:
        """All distinct token ids of these texts."""
        return np.unique(np.concatenate([window for e in self._iterate() for window in e]))

    def counts(self) -> NDArray[np.int64]:
        """How often each token id is in these texts, up to the highest one that is."""
        every = np.concatenate([window for e in self._iterate() for window in e])
        return np.bincount(every).astype(np.int64)

    @freed_kept()
    def prepare(self, at: int) -> int:
        """Compute what lies below boundary `at` once. Returns the boundary to enter at: `at`, or 0
        when the quota of the cache does not allow it."""
        if at == 0:
            return 0
        store = self._prepared[at] = self._store(at)

        def make(
            positions: NDArray[np.int64],
        ) -> Iterator[tuple[NDArray[np.int64], Sequence[NDArray[Any]]]]:
            # A net that shares these weights may have taken them to another device.
            self.backbone.to(self._device).eval()
            for batch in budgeted(positions, self.costs[positions], self.portion):
                if self._deadline is not None and time.monotonic() > self._deadline:
                    raise Pruned("out of time")
                inputs = self.inputs(batch)
                with torch.inference_mode():
                    hidden = self.backbone.activations(inputs, at).float().cpu().numpy()
                yield batch, self._split(batch, hidden, at)

        sizes = None if at == self.backbone.depth else self.costs
        return at if store.fill(self._table.digests, make, sizes) else 0

    def inputs(self, rows: NDArray[np.int64], light: bool = False) -> dict[str, Tensor]:
        """The named inputs of the network for some rows. `light` leaves pixels out (a pass that is
        entered above the stem needs their shape only)."""
        if light and isinstance(self.preprocess, Image):
            shape = (len(rows), 3, *self.preprocess.size)
            return {"pixel_values": torch.zeros((), device=self._device).expand(shape)}
        arrays = self._collate(rows)
        return {k: torch.from_numpy(v).to(self._device) for k, v in arrays.items()}

    def hidden(self, rows: NDArray[np.int64], at: int) -> Tensor | None:
        """The activations of some rows at a prepared boundary, padded; None at boundary 0."""
        if at == 0:
            return None
        store = self._prepared[at]
        digests = self._table.digests[rows]
        if at == self.backbone.depth or isinstance(self.preprocess, Image):
            return torch.from_numpy(store.stack(digests)).to(self._device)
        windows = [w for r in rows.tolist() for w in self._example(r)]
        longest = max(len(w) for w in windows)
        found = [store[d] for d in digests.tolist()]
        padded = np.zeros((len(windows), longest, found[0].shape[-1]), dtype=np.float32)
        k = 0
        for row, array in zip(rows.tolist(), found, strict=True):
            start = 0
            for window in self._example(row):
                padded[k, : len(window)] = array[start : start + len(window)]
                start += len(window)
                k += 1
        return torch.from_numpy(padded).to(self._device)

    def features(self) -> NDArray[np.float32]:
        """The frozen features of all rows (n, width), computed once."""
        depth = self.backbone.depth
        if self.prepare(depth) == 0:
            raise DataError("the cache has no room for features: raise its quota or free the disk")
        found = self.hidden(np.arange(len(self)), depth)
        assert found is not None
        return cast("NDArray[np.float32]", found.cpu().numpy())

    def _store(self, at: int) -> Store:
        backbone = self.backbone
        last = (backbone.pooling, backbone.normalise) if at == backbone.depth else ()
        view = () if self._view is None else (self._view.key,)
        return self._cache.store(*self._key, prefix_digest(backbone, at), at, *last, *view)

    def _collate(self, rows: NDArray[np.int64]) -> Arrays:
        if isinstance(self.preprocess, Image):
            pixels = self._examples.stack(self._table.digests[rows])
            return {"pixel_values": self.preprocess.normalise(pixels)}
        return self.preprocess.collate([self._example(r) for r in rows.tolist()])

    def _example(self, row: int) -> Example:
        return cast("Example", self._examples[int(self._table.digests[row])])

    def _iterate(self) -> Iterator[Example]:
        return (self._example(row) for row in range(len(self)))

    def _split(self, rows: NDArray[np.int64], hidden: NDArray[Any], at: int) -> list[NDArray[Any]]:
        """Cut a batch of activations into one array a row, without padding."""
        if at == self.backbone.depth or isinstance(self.preprocess, Image):
            return [hidden[i : i + 1] for i in range(len(rows))]
        found = []
        k = 0
        for row in rows.tolist():
            windows = self._example(row)
            parts = [hidden[k + i, : len(w)] for i, w in enumerate(windows)]
            found.append(np.concatenate(parts))
            k += len(windows)
        return found


def prefix_digest(backbone: Backbone, at: int) -> str:
    """A hash of the settings of a network and of all its weights below a boundary, so that only
    equal prefixes share activations."""
    cached: dict[int, tuple[tuple[int, ...], str]] = backbone.__dict__.setdefault("_digests", {})
    below = {
        name: value
        for name, value in (*backbone.named_parameters(), *backbone.named_buffers())
        if backbone.level_of(name) < at
    }
    versions = tuple(n for value in below.values() for n in (value._version, value.data_ptr()))
    if at not in cached or cached[at][0] != versions:
        whole = hashlib.blake2b(_settings(backbone).encode(), digest_size=16)
        for name, value in below.items():
            whole.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            whole.update(value.detach().cpu().contiguous().numpy().tobytes())
        cached[at] = (versions, whole.hexdigest())
    return cached[at][1]


def _settings(backbone: Backbone) -> str:
    """What the weights do not tell: heads, epsilons, activations."""
    config: Any = getattr(backbone.model, "config", None)
    told = {} if config is None else config.to_dict()
    own = {k: v for k, v in told.items() if k not in {"_name_or_path", "transformers_version"}}
    return json.dumps(own, sort_keys=True, default=repr)


def _digest(files: dict[str, bytes]) -> str:
    return fingerprint(*(hashlib.sha256(files[name]).hexdigest() for name in sorted(files)))


def _encode(
    preprocess: Preprocess, table: Table, cache: Cache, key: tuple[str, str], view: View | None
) -> Any:
    """Examples by row digest: pixels in a memory-mapped store, everything else in memory."""
    if isinstance(preprocess, Image):
        store = _decode(preprocess, table, cache, key)
        return store if view is None else _changed(store, table, cache, key, view)
    seen = () if view is None else (view.key,)
    known = cache.memory.setdefault(fingerprint("examples", *key, *seen), {})
    digests = table.digests
    missing = np.asarray([i for i, d in enumerate(digests.tolist()) if d not in known], np.int64)
    if len(missing):
        columns = table.take(missing).columns()
        if view is not None and isinstance(preprocess, Text):
            columns = view.columns(columns, preprocess.columns, digests[missing])
        encoded = preprocess.encode(columns)
        _refuse_unreadable(encoded.reasons, missing)
        for position, example in zip(missing.tolist(), encoded.examples, strict=True):
            known[int(digests[position])] = example
    return known


def _decode(preprocess: Image, table: Table, cache: Cache, key: tuple[str, str]) -> Store:
    from metier.runtime.images import open_image

    store = cache.store("pixels", key[0])
    paths = table.columns()[preprocess.column]

    def read(position: int) -> NDArray[np.uint8]:
        try:
            return preprocess.pixels(open_image(paths[position]))
        except (ValueError, TypeError) as error:
            _refuse_unreadable({position: str(error)}, np.arange(len(table)))
            raise

    return _pictured(store, table, read)


def _changed(store: Store, table: Table, cache: Cache, key: tuple[str, str], view: View) -> Store:
    digests = table.digests.tolist()

    def change(position: int) -> NDArray[np.uint8]:
        return view.pixels(store[digests[position]][0], digests[position])

    return _pictured(cache.store("pixels", key[0], view.key), table, change)


def _pictured(store: Store, table: Table, read: Callable[[int], NDArray[np.uint8]]) -> Store:
    """Fill a store with one picture a row."""

    def make(
        positions: NDArray[np.int64],
    ) -> Iterator[tuple[NDArray[np.int64], Sequence[NDArray[Any]]]]:
        for i in range(0, len(positions), 64):
            batch = positions[i : i + 64]
            yield batch, [read(position)[None] for position in batch.tolist()]

    if not store.fill(table.digests, make):
        raise DataError("the cache has no room for the decoded images: free the disk")
    return store


def _refuse_unreadable(reasons: dict[int, str], rows: NDArray[np.int64]) -> None:
    if reasons:
        first, reason = next(iter(reasons.items()))
        raise DataError(
            f"row {int(rows[first])}: {reason} ({len(reasons)} such); leave unreadable rows out"
        )
