"""A bundle that is written with held-out scores knows what is usual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import metier
from metier.deploy.bundle import write_bundle
from metier.deploy.reference import MOST_ROWS, HeldOut, Onlooker
from metier.runtime.manifest import InputColumn
from metier.runtime.reference import UNSURE, from_json
from metier.runtime.signals import vocabularies
from metier.training.tables.columns import fit_codes
from metier.types import Roles, Table
from tests.deploy import test_bundle as made
from tests.serving import bundles
from tests.serving.conftest import live


def table(n: int, seed: int) -> Table:
    draw = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "size": draw.normal(3, 1, n),
            "colour": draw.choice(["red", "blue"], n),
            "day": [f"2024-01-{day:02d}" for day in draw.integers(1, 29, n)],
        }
    )
    return Table(frame, Roles({"size": "number", "colour": "category", "day": "date"}))


def test_it_is_of_all_rows_and_of_answers_to_others(tmp_path: Path) -> None:
    rows, others = table(500, 0), table(120, 1)
    specialist = made.specialist()
    held_out = HeldOut(specialist.scores(others), made.DECISION)
    write_bundle(
        specialist,
        tmp_path / "specialist",
        decision=made.DECISION,
        sample=rows.take(range(40)),
        card="card",
        facts={"kept": 1},
        table=rows,
        held_out=held_out,
    )
    manifest = metier.load(tmp_path).manifest
    assert manifest.facts["kept"] == 1
    found = from_json(manifest.facts["reference"], vocabularies(manifest.preprocess))
    assert (found.rows, found.held_out) == (500, 120)
    assert set(found.scales) == {"size", "day", "confidence"}
    assert set(found.choices) == {"colour", "prediction"}
    frame = others.frame
    told = made.DECISION.answers(held_out.scores)
    choice = found.choices["prediction"]
    shares = dict(zip(choice.names, choice.shares, strict=True))
    assert shares["small"] == pytest.approx(told.count("small") / 120, abs=1e-5)
    with live(tmp_path) as server:
        assert server.ask("/predict", {"rows": frame.to_dicts()}).status == 200
        assert server.service.monitor is not None


def test_rows_that_are_not_looked_at_know_categories_too() -> None:
    n = 2 * MOST_ROWS
    frame = pl.DataFrame({"town": [f"town {row % (n // 2)}" for row in range(n)]})
    rows = Table(frame, Roles({"town": "category"}))
    spec = fit_codes(rows).spec()
    held_out = HeldOut(np.zeros((3, 2), np.float32), made.DECISION)
    found = Onlooker().conclude(rows, [InputColumn("town", "category")], spec, held_out)
    assert found["rows"] == MOST_ROWS
    there = np.isin(frame["town"], list(vocabularies(spec)["town"]))
    assert found["unlike"] == pytest.approx(1 - there.mean() + UNSURE, abs=0.01)


def test_images_are_seen_while_the_bundle_is_compared(tmp_path: Path) -> None:
    from metier.runtime.session import load
    from tests.serving.test_app import png

    bundle = load(bundles.write_image(tmp_path / "image"))
    onlooker = Onlooker()
    files = [png(colour) for colour in ("red", "white", "black", "blue")]
    onlooker.beside(bundle).scored({"file": files})
    roles = Table(pl.DataFrame({"file": ["a"]}), Roles({"file": "image"}))
    held_out = HeldOut(np.zeros((3, 2), np.float32), bundle.manifest.decision)
    spec = bundle.manifest.preprocess
    found = onlooker.conclude(roles, bundle.manifest.columns, spec, held_out)
    assert found["rows"] == 4 and found["held_out"] == 3
    names = {f"file: {name}" for name in ("brightness", "contrast", "detail", "warmth")}
    assert set(found["numbers"]) == names | {"confidence"}


def test_without_held_out_scores_nothing_is_said(tmp_path: Path) -> None:
    made.write(tmp_path / "specialist")
    assert "reference" not in metier.load(tmp_path).manifest.facts
