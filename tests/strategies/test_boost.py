from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from metier.cache import Cache
from metier.deploy.booster import Booster
from metier.errors import ChainError, DataError, MissingExtraError, SourceError
from metier.sources.tabular import Tabular, open_tabular
from metier.strategies import boost
from metier.strategies.boost import Boost
from metier.strategies.majority import Majority
from metier.tasks import build
from metier.training.tables.columns import fit_codes
from metier.training.weights import Known, read_weights
from metier.types import Floats, Problem, Roles, Run, Specialist, Table

Learn = Callable[..., Specialist]
ByGraph = Callable[[Specialist, Table], Floats]
Awkward = Callable[[str], Table]
KINDS = ("binary", "multiclass", "regression", "multilabel")
QUICK = Boost(trees=30, bags=2, leaves=8)


@pytest.mark.parametrize("kind", KINDS)
def test_graph_and_model_agree_on_strange_rows(
    kind: str, awkward: Awkward, strange: Table, learn: Learn, by_graph: ByGraph
) -> None:
    specialist = learn(QUICK, awkward(kind), kind)
    expected = specialist.scores(strange)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(by_graph(specialist, strange), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_scores(kind: str, awkward: Awkward, learn: Learn) -> None:
    table = awkward(kind)
    one, two = learn(QUICK, table, kind, seed=3), learn(QUICK, table, kind, seed=3)
    assert (one.scores(table) == two.scores(table)).all()
    other = learn(QUICK, table, kind, seed=4)
    assert (one.scores(table) != other.scores(table)).any()


def test_learns_what_can_be_learned(awkward: Awkward, learn: Learn) -> None:
    table = awkward("binary")
    fit, held = table.take(range(180)), table.take(range(180, 240))
    specialist = learn(Boost(), fit, "binary")
    truth = specialist.task.encode(held)
    assert (specialist.scores(held).argmax(axis=1) == truth).mean() > 0.72
    table = Table(table.frame, replace(table.roles, target=("value",)))
    specialist = learn(Boost(), table.take(range(180)), "regression")
    held = table.take(range(180, 240))
    truth = specialist.task.encode(held)
    errors = specialist.scores(held)[:, 0] - truth
    assert np.sqrt((errors**2).mean()) < 0.65 * truth.std()


def test_a_step_tells_what_was_done(awkward: Awkward, learn: Learn) -> None:
    specialist = learn(Boost(trees=20), awkward("binary"), "binary")
    (step,) = specialist.lineage
    assert step.strategy == "boost" and step.parameters["trees"] == 20
    (note,) = step.notes["boosters"]
    assert note["leaves"] in (4, 8, 16, 32, 64) and len(note["trees"]) == 4


def test_a_booster_is_continued_and_left_as_it_was(
    awkward: Awkward, strange: Table, learn: Learn, by_graph: ByGraph
) -> None:
    for kind in KINDS:
        table = awkward(kind)
        start = learn(replace(QUICK, trees=3), table, kind)
        assert isinstance(start.model, Booster)
        before = start.scores(table)
        more = learn(QUICK, table, kind, start=start)
        assert isinstance(more.model, Booster)
        assert (start.scores(table) == before).all()
        assert more.model.members[: len(start.model.members)] == start.model.members
        assert [step.strategy for step in more.lineage] == ["boost", "boost"]
        np.testing.assert_allclose(
            by_graph(more, strange), more.scores(strange), rtol=1e-6, atol=1e-5
        )
        targets = more.task.encode(table)
        if kind == "regression":
            error = [float(((s.scores(table)[:, 0] - targets) ** 2).mean()) for s in (start, more)]
            assert error[1] < 0.7 * error[0]


def test_a_users_booster_is_continued(
    awkward: Awkward, learn: Learn, by_graph: ByGraph, tmp_path: Path
) -> None:
    table = awkward("binary")
    numbers = fit_codes(table).matrix(table.columns())
    truth = (table.frame["two"] == "yes").to_numpy().astype(float)
    given = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5},
        lightgbm.Dataset(numbers, truth),
        4,
    )
    path = tmp_path / "given.txt"
    given.save_model(path)
    source = open_tabular(str(path))
    more = learn(QUICK, table, "binary", source=source)
    assert isinstance(more.model, Booster)
    alone = replace(more.model, members=more.model.members[:1])
    raw = np.asarray(given.predict(numbers, raw_score=True))
    np.testing.assert_allclose(alone.scores(table)[:, 1], raw, rtol=1e-6)
    np.testing.assert_allclose(by_graph(more, table), more.scores(table), atol=1e-5)
    with pytest.raises(SourceError, match="outputs"):
        learn(QUICK, awkward("multiclass"), "multiclass", source=source)
    narrow = Table(table.frame, Roles({"size": "number"}, ("two",)))
    with pytest.raises(SourceError, match="11 features, the table has 1"):
        learn(QUICK, narrow, "binary", source=source)


def test_a_users_booster_that_was_cut_is_refused(
    awkward: Awkward, learn: Learn, tmp_path: Path
) -> None:
    table = awkward("binary")
    numbers = fit_codes(table).matrix(table.columns())
    truth = (table.frame["two"] == "yes").to_numpy().astype(float)
    data = lightgbm.Dataset(numbers, truth)
    text = lightgbm.train({"objective": "binary", "verbosity": -1}, data, 4).model_to_string()
    path = tmp_path / "given.txt"
    path.write_text(text[: len(text) // 2])
    with pytest.raises(SourceError, match="damaged"):
        learn(QUICK, table, "binary", source=open_tabular(str(path)))


FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.6}


def trained(table: Table, kind: str, path: Path, **asked: Any) -> tuple[lightgbm.Booster, Tabular]:
    """A booster of the user's own, and the source that its file is."""
    numbers = fit_codes(table).matrix(table.columns())
    targets = build(kind, table).encode(table).astype(float)
    settings = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, **asked}
    booster = lightgbm.train(settings, lightgbm.Dataset(numbers, targets), 6)
    booster.save_model(path)
    return booster, open_tabular(str(path))


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("regression", {"objective": "regression", **FOREST}),
        ("binary", {"objective": "binary", "sigmoid": 2.5, **FOREST}),
        ("binary", {"objective": "binary", "sigmoid": 2.5}),
        ("multiclass", {"objective": "multiclass", "num_class": 3, **FOREST}),
    ],
)
def test_a_given_booster_begins_with_its_own_answers(
    kind: str,
    asked: dict[str, Any],
    awkward: Awkward,
    learn: Learn,
    by_graph: ByGraph,
    tmp_path: Path,
) -> None:
    table = awkward(kind)
    given, source = trained(table, kind, tmp_path / "given.txt", **asked)
    more = learn(QUICK, table, kind, source=source)
    assert isinstance(more.model, Booster)
    outputs = more.model.outputs
    own = replace(more.model, members=more.model.members[:1], offset=(0.0,) * outputs)
    alone = replace(more, model=own)
    numbers = fit_codes(table).matrix(table.columns())
    for scores in (alone.scores(table), by_graph(alone, table)):
        found = scores if kind == "regression" else softmax(scores.astype(np.float64), axis=1)
        wanted = np.asarray(given.predict(numbers)).reshape(len(table), -1)
        np.testing.assert_allclose(found[:, -wanted.shape[1] :], wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("regression", {"objective": "poisson"}),
        ("regression", {"objective": "regression", "reg_sqrt": True}),
        ("binary", {"objective": "regression"}),
    ],
)
def test_a_booster_whose_scores_mean_something_else_is_refused(
    kind: str, asked: dict[str, Any], awkward: Awkward, learn: Learn, tmp_path: Path
) -> None:
    table = awkward(kind)
    if kind == "regression":
        target = pl.col(table.roles.target[0])
        table = replace(table, frame=table.frame.with_columns(target.abs()))
    _, source = trained(table, kind, tmp_path / "given.txt", **asked)
    with pytest.raises(SourceError, match=f"trained for '{asked['objective']}"):
        learn(QUICK, table, kind, source=source)


def test_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="unknown source 'ligthgbm'"):
        open_tabular("ligthgbm")
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Sir or Madam")
    with pytest.raises(SourceError, match="not a LightGBM text file"):
        open_tabular(str(letter))
    assert open_tabular() == Tabular()
    assert Tabular().digest != Tabular("other").digest


def test_saved_boosters_predict_the_same(awkward: Awkward, learn: Learn, tmp_path: Path) -> None:
    table = awkward("regression")
    specialist = learn(QUICK, table, "regression")
    assert specialist.model is not None
    specialist.model.save(tmp_path / "weights")
    known = Known(specialist.model.preprocess, specialist.task, specialist.source, table)
    back = read_weights(tmp_path / "weights", known)
    assert back is not None
    assert (back.scores(table) == specialist.scores(table)).all()
    assert lightgbm.Booster(model_file=tmp_path / "weights" / "booster-0.txt").num_trees() > 0


def test_a_deadline_is_kept_and_gives_a_model(awkward: Awkward, learn: Learn) -> None:
    slow = Boost(trees=100_000, rate=1e-4, bags=4)
    begun = time.monotonic()
    specialist = learn(slow, awkward("binary"), "binary", deadline=begun + 1.0)
    assert time.monotonic() - begun < 2.0
    assert np.isfinite(specialist.scores(awkward("binary"))).all()
    late = learn(slow, awkward("binary"), "binary", deadline=begun)
    assert np.isfinite(late.scores(awkward("binary"))).all()


def test_bags_that_would_be_too_large_together_are_left_out(
    awkward: Awkward, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bags(most: int) -> int:
        monkeypatch.setattr(boost, "MOST_LEAVES", most)
        model = learn(replace(QUICK, bags=4), awkward("regression"), "regression").model
        assert isinstance(model, Booster)
        return len(model.members)

    assert bags(4 * 8 * QUICK.trees) == 4
    assert bags(0) == 1


def test_the_study_hears_how_it_goes(awkward: Awkward, learn: Learn) -> None:
    heard: list[tuple[int, float]] = []
    learn(
        Boost(trees=20),
        awkward("binary"),
        "binary",
        report=lambda step, value: heard.append((step, value)),
    )
    steps = [step for step, _ in heard]
    assert steps == sorted(set(steps)) and all(value < 0 for _, value in heard)


def test_balanced_classes_answer_the_rare_one_more_often(awkward: Awkward, learn: Learn) -> None:
    table = awkward("multilabel")
    table = Table(table.frame, replace(table.roles, target=("second",)))
    plain = learn(QUICK, table, "binary").scores(table).argmax(axis=1).sum()
    balanced = learn(replace(QUICK, balanced=True), table, "binary").scores(table)
    assert balanced.argmax(axis=1).sum() > plain


@pytest.mark.parametrize("rows", [2, 3, 5, 12])
def test_few_rows_do_not_crash(rows: int, awkward: Awkward, learn: Learn) -> None:
    table = awkward("binary")
    yes = np.flatnonzero((table.frame["two"] == "yes").to_numpy())
    no = np.flatnonzero((table.frame["two"] == "no").to_numpy())
    few = table.take(np.concatenate([yes[:1], no[: rows - 1]]))  # one class has a single row
    assert np.isfinite(learn(Boost(), few, "binary").scores(table)).all()


def test_a_class_that_training_lacks_is_never_the_answer(awkward: Awkward) -> None:
    table = awkward("multiclass")
    task = build("multiclass", table)
    fit = table.take(np.flatnonzero((table.frame["three"] != "high").to_numpy()))
    specialist = QUICK(Specialist(Tabular(), task), Problem(task, fit), Run(Cache()))
    answers = specialist.scores(table).argmax(axis=1)
    assert task.labels.index("high") not in set(answers.tolist())


def test_without_lightgbm_the_extra_is_named(
    awkward: Awkward, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metier\[tables\]'"):
        learn(QUICK, awkward("binary"), "binary")


def test_groups_stay_together_within_the_training_rows(awkward: Awkward, learn: Learn) -> None:
    table = awkward("binary")
    frame = table.frame.with_columns(owner=pl.Series([f"owner {i % 7}" for i in range(len(table))]))
    grouped = Table(frame, replace(table.roles, group="owner"))
    assert np.isfinite(learn(QUICK, grouped, "binary").scores(table)).all()
    timed = Table(frame, replace(table.roles, time="bought"))
    assert np.isfinite(learn(QUICK, timed, "binary").scores(table)).all()


def test_nothing_to_boost_on_and_wrong_starts_are_refused(awkward: Awkward, learn: Learn) -> None:
    table = awkward("binary")
    words = Table(table.frame, Roles({"code": "text"}, ("two",)))
    with pytest.raises(DataError, match="no number, date or category"):
        learn(Boost(), words, "binary")
    with pytest.raises(ChainError):
        learn(Boost(), table, "binary", start=learn(Majority(), table, "binary"))


@pytest.mark.parametrize(("metric", "center"), [("mae", np.median), ("rmse", np.mean)])
def test_the_metric_decides_what_a_leaf_says(metric: str, center: Callable[..., float]) -> None:
    rng = np.random.default_rng(0)
    values = np.exp(2 * rng.normal(size=400))
    frame = pl.DataFrame({"noise": rng.normal(size=400), "value": values})
    table = Table(frame, Roles({"noise": "number"}, ("value",)))
    task = build("regression", table, metric)
    found = Boost(trees=200, rate=0.1, leaves=4)(
        Specialist(Tabular(), task), Problem(task, table), Run(Cache())
    ).scores(table)
    other = np.mean if center is np.median else np.median
    assert abs(found.mean() - center(values)) < abs(found.mean() - other(values))


def test_real_tables(shared_data: Path, learn: Learn) -> None:
    frame = pl.read_csv(shared_data / "pima_diabetes" / "train.csv")
    inputs = dict.fromkeys(frame.columns[:-1], "number")
    table = Table(frame, Roles(inputs, ("outcome",)))
    rows = np.random.default_rng(0).permutation(len(table))
    held = table.take(rows[:150])
    specialist = learn(Boost(), table.take(rows[150:]), "binary")
    truth = specialist.task.encode(held)
    assert (specialist.scores(held).argmax(axis=1) == truth).mean() > 0.7
    assert specialist.model is not None
    assert len(specialist.model.graph().SerializeToString()) < 2_000_000
