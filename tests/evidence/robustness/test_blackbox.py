"""Attacks by scores alone, on models whose weak spot is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.blackbox import nudge, reach, square
from metier.runtime.postprocess import Decision
from metier.types import Floats

TWO = Decision("binary", ("dark", "light"))


def by_brightness(pixels: Floats) -> Floats:
    """Light when the mean is above one half."""
    mean = pixels.mean(axis=(1, 2, 3))
    return np.stack([0.5 - mean, mean - 0.5], axis=1)


def test_squares_turn_what_lies_near_the_border_and_stay_within_the_radius() -> None:
    means = np.array([0.49, 0.51, 0.2, 0.52])
    pixels = np.broadcast_to(means[:, None, None, None], (4, 3, 16, 16)).astype(np.float32)
    truth = (means > 0.5).astype(int)
    truth[3] = 0  # wrong already
    found = square(by_brightness, pixels.copy(), Aim(truth, TWO), 0.1, queries=300, seed=1)
    assert np.abs(found - pixels).max() <= 0.1 + 1e-6 and found.min() >= 0 and found.max() <= 1
    answers = TWO.choices(by_brightness(found))
    assert answers.tolist() == [1, 0, 0, 1]
    assert (found[3] == pixels[3]).all(), "what is wrong already is left alone"
    again = square(by_brightness, pixels.copy(), Aim(truth, TWO), 0.1, queries=300, seed=1)
    assert (again == found).all()


def by_age(columns: Mapping[str, Sequence[Any]]) -> Floats:
    """Light when age and twice the weight are above 10, and more so in a blue car."""
    age = np.array([0.0 if v is None else v for v in columns["age"]])
    blue = np.array([c == "blue" for c in columns["car"]])
    value = age + 2 * np.array(columns["weight"]) - 10 + 30 * blue
    return np.stack([-value, value], axis=1).astype(np.float32)


COLUMNS: dict[str, list[Any]] = {
    "age": [1, 9, 2, None, 8, 4],
    "weight": [1.0, 0.4, 0.0, 4.9, 2.2, 1.0],
    "car": ["red", "red", "red", "red", "red", "blue"],
}


def test_columns_move_within_their_reach_and_categories_stay() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    allowed = reach(COLUMNS, ["age", "weight"], 0.7)
    found = nudge(by_age, COLUMNS, Aim(truth, TWO), allowed)
    right = TWO.choices(by_age(COLUMNS)) == truth
    fell = TWO.choices(by_age(found)) != truth
    assert right.tolist() == [True] * 6
    assert fell.tolist() == [False, True, False, False, True, False], "nothing leaves the range"
    assert found["car"] == COLUMNS["car"] and found["age"][3] is None
    for name, most in allowed.steps.items():
        for before, after in zip(COLUMNS[name], found[name], strict=True):
            assert before is None or abs(before - after) <= most + 1e-9
    assert all(v is None or v == round(v) for v in found["age"]), "whole numbers stay whole"


def test_a_category_is_changed_when_that_is_allowed() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    allowed = reach(COLUMNS, ["age", "weight"], 0.0, ["car"])
    found = nudge(by_age, COLUMNS, Aim(truth, TWO), allowed)
    assert (TWO.choices(by_age(found)) != truth).sum() == 5
    assert found["car"][:4] == ["blue"] * 4 and found["car"][5] == "red"


def test_a_number_is_pushed_away_from_the_truth() -> None:
    def value(columns: Mapping[str, Sequence[Any]]) -> Floats:
        return np.asarray(columns["x"], dtype=np.float32)[:, None]

    columns: dict[str, list[Any]] = {"x": [0.0, 0.5, 1.0, 2.0]}
    aim = Aim(np.array([0.1, 0.5, 0.9, 2.0]), Decision("regression"))
    found = nudge(value, columns, aim, reach(columns, ["x"], 0.5))
    before = aim.harm(value(columns))
    assert (aim.harm(value(found)) >= before).all() and aim.harm(value(found)).sum() > before.sum()
    assert min(found["x"]) >= 0.0 and max(found["x"]) <= 2.0, "nothing leaves the range of the data"


TAGS = Decision("multilabel", ("app", "bill"), thresholds=(0.2, 0.55))
"""A label that is given well below one half, so that it looks wrong by its score alone."""


def tagged(value: Floats) -> Floats:
    """The first label always, the second where a value is above zero."""
    return np.stack([np.full(len(value), -0.5), value], axis=1).astype(np.float32)


def test_squares_that_were_answered_wrong_are_kept_when_labels_have_thresholds() -> None:
    random = np.random.default_rng(0)
    pixels = np.clip(0.5 + 0.02 * random.normal(size=(40, 3, 8, 8)), 0, 1).astype(np.float32)

    def answer(given: Floats) -> Floats:
        return tagged(400 * (given.mean(axis=(1, 2, 3)) - 0.505))

    aim = Aim(np.tile([1, 0], (40, 1)), TAGS)
    assert not aim.wrong(answer(pixels)).any()
    assert aim.wrong(answer(np.clip(pixels + 4 / 255, 0, 1))).all()
    assert aim.wrong(answer(square(answer, pixels, aim, 4 / 255))).mean() > 0.9


def test_a_step_that_is_answered_wrong_is_kept_when_labels_have_thresholds() -> None:
    values = np.random.default_rng(0).normal(size=200)
    columns: dict[str, list[Any]] = {"x": values.tolist()}

    def scores(given: Mapping[str, Sequence[Any]]) -> Floats:
        return tagged(np.asarray(given["x"], dtype=np.float32) - 1)

    aim = Aim(np.tile([1, 0], (200, 1)), TAGS)
    allowed = reach(columns, ["x"], 0.5)
    up = np.minimum(values + allowed.steps["x"], values.max())
    broken = aim.wrong(scores({"x": up.tolist()}))
    assert broken.mean() > aim.wrong(scores(columns)).mean() + 0.05
    assert (aim.wrong(scores(nudge(scores, columns, aim, allowed))) == broken).all()
