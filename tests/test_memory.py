from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metier.memory import give_back

MIB = 1 << 20
PIECE = 64 << 10
"""Bytes below what the allocator asks the system for one by one."""


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nothing to ask elsewhere")
def test_freed_pieces_between_used_ones_go_back_to_the_system() -> None:
    give_back()
    held = [bytes(PIECE) + b"x" for _ in range(200 * MIB // PIECE)]
    full = resident()
    kept = held[::50]
    del held
    assert give_back()
    assert full - resident() > 150 * MIB
    assert len(kept) == 200 * MIB // PIECE // 50
