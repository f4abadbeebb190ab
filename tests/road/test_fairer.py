"""Runs under a limit on disparity: kept to where that can be, said plainly where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier.api import evaluate, export, specialize
from metier.cache import Cache
from metier.cli import main
from metier.data.splits import split
from metier.errors import InputError
from metier.evidence.answers import Answers
from metier.evidence.fairness.served import serve
from metier.road.fairer import Fairing, as_proven, make_fairer
from metier.search.choice import Climb, choose
from metier.search.clock import Clock
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.search.tradeoff import Fairness, Tradeoff
from metier.tasks import build
from metier.types import Roles, Table
from tests.strategies.people import people

ASKED: dict[str, Any] = {"target": "hired", "sensitive": ["sex"], "trials": 1}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("people") / "people.csv"
    people(900).frame.drop("text").write_csv(path)
    return path


@pytest.fixture(scope="module")
def limited(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("fairlearn")
    out = tmp_path_factory.mktemp("runs") / "limited"
    given = {**ASKED, "max_disparity": 0.2, "disparity": "parity", "strategies": ["linear"]}
    return specialize(rows, out=out, **given)


def test_the_recipe_is_wrapped_until_it_keeps_to_the_limit(limited: Any) -> None:
    found = limited.report.tradeoff
    assert found is not None and found.chosen and found.met
    assert found.points[0].apart > 0.2
    chosen = next(p for p in found.points if p.name == found.chosen)
    assert chosen.meets and chosen.apart <= 0.2 and chosen.lost is not None
    assert limited.report.strategy.endswith("(linear)")
    assert "On the rows of the proof" in found.verdict and found.proof is not None


def test_the_page_and_the_card_tell_it_and_the_column_is_no_input(limited: Any) -> None:
    page = limited.page.read_text()
    for said in (
        "Accuracy against disparity",
        "Who is served worse, by sex",
        "What gives the group",
    ):
        assert said in page
    assert "Who is served worse" in (limited.bundle / "README.md").read_text()
    bundle = metier.load(limited.bundle)
    assert [c.name for c in bundle.manifest.columns] == ["skill", "town"]
    assert bundle.manifest.facts["sensitive"] == {"sex": []}


def test_a_finished_run_tells_the_same_again(limited: Any, rows: Path) -> None:
    given = {**ASKED, "max_disparity": 0.2, "disparity": "parity", "strategies": ["linear"]}
    again = specialize(rows, out=limited.folder, resume=True, **given)
    assert again.report.tradeoff == limited.report.tradeoff
    assert again.report.fairness == limited.report.fairness


def kept_within(folder: Path, budget: float | None) -> tuple[Climb, Tradeoff]:
    """A sitting that comes to the limit with so many seconds left."""
    rows = people(600)
    task = build("binary", rows)
    divided = split(rows, "binary", test_given=False, folds=3)
    race = Race(rows, task, divided, {}, folder, Cache(folder / "cache"))
    linear = Candidate("linear-0", "linear", Recipe("linear", "none"))
    for fold in range(len(divided.folds)):
        assert race.run_fold(linear, fold)
    climb = choose(race, [linear], tuple(range(len(divided.folds))))
    asked = Fairness(0.2, "parity")
    fairing = Fairing(race, asked, Clock(budget), lambda: 0.0, 1, (), folder)
    return make_fairer(fairing, climb, lambda name: None)


def test_a_run_that_goes_on_without_time_hands_over_what_was_decided(tmp_path: Path) -> None:
    pytest.importorskip("fairlearn")
    climb, told = kept_within(tmp_path, None)
    assert told.met and told.chosen
    again, same = kept_within(tmp_path, 1e-4)
    assert same == told
    assert again.chosen.name == climb.chosen.name and again.chosen.folds


def test_what_cannot_be_had_again_is_not_said_to_be_taken(tmp_path: Path) -> None:
    pytest.importorskip("fairlearn")
    climb, told = kept_within(tmp_path, None)
    shutil.rmtree(tmp_path / "trials" / climb.chosen.name)
    others, instead = kept_within(tmp_path, 1e-4)
    assert others.chosen.name != climb.chosen.name and instead.chosen != told.chosen
    assert {p.state for p in instead.points if p.name == told.chosen} <= {"skipped"}
    for left in (tmp_path / "trials").glob("linear-0-*"):
        shutil.rmtree(left)
    as_it_was, nothing = kept_within(tmp_path, 1e-4)
    assert as_it_was.chosen.name == "linear-0"
    assert (nothing.met, nothing.chosen) == (False, "")


def proven(**groups: list[str]) -> Tradeoff:
    """What 4,000 rows say of a limit of 6.5 points: of the first half 700 are chosen, of the
    second 500."""
    place = np.arange(4000)
    chosen = ((place < 700) | ((place >= 2000) & (place < 2500))).astype(int)
    answers = Answers("binary", ("no", "yes"), chosen, chosen, np.eye(2)[chosen])
    table = Table(pl.DataFrame(groups), Roles({}, sensitive=tuple(groups)))
    served = serve(answers, table, on="test rows", proxies=False)
    kept = Tradeoff(Fairness(0.065, "parity"), "accuracy", True, (), "", True, "it is kept")
    return as_proven(kept, served)


SEX = ["f"] * 2000 + ["m"] * 2000
RACE = ["x" if i < 62 or i >= 3912 else "w" for i in range(4000)]
"""A small group, which lies further apart than the sexes, and by less than is sure."""


def test_every_column_is_held_against_the_limit() -> None:
    found = proven(sex=SEX, race=RACE)
    assert not found.met and found.proof is not None
    assert found.proof.details["column"] == "sex"
    assert "10.0 points by sex" in found.verdict and "beyond the limit" in found.verdict


def test_a_column_that_noise_can_explain_does_not_break_the_limit() -> None:
    found = proven(race=RACE)
    assert found.met and found.proof is not None and (found.proof.value or 0.0) > 0.065
    assert "by race" in found.verdict and "noise can be why" in found.verdict


def test_the_bundle_is_measured_again_on_other_rows(limited: Any, tmp_path: Path) -> None:
    people(600, seed=8).frame.write_csv(tmp_path / "more.csv")
    found = {
        each.name for each in evaluate(limited.bundle, tmp_path / "more.csv", sensitive=["sex"])
    }
    assert {"parity[sex]", "odds[sex]", "proxy[sex]", "slices", "selection_rate[sex=f]"} <= found
    with pytest.raises(InputError, match="did you mean 'sex'"):
        evaluate(limited.bundle, tmp_path / "more.csv", sensitive=["sx"])
    with pytest.raises(InputError, match="is the target"):
        evaluate(limited.bundle, tmp_path / "more.csv", sensitive=["hired"])


def test_exit_code_3_says_that_nothing_keeps_to_it(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["specialize", str(rows), "--target", "hired", "--sensitive", "sex", "--trials", "1"]
    words += ["--strategy", "linear", "--max-disparity", "0", "--out", str(tmp_path / "run")]
    assert main(words) == 3
    assert "nothing that was tried keeps to" in capsys.readouterr().out.lower()
    told = json.loads((tmp_path / "run" / "tradeoff.json").read_text())
    assert told["met"] is False and len(told["points"]) > 3


def test_thresholds_by_group_are_data_in_the_bundle(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    frame = people(900).frame.drop("text", "town")
    # No line tells these apart, so what is asked for wins over the linear baseline.
    hired = pl.when(pl.col("skill").abs() > 0.7).then(pl.lit("yes")).otherwise(pl.lit("no"))
    frame.with_columns(hired=hired).write_csv(tmp_path / "rows.csv")
    given = {**ASKED, "strategies": ["threshold(boost)"], "allow_group_thresholds": True}
    made = specialize(tmp_path / "rows.csv", out=tmp_path / "run", **given)
    assert made.report.strategy == "threshold(boost)"
    decision = json.loads((made.bundle / "metier.json").read_text())["decision"]
    assert set(decision["groups"]["thresholds"]) == {"f", "m"}
    assert "--allow-group-thresholds" in made.report.command
    found = metier.load(made.bundle).predict([{"skill": 0.4, "sex": "x"}])
    assert "common threshold" in found.warnings[0]
    with pytest.raises(InputError, match="asks nobody which group"):
        export(made.bundle, "web", tmp_path / "page")
    lines = (export(made.bundle, "onnx", tmp_path / "onnx") / "predict.py").read_text()
    assert 'd["groups"]["thresholds"]' in lines


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"max_disparity": 0.1, "sensitive": []}, "between which groups"),
        ({"max_disparity": 2.0}, "from 0 to below 1"),
        ({"disparity": "parity"}, "give --max-disparity"),
        ({"sensitive": ["sx"]}, "did you mean 'sex'"),
        ({"sensitive": ["hired"]}, "is the target"),
        ({"strategies": ["reweigh(linear)"], "sensitive": []}, "fair to whom"),
        ({"strategies": ["threshold"]}, "--allow-group-thresholds"),
        ({"allow_group_thresholds": True}, "which ones"),
        ({"target": "skill", "max_disparity": 0.1}, "this is regression"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_leaves_nothing(
    rows: Path, tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        specialize(rows, out=tmp_path / "run", **{**ASKED, **more})
    assert not (tmp_path / "run").exists()
