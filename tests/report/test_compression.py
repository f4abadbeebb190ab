"""What was tried to make a specialist smaller, told to a person."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from metier.evidence.catalogue import LossUnit
from metier.report.compression import Compressed, render_compressed
from metier.report.terminal import print_compression
from metier.search.front import Limits, Shrunk, Side, conclude

PARENT = Side(90_000_000, 0.010, 0.012, 0.015, 500.0, None, 1.1, 1.0, 1.2, 1000)
SIDE = replace(PARENT, bytes=9_000_000)


@pytest.mark.parametrize(
    ("metric", "unit", "other"),
    [("rmse", "per cent", "points"), ("accuracy", "points", "per cent")],
)
def test_gains_and_losses_are_in_the_unit_of_the_metric(
    metric: str, unit: LossUnit, other: str
) -> None:
    tried = Shrunk("int8", "accepted", "", SIDE, 0.3, -0.1, 0.7, True, unit=unit)
    found = conclude(Limits(), PARENT, [tried])
    page = render_compressed(
        Compressed("small", "2024-01-01", "metier compress", metric, found, "", "b", "d", "p")
    )
    assert f"0.300 {unit}" in page and f"at most 0.5 {unit} of" in page
    assert f"{unit.capitalize()} gained" in page and f"-0.30 {unit}" in page
    assert f"{other} gained" not in page.lower()
    console = Console(file=io.StringIO(), width=200)
    print_compression(found, console)
    assert isinstance(console.file, io.StringIO)
    assert f"{unit} gained" in console.file.getvalue()
