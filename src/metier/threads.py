"""Threads, chosen when a run begins: as many as the process may use, waiting as the machine allows.

OpenMP's threads wait for each other by spinning. Alone on a machine that is fastest; beside another
busy job every spin takes the time that the other thread needs to get there, and small layers become
many times slower. So the wait is chosen from the load that is there. It must be set before the
first library that brings OpenMP is loaded.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

CONTROL = Path("/sys/fs/cgroup")
"""Where Linux tells what control groups allow."""
MEMBERSHIP = Path("/proc/self/cgroup")
"""Which groups this process is in, one line for each hierarchy."""
SMALL_PROBLEM = 20_000_000
"""Numbers in a matrix below which a second thread costs more than it gives."""


def cores(control: Path = CONTROL, membership: Path = MEMBERSHIP) -> int:
    """The processors that this process may use: those it is bound to, and no more than the time
    that a container gives it is worth."""
    bound = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    given = quota(control, membership)
    return bound if given is None else max(1, min(bound, math.ceil(given)))


def quota(control: Path = CONTROL, membership: Path = MEMBERSHIP) -> float | None:
    """Return the processors' worth of time that the control group of this process allows (Linux,
    version 2 and 1); None where nothing is limited.

    A container sees its own group at the root; elsewhere the groups above may limit it as well, so
    the least along the way down counts.
    """
    limits = [
        found
        for root, path in _groups(control, membership)
        for part in (path, *path.parents)
        if (found := _limit(root / part.relative_to("/"))) is not None
    ]
    return min(limits, default=None)


def _groups(control: Path, membership: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Where groups may be mounted, and the path of this process in them."""
    yield control, PurePosixPath("/")
    yield control / "cpu", PurePosixPath("/")
    for line in _read(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            yield control, PurePosixPath("/", path)
        elif "cpu" in controllers.split(","):
            yield control / "cpu", PurePosixPath("/", path)
            yield control / controllers, PurePosixPath("/", path)


def _limit(group: Path) -> float | None:
    """The time a period that one group is allowed, in processors."""
    words = _read(group / "cpu.max").split()
    if not words:
        words = [_read(group / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period")]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or not int(words[1]):
        return None  # "max" or -1: not limited
    return int(words[0]) / int(words[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


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
