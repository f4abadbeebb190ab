from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metier.data.splits import CALIBRATE, PROVE, SELECT
from metier.search.race import told
from metier.search.recipe import Recipe
from metier.search.records import CHECKPOINT, Candidate
from tests.search import fakes


def candidate(name: str = "guess-0", **parameters: object) -> Candidate:
    return Candidate(name, "guess", Recipe("guess", "none", parameters))


@pytest.mark.parametrize(
    ("fault", "state", "note"),
    [
        ("raises", "failed", "OddError: an odd thing"),
        ("memory", "failed", "out of memory"),
        ("nan", "failed", "its scores are not all numbers"),
        ("pruned", "cut", "hopeless"),
    ],
)
def test_a_trial_that_fails_is_recorded_and_goes_no_further(
    tmp_path: Path, fault: str, state: str, note: str
) -> None:
    race, tried = fakes.race(tmp_path), candidate(fault=fault)
    left = tmp_path / "trials" / tried.name / "fold-0" / CHECKPOINT
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    assert not race.run_fold(tried, 0)
    assert (tried.state, tried.note, tried.folds) == (state, note, {})
    assert fault == "nan" or not left.exists()


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        fakes.race(tmp_path).run_fold(candidate(fault="full disk"), 0)


def test_a_fold_that_was_done_is_found_again(tmp_path: Path) -> None:
    first, second = candidate(right=0.9), candidate(right=0.9)
    assert fakes.race(tmp_path).run_fold(first, 1)
    fits = len(fakes.SEEN)
    race = fakes.race(tmp_path)
    assert race.run_fold(second, 1)
    assert len(fakes.SEEN) == fits
    np.testing.assert_array_equal(first.folds[1].scores, second.folds[1].scores)
    assert first.folds[1].notes == second.folds[1].notes == {"epochs": 2.0}
    assert first.folds[1].parameters == 10
    other = candidate(right=0.2)
    assert race.run_fold(other, 1)
    assert len(fakes.SEEN) == fits + 1


def test_no_fit_on_a_fold_sees_its_valid_rows_or_the_proof(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 1200)
    for fold, held in enumerate(race.split.folds):
        assert race.run_fold(candidate(), fold)
        assert not fakes.SEEN[-1] & set(held.valid.tolist())
        assert not fakes.SEEN[-1] & set(race.held.tolist())
    assert len(race.held) > 200


def test_rows_that_choose_calibrate_and_prove_are_disjoint(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 800)
    tried = candidate()
    for fold in range(len(race.split.folds)):
        race.run_fold(tried, fold)
    folds = tuple(range(len(race.split.folds)))
    parts = [race.rows(purpose, folds) for purpose in (SELECT, CALIBRATE, PROVE)]
    assert sum(map(len, parts)) == len(set(np.concatenate(parts).tolist())) == 800
    np.testing.assert_array_equal(race.calibrating_rows(tried), parts[1])
    np.testing.assert_array_equal(race.proving_rows(tried), parts[2])


def test_few_rows_calibrate_and_choose_but_never_prove(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 200)
    tried = candidate()
    for fold in range(len(race.split.folds)):
        race.run_fold(tried, fold)
    assert not set(race.calibrating_rows(tried)) & set(race.proving_rows(tried))


def test_only_what_looks_through_a_network_learns_from_a_sample(tmp_path: Path) -> None:
    race = fakes.race(tmp_path)
    race.show_only(np.arange(100))
    fold = race.split.folds[0]
    assert fold.valid.max() < 100 < fold.train.max()
    assert race.rows_for(Recipe("guess", "none"), fold.train).max() > 100
    assert race.rows_for(Recipe("guess", "network"), fold.train).max() < 100


def test_failures_are_told_in_one_line() -> None:
    assert told(ValueError("a\n  b")) == "ValueError: a"
    assert told(KeyError()) == "KeyError"
