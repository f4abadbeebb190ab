"""Rows unlike those of training: told apart, at the rate of false alarms that was stated."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metier.runtime.domain import ALARM, FEWEST, Domain, Scaling, cloud_of, energy, learn


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Two classes in 40 dimensions that vary in few directions."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(6, 40))
    centres = np.random.default_rng(98).normal(size=(2, 40)) * 2
    inner = random.normal(size=(n, 6)) @ directions
    return inner + centres[np.arange(n) % 2] + 0.1 * random.normal(size=(n, 40)) + shift


def scores(n: int, seed: int, sure: float = 4.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2)) + sure * np.eye(2)[np.arange(n) % 2]


def test_foreign_rows_are_told_apart_and_usual_ones_hardly_ever() -> None:
    own = np.arange(400) % 2
    domain = learn("binary", scores(400, 0), features(400, 1), "features", own)
    assert domain.looks == 2 and domain.cloud is not None and len(domain.cloud.centres) == 2
    usual = domain.unlike(scores(4000, 2), features(4000, 3)).mean()
    assert usual < 1.6 * ALARM
    assert domain.unlike(scores(200, 4), features(200, 5, shift=1.0)).mean() > 0.95
    flat = scores(200, 6, sure=0) - 4
    assert domain.unlike(flat, features(200, 7)).mean() > 0.6, "low energy alone is enough"


def test_without_features_the_energy_decides_and_without_anything_nothing_is_unlike() -> None:
    domain = learn("multiclass", scores(300, 0), None, None)
    assert domain.looks == 1
    assert domain.unlike(np.full((5, 2), -6.0), None).all()
    nothing = learn("regression", np.ones((300, 1)), None, None)
    assert nothing.looks == 0 and not nothing.unlike(np.ones((3, 1)), None).any()
    few = learn("binary", scores(FEWEST - 1, 0), features(FEWEST - 1, 0), "features")
    assert few.looks == 0


def test_the_numbers_of_a_table_are_put_on_one_scale() -> None:
    random = np.random.default_rng(0)
    numbers = np.stack(
        [random.normal(1000, 200, 300), random.integers(0, 3, 300), random.integers(0, 99, 300)],
        axis=1,
    )
    numbers[::7, 0] = np.nan
    numbers[::11, 1] = -1
    domain = learn("regression", np.ones((300, 1)), numbers, "numbers", None, (0, 3, 99))
    assert domain.scaling is not None and domain.scaling.sizes == (0, 3, -1)
    assert domain.prepare(numbers).shape == (300, 4)
    assert domain.looks == 1, "numbers have no energy"
    odd = numbers.copy()
    odd[:, 0] = 9000
    assert domain.unlike(np.ones((300, 1)), odd).all()
    assert domain.unlike(np.ones((300, 1)), numbers).mean() < 0.1


def test_a_column_without_any_number_is_left_out() -> None:
    numbers = np.stack([np.full(200, np.nan), np.arange(200.0)], axis=1)
    domain = learn("binary", scores(200, 0), numbers, "numbers", None, (0, 0))
    assert domain.scaling is not None and domain.scaling.sizes == (-1, 0)
    assert np.isfinite(domain.prepare(numbers)).all()


def test_classes_with_few_rows_share_one_centre() -> None:
    classes = np.zeros(200, int)
    classes[:5] = 1
    assert len(cloud_of(features(200, 0), classes).centres) == 1


def test_energy_is_high_where_nothing_draws() -> None:
    found = energy(np.array([[9.0, -9.0], [0.0, 0.0], [-5.0, -5.0]]))
    assert found[0] < found[1] < found[2]


def test_json_there_and_back_and_not_large() -> None:
    domain = learn("binary", scores(400, 0), features(400, 1), "features", np.arange(400) % 2)
    text = json.dumps(domain.to_json())
    again = Domain.from_json(json.loads(text))
    new = scores(50, 8), features(50, 9)
    np.testing.assert_array_equal(again.p_values(*new), domain.p_values(*new))
    assert len(text) < 40_000
    plain = learn("regression", np.ones((9, 1)), np.ones((200, 2)) * [[1, 2]], "numbers", None, ())
    assert Domain.from_json(plain.to_json()).scaling is not None
    assert Domain.from_json(Domain().to_json()) == Domain()


def test_a_broken_cloud_is_refused() -> None:
    data = learn("binary", scores(400, 0), features(400, 1), "features").to_json()
    data["cloud"]["spreads"] = data["cloud"]["centres"]
    with pytest.raises(ValueError):
        Domain.from_json(data)


def test_scaling_from_json() -> None:
    scaling = Scaling((0, 2), np.array([1.0], np.float32), np.array([2.0], np.float32))
    again = Scaling.from_json(scaling.to_json())
    numbers = np.array([[3.0, 1.0], [np.nan, -1.0]])
    assert again.apply(numbers).tolist() == [[1, 0, 1], [0, 0, 0]]
