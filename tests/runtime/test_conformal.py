"""Sets and intervals: as often right as asked, for each label, and always the same for a row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from metier.errors import OptionError
from metier.runtime.conformal import FEWEST, Conformal, learn, luck_of, oddness
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision

DECISION = Decision("multiclass", ("a", "b", "c"), temperature=1.3)


def drawn(n: int, seed: int, shares: tuple[float, ...] = (0.6, 0.3, 0.1)) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    y = random.choice(len(shares), n, p=shares)
    return random.normal(size=(n, len(shares))) + 1.5 * np.eye(len(shares))[y], y


def likely(hits: int, n: int, share: float) -> bool:
    """Whether a share is not out of the question for so many hits."""
    return bool(binom.cdf(hits, n, share) > 1e-3 and binom.sf(hits - 1, n, share) > 1e-3)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.97])
def test_sets_hold_the_truth_as_often_as_asked_for_each_label(coverage: float) -> None:
    hits, counts = np.zeros(3), np.zeros(3)
    for turn in range(30):
        known = learn(*drawn(1500, turn), DECISION)
        scores, y = drawn(200, 1000 + turn)
        luck = np.random.default_rng(turn).random(200)
        inside = known.sets(scores, DECISION, luck, coverage)
        hits += np.bincount(y, inside[np.arange(200), y], 3)
        counts += np.bincount(y, minlength=3)
    if coverage < 0.97:
        assert len(learn(*drawn(1500, 0), DECISION).groups(coverage)) == 3
    for hit, count in zip(hits, counts, strict=True):
        assert abs(hit / count - coverage) < 0.04
    assert abs(hits.sum() / counts.sum() - coverage) < 0.015


def test_ties_are_broken_so_that_coverage_is_exact() -> None:
    random = np.random.default_rng(0)
    y = random.choice(2, 4000, p=[0.5, 0.5])
    scores = np.zeros((4000, 2))
    rule = Decision("binary", ("a", "b"))
    known = learn(scores[:2000], y[:2000], rule)
    inside = known.sets(scores[2000:], rule, random.random(2000), 0.8)
    hits = int(inside[np.arange(2000), y[2000:]].sum())
    assert likely(hits, 2000, 0.8)


def test_rare_labels_share_a_lot_that_is_large_enough() -> None:
    rule = Decision("multiclass", tuple("abcd"))
    scores, y = drawn(600, 0, (0.6, 0.3, 0.08, 0.02))
    groups = learn(scores, y, rule).groups(0.9)
    assert sorted(k for group in groups for k in group) == [0, 1, 2, 3]
    assert {2, 3} <= set(groups[-1])
    rows = np.bincount(y)
    assert all(rows[list(group)].sum() >= FEWEST for group in groups)
    assert learn(scores, y, rule).groups(0.995) == ((0, 1, 2, 3),)


def test_each_label_of_several_is_found_as_often_as_asked() -> None:
    rule = Decision("multilabel", ("a", "b"))
    random = np.random.default_rng(3)
    y = (random.random((4000, 2)) < [0.4, 0.2]).astype(np.float32)
    scores = random.normal(size=(4000, 2)) + 2 * y - 1
    known = learn(scores[:2000], y[:2000], rule)
    inside = known.sets(scores[2000:], rule, random.random(2000), 0.9)
    for k in range(2):
        there = y[2000:, k] > 0
        assert abs(inside[there, k].mean() - 0.9) < 0.05


def test_intervals_hold_the_truth_as_often_as_asked() -> None:
    random = np.random.default_rng(0)
    scores, noise = random.normal(size=(4000, 1)), random.standard_t(3, 4000)
    y = scores[:, 0] + noise
    known = learn(scores[:1000], y[:1000], Decision("regression"))
    reach = known.reach(0.9)
    assert abs((np.abs(noise[1000:]) <= reach).mean() - 0.9) < 0.03
    assert known.reach(0.95) > reach


def test_empty_sets_where_a_model_is_right_more_often_than_asked() -> None:
    rule = Decision("binary", ("a", "b"))
    y = np.random.default_rng(0).integers(0, 2, 2000)
    scores = np.eye(2)[y] * 8 + np.random.default_rng(1).normal(size=(2000, 2))
    known = learn(scores[:1000], y[:1000], rule)
    sizes = known.sets(scores[1000:], rule, np.full(1000, 0.5), 0.9).sum(axis=1)
    assert set(sizes) == {0, 1} and abs((sizes == 0).mean() - 0.1) < 0.05


def test_what_cannot_be_promised_is_refused_in_one_line() -> None:
    known = learn(*drawn(30, 0), DECISION)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(OptionError, match="no share between 0 and 1"):
            known.check(wrong)
    known.check(30 / 31)
    with pytest.raises(OptionError, match=r"all labels .*needs 99 calibration rows .*has 30") as e:
        known.check(0.99)
    assert "at most 0.967" in str(e.value) and "\n" not in str(e.value)
    numbers = learn(np.zeros((5, 1)), np.ones(5), Decision("regression"))
    with pytest.raises(OptionError, match="interval without end"):
        numbers.reach(0.9)


def test_unreadable_calibration_rows_are_left_out() -> None:
    scores, y = drawn(100, 0)
    scores[7] = np.nan
    assert learn(scores, y, DECISION).n == 99


def test_oddness_is_the_log_odds_against_a_label_and_never_runs_out() -> None:
    scores = np.array([[60.0, 0.0, -5.0], [0.0, 0.0, 0.0]])
    shares = DECISION.probabilities(scores)
    found = oddness(scores, DECISION)
    np.testing.assert_allclose(found[1], np.log((1 - shares[1]) / shares[1]))
    random = np.random.default_rng(0).normal(size=(50, 3)) * 4
    chances = DECISION.probabilities(random)
    np.testing.assert_allclose(
        oddness(random, DECISION), np.log((1 - chances) / chances), atol=1e-9
    )
    assert found[0, 0] < -46, "1 - share would be 0 in doubles long before"


def test_json_there_and_back() -> None:
    known = learn(*drawn(500, 0), DECISION, 0.8)
    again = Conformal.from_json(json.loads(json.dumps(known.to_json())))
    assert (again.kind, again.coverage, again.exact, again.n) == ("multiclass", 0.8, False, 500)
    scores, _ = drawn(50, 1)
    luck = np.linspace(0, 1, 50)
    same = [each.sets(scores, DECISION, luck, 0.8).tolist() for each in (known, again)]
    assert same[0] == same[1]


def test_luck_follows_from_the_content_of_a_row_alone() -> None:
    wanted = (
        InputColumn("text", "text"),
        InputColumn("size", "number"),
        InputColumn("kind", "category"),
    )
    columns: dict[str, list[Any]] = {
        "kind": ["x", None],
        "text": ["Hello", "you"],
        "size": [1, 2.5],
        "extra": [3, 4],
    }
    first = luck_of(columns, wanted)
    turned = {name: cells[::-1] for name, cells in columns.items()}
    assert luck_of(turned, wanted).tolist() == first[::-1].tolist()
    written = {**columns, "size": ["1", "2.5"], "extra": [9, 9]}
    assert luck_of(written, wanted).tolist() == first.tolist(), "the same numbers, as text"
    assert ((first >= 0) & (first < 1)).all() and first[0] != first[1]
    kinds: list[Any] = ["True", "2.0", "2.50", "a"]
    (plain, again) = (luck_of({"kind": own}, wanted) for own in (kinds, [True, 2, 2.5, "a"]))
    assert again.tolist() == plain.tolist(), "the same categories, in another spelling"
    assert len({*plain, *luck_of({"kind": ["07", "7", "A", None]}, wanted)}) == 8
    many = luck_of({"text": [f"row {i}" for i in range(4000)]}, wanted)
    assert abs(many.mean() - 0.5) < 0.02 and abs(np.quantile(many, 0.1) - 0.1) < 0.02


def test_luck_of_an_image_is_that_of_its_bytes(tmp_path: Any) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"pixels")
    wanted = (InputColumn("file", "image"),)
    found = luck_of({"file": [path, str(path), b"pixels", b"others", tmp_path / "gone"]}, wanted)
    assert found[0] == found[1] == found[2] != found[3]
