"""The metrics against scikit-learn, and their intervals against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from metier.errors import OptionError
from metier.evidence.answers import Sample, answers_of
from metier.evidence.bootstrap import wilson
from metier.evidence.metrics import METRICS, find, interval, measure, names, scorecard
from metier.runtime.postprocess import Decision, TaskKind
from metier.tasks.classify import (
    BINARY_METRICS,
    MULTICLASS_METRICS,
    MULTILABEL_METRICS,
    Classify,
    Multilabel,
)
from metier.tasks.regress import REGRESSION_METRICS, Regress

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Decision]


def example(kind: TaskKind, n: int = 200, seed: int = 0, classes: int = 4) -> Arrays:
    """Random truth and scores that know something of it; some scores are tied."""
    random = np.random.default_rng(seed)
    if kind == "regression":
        y = random.normal(size=n).round(1)
        return y, (y + random.normal(size=n)).round(1)[:, None], Decision(kind)
    width = 2 if kind == "binary" else classes
    decision = Decision(kind, tuple("abcdefgh"[:width]))
    if kind == "multilabel":
        flags = (random.random((n, width)) < 0.3).astype(np.float32)
        return flags, (flags * 2 - 1 + random.normal(size=(n, width)) * 2).round(1), decision
    y = random.integers(0, width, n)
    scores = random.normal(size=(n, width)).round(1)
    scores[np.arange(n), y] += 1
    return y, scores, decision


def expected(name: str, y: Any, scores: Any, decision: Decision) -> float:
    """The same metric by scikit-learn or scipy."""
    chosen, probabilities = decision.choices(scores), decision.probabilities(scores)
    binary = decision.kind == "binary"
    flags = y
    if decision.kind in ("binary", "multiclass"):
        flags = np.eye(len(decision.labels))[y]
    if name in ("precision", "recall", "f1"):
        return float(getattr(sk, f"{name}_score")(y, chosen, zero_division=0))
    if name.endswith(("_macro", "_micro")):
        base, average = name.rsplit("_", 1)
        return float(getattr(sk, f"{base}_score")(y, chosen, average=average, zero_division=0))
    table = {
        "accuracy": lambda: sk.accuracy_score(y, chosen),
        "subset_accuracy": lambda: sk.accuracy_score(y, chosen),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, chosen),
        "mcc": lambda: sk.matthews_corrcoef(y, chosen),
        "cost": lambda: 1 - sk.accuracy_score(y, chosen),
        "roc_auc": lambda: sk.roc_auc_score(
            flags[:, 1:] if binary else flags, probabilities[:, 1:] if binary else probabilities
        ),
        "average_precision": lambda: sk.average_precision_score(
            flags[:, 1:] if binary else flags, probabilities[:, 1:] if binary else probabilities
        ),
        "rmse": lambda: sk.root_mean_squared_error(y, chosen),
        "mae": lambda: sk.mean_absolute_error(y, chosen),
        "r2": lambda: sk.r2_score(y, chosen),
        "spearman": lambda: stats.spearmanr(y, chosen).statistic,
        "brier": lambda: (
            sk.brier_score_loss(y, probabilities[:, 1])
            if binary
            else ((probabilities - flags) ** 2).mean()
            if decision.kind == "multilabel"
            else ((probabilities - flags) ** 2).sum(axis=1).mean()
        ),
        "log_loss": lambda: (
            np.mean([sk.log_loss(flags[:, k], probabilities[:, k]) for k in range(flags.shape[1])])
            if decision.kind == "multilabel"
            else sk.log_loss(y, probabilities)
        ),
    }
    return float(table[name]())


KINDS: tuple[TaskKind, ...] = ("binary", "multiclass", "multilabel", "regression")
PAIRS = [(k, n) for k in KINDS for n in names(k) if n != "calibration_error"]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_values_are_those_of_scikit_learn(kind: TaskKind, name: str) -> None:
    for seed in range(3):
        y, scores, decision = example(kind, seed=seed, n=60)
        value = measure(name, y, scores, decision)
        assert value == pytest.approx(expected(name, y, scores, decision), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_weight_is_a_repeated_row(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    name = data.draw(st.sampled_from(names(kind)))
    y, scores, decision = example(kind, n=30, seed=data.draw(st.integers(0, 99)))
    often = np.array(data.draw(st.lists(st.integers(0, 3), min_size=30, max_size=30)))
    if often.sum() < 2:
        return
    metric = METRICS[name]
    weighted = metric.compute(Sample(answers_of(y, scores, decision), often[:, None] * 1.0))
    if name == "calibration_error":  # its bins are those of the rows as they are
        return
    again = np.repeat(np.arange(30), often)
    repeated = measure(name, y[again], scores[again], decision)
    np.testing.assert_allclose(weighted[0], repeated, atol=1e-9)


def test_calibration_error_is_near_nothing_for_a_calibrated_model() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(4000, 5)) * 2
    decision = Decision("multiclass", tuple("abcde"))
    chances = decision.probabilities(logits).cumsum(axis=1)
    y = (random.random((4000, 1)) > chances).sum(axis=1)
    calibrated = measure("calibration_error", y, logits, decision)
    overconfident = measure("calibration_error", y, logits * 3, decision)
    assert calibrated < 0.02
    assert overconfident > 0.1


def test_debiasing_takes_away_what_chance_puts_there() -> None:
    random = np.random.default_rng(2)
    decision = Decision("binary", ("a", "b"))
    squares = []
    for _ in range(300):
        chance = random.random(150)
        y = (random.random(150) < chance).astype(np.int64)
        scores = np.stack([np.zeros(150), np.log(chance / (1 - chance))], axis=1)
        answers = answers_of(y, scores, decision)
        sample = Sample(answers, np.ones((150, 1)))
        squares.append(METRICS["calibration_error"].compute(sample)[0])
    # without the correction the mean would be about 10 bins x 1/6 / 150 rows = 0.011
    assert abs(np.mean(squares)) < 0.0025


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("accuracy", "binary"),
        ("f1_macro", "multiclass"),
        ("roc_auc", "binary"),
        ("mcc", "binary"),
        ("rmse", "regression"),
        ("f1_micro", "multilabel"),
        ("log_loss", "multiclass"),
    ],
)
def test_intervals_cover_the_true_value(name: str, kind: TaskKind) -> None:
    everyone = example(kind, n=60_000, seed=5)
    truth = measure(name, *everyone)
    y, scores, decision = everyone
    covered = 0
    for i in range(200):
        part = slice(i * 120, (i + 1) * 120)
        found = interval(name, y[part], scores[part], decision, resamples=300, seed=i)
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    # a binomial band around 95 %: 200 runs, four standard errors, half of it above
    assert 0.89 * 200 <= covered <= 200


@pytest.mark.parametrize("name", ["balanced_accuracy", "recall_macro"])
@pytest.mark.parametrize(
    ("recalls", "rows"),
    [
        ([0.9, 0.98], [9, 141]),
        ([0.8, 0.97], [9, 141]),
        ([0.97, 0.97], [9, 141]),
        ([0.6, 0.97], [5, 300]),
        ([0.6, 0.8, 0.95], [10, 40, 100]),
        ([0.9] * 10, [10] * 10),
        ([0.93] * 40, [10] * 40),
    ],
)
def test_intervals_of_a_mean_of_recalls_cover_it(
    name: str, recalls: list[float], rows: list[int]
) -> None:
    random = np.random.default_rng(0)
    kinds: tuple[TaskKind, TaskKind] = ("binary", "multiclass")
    decision = Decision(kinds[len(rows) > 2], tuple(str(k) for k in range(len(rows))))
    y = np.repeat(np.arange(len(rows)), rows)
    missed = 0
    for _ in range(300):
        right = random.random(len(y)) < np.repeat(recalls, rows)
        said = np.where(right, y, (y + 1) % len(rows))
        found = interval(name, y, np.eye(len(rows))[said], decision)
        assert found.low is not None and found.high is not None
        missed += not found.low <= np.mean(recalls) <= found.high
    # 5 % of 300 is 15; three standard errors above are 27
    assert missed <= 27


def test_clusters_widen_an_interval() -> None:
    y, scores, decision = example("binary", n=60)
    y, scores = np.repeat(y, 10), np.repeat(scores, 10, axis=0)
    people = np.repeat(np.arange(60), 10).astype(str)
    alone = interval("balanced_accuracy", y, scores, decision)
    grouped = interval("balanced_accuracy", y, scores, decision, clusters=people)
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)  # type: ignore[operator]
    assert grouped.value == alone.value


@pytest.mark.parametrize("name", [n for n in names("binary") if METRICS[n].worst is not None])
def test_answers_without_a_mistake_still_have_an_interval(name: str) -> None:
    y = np.array([0, 1] * 20)
    scores = np.eye(2)[y] * 4.0
    found = interval(name, y, scores, Decision("binary", ("a", "b")))
    assert found.value == pytest.approx(1.0)
    assert found.high == pytest.approx(1.0)
    assert found.low is not None and 0.5 < found.low < 0.97


def test_answers_without_a_mistake_may_still_cost_something() -> None:
    y = np.repeat([0, 1], [15, 5])
    plain = Decision("binary", ("a", "b"))
    dear = Decision("binary", ("a", "b"), costs=((0.0, 1.0), (5.0, 0.0)))
    ends = [interval("cost", y, np.eye(2)[y] * 5.0, each) for each in (plain, dear)]
    assert [(found.value, found.low) for found in ends] == [(0.0, 0.0)] * 2
    share = interval("accuracy", y, np.eye(2)[y] * 5.0, plain)
    assert share.low is not None and ends[0].high == pytest.approx(1 - share.low)
    # a fourth of the rows may cost 5, three fourths 1
    by_class = [5 / 4 * wilson(0, 5, 0.95)[1], 3 / 4 * wilson(0, 15, 0.95)[1]]
    assert ends[1].high == pytest.approx(np.hypot(*by_class))
    grouped = interval("cost", y, np.eye(2)[y] * 5.0, dear, clusters=np.arange(20) % 10)
    assert grouped.high is not None and ends[1].high is not None
    assert grouped.high > ends[1].high
    wrong = interval("cost", y, np.eye(2)[1 - y] * 5.0, plain)
    assert wrong.high == 1.0 and wrong.low == share.low


def test_the_cost_of_rare_mistakes_is_within_its_interval() -> None:
    random = np.random.default_rng(0)
    decision = Decision("binary", ("a", "b"), costs=((0.0, 1.0), (5.0, 0.0)))
    y = np.repeat([0, 1], [80, 20])
    truth, missed = 0.01 * (0.8 * 1.0 + 0.2 * 5.0), 0
    for seed in range(200):
        said = np.where(random.random(100) < 0.99, y, 1 - y)
        found = interval("cost", y, 5.0 * np.eye(2)[said], decision, resamples=100, seed=seed)
        assert found.high is not None
        missed += found.high < truth
    # 2.5 % of 200 are 5; three standard errors above are 12
    assert missed <= 12


def test_two_sides_of_one_answer_are_not_twice_the_rows() -> None:
    y = np.array([1] * 5 + [0] * 95)
    found = interval("roc_auc", y, np.eye(2)[y] * 4.0, Decision("binary", ("a", "b")))
    # 19 evenly spread rows, half of them of each class, say as much: 4 / (1/5 + 1/95)
    assert found.low == pytest.approx(wilson(19.0, 19.0, 0.95)[0])


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    y, scores, decision = example("multiclass")
    first = interval("f1_macro", y, scores, decision, seed=3)
    assert first == interval("f1_macro", y, scores, decision, seed=3)
    assert first != interval("f1_macro", y, scores, decision, seed=4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scorecard_has_every_metric_of_its_task(kind: TaskKind) -> None:
    y, scores, decision = example(kind)
    task = {
        "binary": Classify(decision.labels, BINARY_METRICS),
        "multiclass": Classify(decision.labels, MULTICLASS_METRICS),
        "multilabel": Multilabel(decision.labels, MULTILABEL_METRICS),
        "regression": Regress(REGRESSION_METRICS),
    }[kind]
    found = scorecard(task, y, scores, decision, resamples=50)
    assert [f.name for f in found[: len(task.metrics)]] == list(task.metrics)
    assert len(found) == len(task.metrics) + 3 * len(task.labels)
    for f in found:
        assert f.value is not None and f.low is not None and f.high is not None
        assert f.low <= f.value + 1e-12 and f.value <= f.high + 1e-12, f
        assert f.verdict


def test_per_class_values_are_those_of_scikit_learn() -> None:
    y, scores, decision = example("multiclass")
    found = {f.name: f for f in scorecard(Classify(decision.labels), y, scores, decision)}
    chosen = decision.choices(scores)
    for k, label in enumerate(decision.labels):
        assert found[f"f1[{label}]"].value == pytest.approx(sk.f1_score(y, chosen, average=None)[k])
        assert found[f"recall[{label}]"].n == (y == k).sum()


def test_one_row_gives_no_interval_of_a_single_point() -> None:
    y, rule = np.array([1.5]), Decision("regression")
    for n, told in ((1, "is not defined on 1 row"), (2, ", 2 rows)")):
        rows = np.repeat(y, n) + 0.3 * np.arange(n)
        found = interval("rmse", rows, np.array([[1.53], [1.9]])[:n], rule)
        assert found.verdict.endswith(told) and (found.value is None) is (n == 1)
    one, scores, classes = np.array([1]), np.array([[0.0, 2.4]]), Decision("binary", ("u", "v"))
    for name in ("log_loss", "mcc"):
        found = interval(name, one, scores, classes)
        assert (found.value, found.low, found.high, found.n) == (None, None, None, 1)
    right = interval("accuracy", one, scores, classes)
    assert right.value == 1.0 and right.low is not None and right.low < 0.3
    assert right.verdict.endswith("1 row)")


def test_an_unknown_metric_is_refused_with_the_near_one() -> None:
    with pytest.raises(OptionError, match=r"unknown metric 'acuracy' .*did you mean 'accuracy'"):
        find("acuracy", "binary")
    with pytest.raises(OptionError, match="'rmse' is not defined for binary"):
        find("rmse", "binary")


def test_costs_are_those_of_the_user() -> None:
    decision = Decision("binary", ("a", "b"), costs=((0.0, 1.0), (5.0, 0.0)))
    y = np.array([1, 1, 0, 0])
    scores = np.array([[9.0, 0.0], [0.0, 9.0], [0.0, 9.0], [9.0, 0.0]])
    assert measure("cost", y, scores, decision) == pytest.approx((5 + 0 + 1 + 0) / 4)


def test_lengths_must_agree() -> None:
    y, scores, decision = example("binary")
    with pytest.raises(ValueError, match="199 targets but 200 rows"):
        measure("accuracy", y[1:], scores, decision)


def test_a_metric_that_is_not_defined_says_so() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 2))
    found = interval("roc_auc", np.zeros(20, np.int64), scores, Decision("binary", ("a", "b")))
    assert found.value is None
    assert "not defined" in found.verdict


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_could_not_be_read_is_not_right(kind: TaskKind) -> None:
    y, scores, decision = example(kind, n=100)
    broken = scores.copy()
    broken[:20] = np.nan
    for name in names(kind):
        if name == "calibration_error":
            continue
        whole, holed = (measure(name, y, each, decision) for each in (scores, broken))
        assert np.isfinite(holed)
        if name in ("accuracy", "f1_micro", "mcc", "spearman", "log_loss"):
            assert (holed < whole) == METRICS[name].higher_is_better
    with pytest.raises(ValueError, match="none of the 100 rows"):
        measure(name, y, np.full_like(scores, np.nan), decision)


def test_no_answer_to_the_first_class_is_no_right_answer() -> None:
    decision = Decision("binary", ("a", "b"), costs=((0.0, 1.0), (5.0, 0.0)))
    y, scores = np.array([0, 0, 1]), np.array([[np.nan, np.nan], [9.0, 0.0], [np.nan, 0.0]])
    assert measure("accuracy", y, scores, decision) == pytest.approx(1 / 3)
    assert measure("cost", y, scores, decision) == pytest.approx((1 + 0 + 5) / 3)
