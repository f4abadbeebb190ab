"""Threads, chosen when a run begins: as many as the process may use, waiting as the machine allows.

OpenMP's threads wait for each other by spinning. Alone on a machine that is fastest; beside another
busy job every spin takes the time that the other thread needs to get there, and small layers become
many times slower. So the wait is chosen from the load that is there. It must be set before the
first library that brings OpenMP is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SMALL_PROBLEM = 20_000_000
"""Numbers in a matrix below which a second thread costs more than it gives."""


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settle_threads() -> int:
    """Set how threads wait and how many there are, which is returned.

    It works through the environment, so that it takes hold of whatever library comes later without
    loading any; one that is loaded already is told. What the user set (OMP_NUM_THREADS,
    OMP_WAIT_POLICY) is kept.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    count = int(asked) if asked.isdigit() and int(asked) > 0 else cores()
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
    elif "OMP_WAIT_POLICY" not in os.environ:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        if load > 0.5:
            os.environ["OMP_WAIT_POLICY"] = "passive"
        else:
            os.environ.setdefault("GOMP_SPINCOUNT", "100000")
    return count


@contextmanager
def few_threads(numbers: int) -> Iterator[None]:
    """Let linear algebra on a small matrix of so many numbers run on one thread."""
    if numbers > SMALL_PROBLEM:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
