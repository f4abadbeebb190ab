"""Limits, checked on what is handed over."""

from __future__ import annotations

from dataclasses import replace

from metier.road.limits import as_delivered
from metier.search.front import Compression, Limits, Side
from metier.types import Finding

COST = (
    Finding("size", "", 20_000_000.0),
    Finding("latency", "", 0.004, details={"p95": 0.006}),
    Finding("throughput", "", 900.0),
)
PROOF = Finding("accuracy", "", 0.9, 0.88, 0.92, 500)
SIDE = Side(80_000_000, 0.01, 0.012, 0.015, 100.0, None, 0.9, 0.88, 0.92, 200)
TAKEN = Compression(Limits(size=12_000_000), SIDE, (), "trim > quantize", True, "half as large")


def test_without_time_to_try_the_bundle_itself_is_measured() -> None:
    found = as_delivered(None, Limits(size=25_000_000), COST, PROOF)
    assert found.met and found.chosen == ""
    assert (found.parent.bytes, found.parent.p95, found.parent.n) == (20_000_000, 0.006, 500)
    missed = as_delivered(None, Limits(latency=0.001), COST, PROOF)
    assert not missed.met
    assert "no time to try smaller ones" in missed.verdict


def test_a_refit_that_outgrows_the_limit_is_told() -> None:
    found = as_delivered(TAKEN, TAKEN.limits, COST, PROOF)
    assert not found.met
    assert "takes 20 MB, 4 ms a row, and at most 12 MB was asked for" in found.verdict


def test_what_keeps_within_its_limits_stays_as_it_was_found() -> None:
    small = (replace(COST[0], value=9_000_000.0), *COST[1:])
    assert as_delivered(TAKEN, TAKEN.limits, small, PROOF) is TAKEN
