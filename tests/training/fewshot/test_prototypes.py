from __future__ import annotations

import numpy as np
import pytest

from metier.runtime.postprocess import TaskKind
from metier.training.fewshot.prototypes import SHARPNESSES, USUAL, fit_prototypes
from metier.training.heads import Head

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(3, 8))
TARGETS = np.repeat([0, 1, 2], 6)
FEATURES = (CENTRES[TARGETS] + 0.3 * RANDOM.normal(size=(18, 8))).astype(np.float32)


def scores(head: Head, features: np.ndarray) -> np.ndarray:
    return features @ head.weight.T + head.bias


def test_a_row_gets_the_class_whose_mean_direction_is_nearest() -> None:
    head = fit_prototypes(FEATURES, TARGETS, "multiclass", 3)
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    means = np.stack([unit[k == TARGETS].mean(0) for k in range(3)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    wanted = head.strength * FEATURES @ means.T / np.linalg.norm(FEATURES, axis=1).mean()
    np.testing.assert_allclose(scores(head, FEATURES), wanted, atol=1e-3)
    assert (scores(head, FEATURES).argmax(1) == TARGETS).all()


def test_it_is_the_sharper_the_clearer_the_classes_are() -> None:
    noisy = (CENTRES[TARGETS] + 3.0 * RANDOM.normal(size=(18, 8))).astype(np.float32)
    clear = fit_prototypes(FEATURES, TARGETS, "multiclass", 3)
    vague = fit_prototypes(noisy, TARGETS, "multiclass", 3)
    assert clear.strength > vague.strength


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_the_unit_that_features_are_in_does_not_matter(kind: TaskKind) -> None:
    targets = np.eye(3)[TARGETS] if kind == "multilabel" else TARGETS
    small, large = (fit_prototypes(FEATURES * by, targets, kind, 3) for by in (1.0, 20.0))
    assert small.strength == large.strength
    np.testing.assert_allclose(
        scores(small, FEATURES), scores(large, FEATURES * 20.0), rtol=1e-4, atol=1e-4
    )


def test_the_sharpness_is_the_best_one_for_rows_of_other_lengths_too() -> None:
    """It is judged on what the head will say, and long rows say it louder."""
    random = np.random.default_rng(1)
    lengths = random.choice([2.0, 10.0], size=(300, 1))
    targets = np.arange(300) % 3
    rows = lengths * (CENTRES[targets] + 0.8 * random.normal(size=(300, 8)))
    head = fit_prototypes(rows.astype(np.float32), targets, "multiclass", 3)

    def loss(times: float) -> float:
        said = times * scores(head, rows)
        said -= said.max(axis=1, keepdims=True)
        return float((np.log(np.exp(said).sum(axis=1)) - said[np.arange(300), targets]).mean())

    place = SHARPNESSES.index(head.strength)
    for other in SHARPNESSES[max(0, place - 1) : place + 2]:
        assert loss(1.0) <= 1.01 * loss(other / head.strength)


def test_one_row_a_class_is_enough_and_a_class_without_one_is_never_answered() -> None:
    few = np.array([0, 6])
    head = fit_prototypes(FEATURES[few], TARGETS[few], "multiclass", 3)
    assert head.strength == USUAL
    found = scores(head, FEATURES)
    assert set(found.argmax(1)) <= {0, 1} and np.isfinite(found).all()


def test_heavy_rows_draw_the_mean() -> None:
    weights = np.where(np.arange(18) == 0, 1000.0, 1.0)
    head = fit_prototypes(FEATURES, TARGETS, "multiclass", 3, weights)
    own = FEATURES[0] / np.linalg.norm(FEATURES[0])
    assert head.weight[0] @ own / np.linalg.norm(head.weight[0]) > 0.999


def test_labels_of_several_are_the_nearer_of_two_means() -> None:
    marks = np.stack([TARGETS == 0, TARGETS == 1], axis=1).astype(np.float32)
    found = scores(fit_prototypes(FEATURES, marks, "multilabel", 2), FEATURES)
    assert ((found > 0) == (marks > 0)).mean() > 0.9
