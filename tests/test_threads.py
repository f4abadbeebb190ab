"""Threads are chosen before the libraries that use them are loaded, and the user's word counts."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from metier.threads import SMALL_PROBLEM, cores, few_threads, quota

SOURCE = Path(__file__).resolve().parents[1] / "src"
TELL = """
import json, os, sys
{before}
from metier.threads import settle_threads
count = settle_threads()
{after}
names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
told = {{name: os.environ.get(name) for name in names}}
print(json.dumps([count, told, "torch" in sys.modules]))
"""


def settled(
    before: str = "", after: str = "", **environment: str
) -> tuple[int, dict[str, str | None], bool]:
    """What a fresh interpreter chose."""
    chosen = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
    done = subprocess.run(
        [sys.executable, "-c", TELL.format(before=before, after=after)],
        env={**chosen, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    count, told, torch = json.loads(done.stdout)
    return count, told, torch


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "50000 100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu.max": "100 0"}, None),
    ],
)
def test_what_a_container_allows_is_read(
    tmp_path: Path, files: dict[str, str], allowed: float | None
) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    assert quota(tmp_path) == allowed
    assert 1 <= cores(tmp_path) <= max(1, math.ceil(allowed or 10_000))


def test_the_least_of_all_groups_above_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for folder, content in (("", "max 100000"), ("a", "100000 100000"), ("a/b", "400000 100000")):
        (tmp_path / folder / "cpu.max").write_text(content)
    (tmp_path / "membership").write_text("0::/a/b\n")
    assert quota(tmp_path, tmp_path / "membership") == 1.0
    assert cores(tmp_path, tmp_path / "membership") == 1


LOAD = "os.getloadavg = lambda: ({},) * 3"


def test_as_many_as_the_process_may_use_and_torch_stays_unloaded() -> None:
    count, told, torch = settled(LOAD.format(0.0))
    assert count == cores() and told["OMP_NUM_THREADS"] == str(count) and not torch


@pytest.mark.parametrize(
    ("load", "policy", "spins"), [(0.1, None, "100000"), (1.7, "passive", None)]
)
def test_threads_wait_as_the_machine_allows(
    load: float, policy: str | None, spins: str | None
) -> None:
    _, told, _ = settled(LOAD.format(load))
    assert (told["OMP_WAIT_POLICY"], told["GOMP_SPINCOUNT"]) == (policy, spins)


def test_what_the_user_set_is_kept() -> None:
    count, told, _ = settled(
        LOAD.format(9.0), OMP_NUM_THREADS="3", OMP_WAIT_POLICY="active", GOMP_SPINCOUNT="7"
    )
    assert count == 3
    assert told == {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "7"}


@pytest.mark.parametrize("nonsense", ["", "0", "many", "4,2"])
def test_nonsense_is_not_followed(nonsense: str) -> None:
    assert settled(OMP_NUM_THREADS=nonsense)[0] == cores()


def test_torch_is_told_when_it_is_there_already() -> None:
    told = "import torch; assert torch.get_num_threads() == 2"
    count, _, torch = settled("import torch; torch.set_num_threads(1)", told, OMP_NUM_THREADS="2")
    assert count == 2 and torch


def test_small_problems_take_one_thread() -> None:
    np.ones((4, 4)) @ np.ones((4, 4))
    before = [pool["num_threads"] for pool in threadpool_info()]
    with few_threads(SMALL_PROBLEM):
        assert {pool["num_threads"] for pool in threadpool_info()} <= {1}
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    with few_threads(SMALL_PROBLEM + 1):
        assert [pool["num_threads"] for pool in threadpool_info()] == before
