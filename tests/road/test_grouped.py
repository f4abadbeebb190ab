"""Rows that belong together: whatever is measured on them is measured over their groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier import api
from metier.report import assemble
from metier.road import fairer
from metier.road.bundles import compare
from metier.search import choice, climb, finals
from metier.search.race import Nothing
from metier.search.shrink import Bout, clusters_in
from metier.tasks import build
from metier.types import Problem, Specialist
from tests.search import fakes
from tests.strategies.people import people


def grouped(folder: Path, seed: int = 0) -> Path:
    """Rows of two sexes, fifteen rows of each family."""
    path = folder / f"people-{seed}.csv"
    frame = people(900, seed).frame.drop("text")
    frame.with_columns(who=pl.int_range(900) // 15).write_csv(path)
    return path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Who measured or compared something, and whether by groups."""
    found: list[tuple[str, bool]] = []

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            found.append((name, more.get("clusters") is not None))
            return real(*given, **more)

        return call

    for module in (assemble, choice, climb, compare, fairer, finals):
        for name in ("disparities", "interval", "paired", "scorecard"):
            real = getattr(module, name, None)
            if real is not None:
                told = f"{module.__name__.rpartition('.')[2]}.{name}"
                monkeypatch.setattr(module, name, watched(told, real))
    return found


def test_a_run_measures_by_groups_and_its_bundle_goes_on_to(
    tmp_path: Path, seen: list[tuple[str, bool]]
) -> None:
    pytest.importorskip("fairlearn")
    rows, out = grouped(tmp_path), tmp_path / "run"
    made = api.specialize(
        rows, target="hired", group="who", sensitive=["sex"], max_disparity=0.2, disparity="parity",
        strategies=["linear"], trials=1, out=out,
    )  # fmt: skip
    assert all(by_groups for _, by_groups in seen), seen
    assert {name for name, _ in seen} >= {
        "assemble.interval", "assemble.paired", "assemble.scorecard", "choice.paired",
        "climb.interval", "fairer.disparities", "fairer.interval", "fairer.paired",
        "finals.interval",
    }  # fmt: skip
    assert "over the groups of who" in made.report.proof_on
    assert made.report.fairness is not None
    assert "groups left out in turn" in made.report.fairness.proxies[0].verdict
    assert made.report.tradeoff is not None and made.report.tradeoff.proof is not None
    assert made.report.tradeoff.proof.details["clusters"] > 1

    more = grouped(tmp_path, seed=1)
    found = {each.name: each for each in api.evaluate(out, more)}
    assert found["accuracy"].details["groups"] == 60
    assert "900 rows in 60 groups" in found["accuracy"].verdict
    alone = pl.read_csv(more).drop("who")
    assert "groups" not in {e.name: e for e in api.evaluate(out, alone)}["accuracy"].details

    seen.clear()
    api.compare(out, out, more)
    assert seen and all(by_groups for _, by_groups in seen)


def test_a_group_is_one_wherever_it_judges() -> None:
    rows = fakes.table(60, groups=6)
    task = build("binary", rows)
    parent, problem = Specialist(Nothing("tabular"), task), Problem(task, rows)

    def bout(first: int, last: int) -> Bout:
        held = rows.take(np.arange(first, last))
        return Bout(parent, problem, held, np.arange(last - first) % 2 == 0)

    found = clusters_in([bout(0, 15), bout(15, 40)])
    assert found is not None and len(found) == 8 + 13
    assert len(np.unique(found)) == 4 and found[7] == found[8]
