"""Memory that is free, given back to the system.

The allocator of glibc keeps what a program frees, in pieces between those that are in use: after a
network has learned, most of what its activations took is still counted as this process's, and what
comes next, in other sizes, is put beside it.
"""

from __future__ import annotations

import ctypes
import sys


def give_back() -> bool:
    """Give the pages of freed memory back; False where the allocator cannot be asked to."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
