"""Memory that is free: kept while a network works, given back to the system between fits.

The allocator of glibc keeps what a program frees in pieces between those that are in use, and asks
the system anew for every large block. Both are wrong for a network. While it works it frees and
wants the same few hundred megabytes in every step, and the system clears each page it hands out:
for convolutional nets that takes more time than the convolutions. Once it has learned, most of what
its activations took is still counted as this process's, and what comes next, in other sizes, is put
beside it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt` (malloc.h): how much may be free at the end of the heap before it is
given back, and the size from which on a block is asked for from the system by itself."""
ALL = (1 << 31) - 1
KEPT = {TRIM_THRESHOLD: ALL, MMAP_THRESHOLD: ALL}
AFTER = {TRIM_THRESHOLD: 64 << 20, MMAP_THRESHOLD: 32 << 20}
"""What the allocator comes to by itself where large blocks are freed (mallopt(3))."""


@contextmanager
def freed_kept() -> Iterator[None]:
    """Keep freed memory for what asks next; does nothing where the allocator is not glibc's.

    May be entered again inside, and by several threads: it ends with the last one.
    """
    _keep(1)
    try:
        yield
    finally:
        _keep(-1)


def give_back() -> bool:
    """Give the pages of freed memory back; False where the allocator cannot be asked to."""
    trim = _of_glibc("malloc_trim")
    return trim is not None and bool(trim(0))


_lock = Lock()
_keepers = 0


def _keep(more: int) -> None:
    """Count those that want freed memory kept, and tell the allocator of the first and the last."""
    global _keepers
    change = _of_glibc("mallopt")
    with _lock:
        before, _keepers = _keepers, _keepers + more
        if change is not None and not (before and _keepers):
            for parameter, value in (KEPT if _keepers else AFTER).items():
                change(parameter, value)


@cache
def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
