"""From what a run found to what is told of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest

from metier.data.checks import SHARED
from metier.data.remembered import MET
from metier.report.assemble import About, assemble
from metier.report.content import Report, from_json, to_json
from metier.search.choice import Prefer, choose
from metier.search.clock import Clock
from metier.search.finals import Wish, finish
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.types import Finding
from tests.search import fakes
from tests.search.conftest import guess

__all__ = ["guess"]


def report(
    folder: Path,
    n: int = 400,
    prefer: Prefer = "best",
    on_train: float | None = None,
    unusable: int = 0,
    groups: int = 0,
    findings: tuple[Finding, ...] = (),
    **rights: float,
) -> Report:
    """The report of a race between guesses; two names are baselines that start from nothing, and
    the best so many could not be used."""
    race = fakes.race(folder, n, groups=groups)
    candidates = []
    for name, right in rights.items():
        state = "baseline" if name in ("majority", "classical") else "tried"
        recipe = Recipe("guess", "none", {"right": right})
        candidate = Candidate(f"{name}-0", name, recipe, state)  # type: ignore[arg-type]
        for fold in range(len(race.split.folds)):
            race.run_fold(candidate, fold)
        candidates.append(candidate)
    climb = choose(race, candidates, tuple(range(len(race.split.folds))), prefer)
    test = race.table if findings else None
    finals = finish(race, climb, Wish(test, "all", (), Clock(None), 0.0))
    final = next(islice(finals, unusable, None))
    if on_train is not None:
        seen = Finding("accuracy", "", on_train, on_train - 0.01, on_train, 400)
        final = replace(final, on_train=seen)
    notes = ("a note",)
    about = About("run", "metier specialize", {}, {}, findings, (), "run/specialist", notes=notes)
    return assemble(race, climb, final, about)


def test_the_report_says_what_won_and_over_what(tmp_path: Path) -> None:
    found = report(tmp_path, majority=0.5, good=0.9)
    assert found.chosen is not None
    assert found.chosen.name == "good-0"
    assert [each.name for each in found.baselines] == ["majority"]
    assert found.headline is not None
    assert "points more than always giving the same answer" in found.verdict
    assert found.verdict_level == "good"
    assert "out-of-fold" in found.proof_on
    assert "refitted on all rows" in found.proof_on
    assert {each.name for each in found.comparisons} >= {"majority", "overfitting", "runner_up"}
    assert 0 < len(found.mistakes) <= 12
    assert found.confusion is not None
    assert from_json(to_json(found)) == found


@pytest.mark.parametrize(
    ("level", "light", "chosen_by"), [("info", "good", True), ("problem", "bad", False)]
)
def test_a_gain_on_rows_that_were_learned_from_is_not_proven(
    tmp_path: Path, level: Literal["info", "problem"], light: str, *, chosen_by: bool
) -> None:
    shared = Finding(SHARED, "400 of 400 test rows (100.0%) are known", 1.0, level=level)
    found = report(tmp_path, findings=(shared,), majority=0.5, good=0.9)
    assert found.verdict_level == light
    assert ("400 of 400 test rows (100.0%) are known." in found.verdict) is not chosen_by
    assert ("which nothing was chosen by" in found.proof_on) is chosen_by
    assert ("100 % are in the training rows too" in found.proof_on) is not chosen_by


@pytest.mark.parametrize(("source", "light"), [("none", "bad"), ("runs/other", "good")])
def test_a_gain_of_a_source_that_has_seen_the_rows_is_not_proven(
    tmp_path: Path, source: str, light: str
) -> None:
    met = Finding(MET, "it has seen them", 1.0, level="problem", details={"source": source})
    found = report(tmp_path, findings=(met,), majority=0.5, good=0.9)
    assert found.verdict_level == light
    assert found.verdict.startswith("It has seen them.") is (light == "bad")


def test_intervals_are_over_groups_where_rows_have_them(tmp_path: Path) -> None:
    found = report(tmp_path, groups=40, majority=0.5, good=0.9)
    assert found.headline is not None and 5 < found.headline.details["groups"] < 40
    assert "in 14 groups)" in found.headline.verdict
    assert {each.details["groups"] for each in found.baselines} == {14}
    assert found.proof_on.endswith("Intervals are over the groups of who, not over single rows.")
    assert "groups" not in report(tmp_path / "rows", majority=0.5, good=0.9).proof_on


def test_ties_are_marked(tmp_path: Path) -> None:
    found = report(tmp_path, majority=0.5, good=0.85, other=0.84)
    assert {e.name for e in found.leaderboard if e.tied} == {"other-0"}
    runner_up = next(each for each in found.comparisons if each.name == "runner_up")
    assert "ot distinguishable from the runner-up (other-0)" in runner_up.verdict


def test_a_baseline_that_wins_is_what_the_user_gets_and_is_told(tmp_path: Path) -> None:
    found = report(tmp_path, majority=0.5, classical=0.9, probe=0.6)
    assert found.chosen is not None
    assert found.chosen.name == "classical-0"
    assert "so that is what you get" in found.verdict
    assert found.verdict_level == "neutral"
    assert {each.name for each in found.baselines} == {"majority", "classical"}


def test_a_baseline_alone_proves_no_gain(tmp_path: Path) -> None:
    found = report(tmp_path, majority=0.5)
    assert found.verdict_level == "neutral"
    assert report(tmp_path / "two", majority=0.5, classical=0.9).verdict_level == "neutral"


def test_overfitting_takes_nothing_from_a_gain_that_is_proven(tmp_path: Path) -> None:
    found = report(tmp_path, on_train=1.0, majority=0.5, good=0.8)
    overfitting = next(each for each in found.comparisons if each.name == "overfitting")
    assert overfitting.level == "warning"
    assert overfitting.low is not None and overfitting.high is not None and overfitting.n
    assert found.verdict_level == "good"


def test_a_smaller_one_that_was_asked_for_is_not_said_to_be_better(tmp_path: Path) -> None:
    found = report(tmp_path, prefer="small", majority=0.5, classical=0.85, probe=0.86)
    assert found.chosen is not None and found.chosen.name == "classical-0"
    assert "not distinguishable from probe" in found.verdict and "and smaller" in found.verdict
    assert "did better than" not in found.verdict


def test_a_baseline_that_stands_in_is_not_said_to_be_smaller(tmp_path: Path) -> None:
    found = report(tmp_path, unusable=1, majority=0.5, good=0.9)
    assert found.chosen is not None and found.chosen.name == "majority-0"
    assert "did better than always giving the same answer" in found.verdict
    assert "could not be fitted to the end" in found.verdict and "smaller" not in found.verdict
    assert found.verdict_level == "neutral"


def test_mistakes_are_rows_of_the_file_and_not_of_the_proof(tmp_path: Path) -> None:
    found = report(tmp_path, 1200, majority=0.5, good=0.8)
    held = {int(row) for row in fakes.race(tmp_path, 1200).held}
    assert not held & {mistake.row for mistake in found.mistakes}
    assert found.rows["testing (held out, then learned from)"] == len(held)


@pytest.mark.parametrize("n", [400, 1200])
def test_the_leaderboard_is_measured_on_rows_that_prove_nothing(tmp_path: Path, n: int) -> None:
    found = report(tmp_path, n, majority=0.5, good=0.8)
    sizes = {entry.n or 0 for entry in found.leaderboard}
    assert len(sizes) == 1
    proof = found.headline
    assert proof is not None and proof.n is not None
    assert sizes.pop() + proof.n <= n
