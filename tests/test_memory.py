from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.memory import freed_kept, give_back

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


def faults(work: Callable[[], object]) -> int:
    """Pages that the system had to hand out during some work."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def step() -> None:
    for _ in range(4):
        held = bytearray(80 * MIB)
        held[:: 4 << 10] = b"x" * len(held[:: 4 << 10])
        del held


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nothing to ask elsewhere")
def test_freed_blocks_are_kept_while_a_network_works_and_no_longer() -> None:
    pages = 80 * MIB // 4096
    with freed_kept():
        with freed_kept():
            step()
        again = faults(step)
    assert again < pages, "a block that was freed serves the next that is wanted"
    held = resident()
    give_back()
    assert held - resident() > 60 * MIB
    assert faults(step) > 3 * pages
