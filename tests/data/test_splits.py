"""Splits are disjoint, stratified, deterministic from content, and tear nothing apart."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.data.duplicates import near_clusters
from metier.data.splits import CALIBRATE, FEW, PROVE, SELECT, UNUSED, refuse_too_few, split
from metier.errors import DataError
from metier.types import Roles, Table


def table(labels, *, seed=0, roles=None, **more):
    chance = np.random.default_rng(seed)
    frame = pl.DataFrame({"x": chance.normal(size=len(labels)), "label": labels, **more})
    return Table(frame, roles or Roles({"x": "number"}, ("label",)))


def check_parts(found, count):
    """Assert what holds of every split that does not go by time."""
    valid = np.concatenate([fold.valid for fold in found.folds])
    rest = np.setdiff1d(np.arange(count), found.proof)
    assert sorted(valid) == rest.tolist()
    for fold in found.folds:
        assert not set(fold.train) & set(fold.valid)
        assert sorted([*fold.train, *fold.valid]) == rest.tolist()
    assert (found.purpose[found.proof] == PROVE).all()
    assert found.free.tolist() == rest.tolist()
    assert (found.purpose[rest] != UNUSED).all()


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.sampled_from("abcde"), min_size=2, max_size=120),
    seed=st.integers(0, 5),
    test_given=st.booleans(),
)
def test_parts_are_disjoint_and_every_class_is_taught(labels, seed, test_given):
    found = split(table(labels), "multiclass", test_given=test_given, seed=seed)
    check_parts(found, len(labels))
    names = np.array(labels)
    for fold in found.folds:
        for name in set(labels):
            if labels.count(name) >= 2:
                assert name in names[fold.train]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), groups=st.integers(2, 12), with_group=st.booleans())
def test_groups_and_clusters_stay_whole_in_any_order(data, groups, with_group):
    count = data.draw(st.integers(groups, 90))
    chance = np.random.default_rng(count)
    owner = np.concatenate([np.arange(groups), chance.integers(0, groups, count - groups)])
    labels = chance.choice(["a", "b", "c"], count).tolist()
    roles = Roles({"x": "number"}, ("label",), group="who" if with_group else None)
    rows = table(labels, roles=roles, who=[f"p{i}" for i in owner])
    clusters = None if with_group else owner.astype(np.int64)
    found = split(rows, "multiclass", test_given=False, clusters=clusters)
    check_parts(found, count)
    for fold in found.folds:
        assert not set(owner[fold.train]) & set(owner[fold.valid])
    for who in range(groups):
        assert len(set(found.purpose[owner == who])) == 1
    order = chance.permutation(count)
    moved = split(
        rows.take(order),
        "multiclass",
        test_given=False,
        clusters=None if clusters is None else clusters[order],
    )
    assert (moved.purpose == found.purpose[order]).all()
    for one, two in zip(found.folds, moved.folds, strict=True):
        assert sorted(order[two.valid]) == one.valid.tolist()


def test_shares_and_strata():
    labels = ["a"] * 3000 + ["b"] * 900 + ["c"] * 100
    rows = table(labels)
    found = split(rows, "multiclass", test_given=False)
    names = np.array(labels)
    assert len(found.folds) == 5
    for name, total in (("a", 3000), ("b", 900), ("c", 100)):
        assert abs((names[found.proof] == name).sum() - 0.2 * total) <= 1
        for fold in found.folds:
            assert abs((names[fold.valid] == name).sum() - 0.16 * total) <= 1
        used = found.purpose[(names == name) & (found.purpose != PROVE)]
        assert abs((used == SELECT).mean() - 2 / 3) < 0.02
    assert len(split(rows, "multiclass", test_given=True).proof) == 0
    assert len(split(table(labels * 2), "multiclass", test_given=False).folds) == 3


def test_few_rows_are_proved_out_of_fold():
    labels = ["a", "b"] * (FEW // 2 - 1)
    found = split(table(labels), "binary", test_given=False)
    assert len(found.proof) == 0
    shares = [float((found.purpose == p).mean()) for p in (SELECT, CALIBRATE, PROVE)]
    assert shares == pytest.approx([0.5, 0.15, 0.35], abs=0.01)
    given = split(table(labels), "binary", test_given=True).purpose
    assert set(given) == {SELECT, CALIBRATE}


def test_another_seed_gives_another_split():
    rows = table(["a", "b"] * 100)
    one, two = (split(rows, "binary", test_given=False, seed=s) for s in (0, 1))
    assert (one.purpose != two.purpose).any()


def test_regression_is_stratified_by_the_target():
    values = np.random.default_rng(0).lognormal(size=2000).tolist()
    found = split(table(values), "regression", test_given=False)
    check_parts(found, 2000)
    target = np.array(values)
    ends = np.quantile(target, [0.1, 0.9])
    for part in [found.proof, *(fold.valid for fold in found.folds)]:
        assert (target[part] < ends[0]).mean() == pytest.approx(0.1, abs=0.02)
        assert (target[part] > ends[1]).mean() == pytest.approx(0.1, abs=0.02)


def test_several_labels_are_stratified_by_the_rarest():
    labels = [["common", "rare"] if i % 50 == 0 else ["common"] for i in range(500)]
    found = split(table(labels), "multilabel", test_given=True)
    check_parts(found, 500)
    rare = np.array([len(one) == 2 for one in labels])
    assert [int(rare[fold.valid].sum()) for fold in found.folds] == [2] * 5


@pytest.mark.parametrize("count", [200, 3000])
def test_time_runs_forward(count):
    chance = np.random.default_rng(0)
    days = chance.integers(0, 400, count)
    roles = Roles({"x": "number"}, ("label",), time="day")
    rows = table(chance.choice(["a", "b"], count).tolist(), roles=roles, day=days)
    found = split(rows, "binary", test_given=False)
    for fold in found.folds:
        assert days[fold.train].max() < days[fold.valid].min()
    scored = np.concatenate([fold.valid for fold in found.folds])
    assert len(set(scored)) == len(scored)
    if count >= FEW:
        assert len(found.proof) == pytest.approx(0.2 * count, rel=0.05)
        assert days[found.proof].min() > days[scored].max()
    unscored = np.setdiff1d(np.arange(count), [*scored, *found.proof])
    assert (found.purpose[unscored] == UNUSED).all()


def test_near_duplicates_of_later_rows_do_not_teach():
    roles = Roles({"x": "number"}, ("label",), time="day")
    rows = table(["a", "b"] * 50, roles=roles, day=list(range(100)))
    clusters = np.arange(100)
    clusters[99] = clusters[3]
    found = split(rows, "binary", test_given=False, clusters=clusters)
    assert 99 in found.folds[-1].valid and 3 not in found.folds[-1].train
    assert 3 in found.folds[0].train


def test_earlier_rows_that_tell_of_the_proof_are_not_free():
    roles = Roles({"x": "number"}, ("label",), group="who", time="day")
    who = [f"p{i - 1400 if i >= 1400 else i}" for i in range(1500)]
    rows = table(["a", "b"] * 750, roles=roles, who=who, day=list(range(1500)))
    clusters = np.arange(1500)
    clusters[1300] = clusters[700]
    found = split(rows, "binary", test_given=False, clusters=clusters)
    assert found.proof.tolist() == list(range(1200, 1500))
    assert found.free.tolist() == [i for i in range(100, 1200) if i != 700]
    assert len(split(rows, "binary", test_given=True, clusters=clusters).free) == 1500


def test_splits_that_cannot_be_are_refused():
    roles = Roles({"x": "number"}, ("label",), group="who")
    with pytest.raises(DataError, match="at least two"):
        split(table(["a", "b"], roles=roles, who=["p", "p"]), "binary", test_given=False)
    roles = Roles({"x": "number"}, ("label",), group="who", time="day")
    rows = table(["a", "b"] * 20, roles=roles, who=["p", "q"] * 20, day=list(range(40)))
    with pytest.raises(DataError, match="not by both"):
        split(rows, "binary", test_given=False)
    roles = Roles({"x": "number"}, ("label",), time="day")
    with pytest.raises(DataError, match="too few distinct times"):
        split(table(["a", "b"], roles=roles, day=[1, 1]), "binary", test_given=False)


def test_rows_that_leave_none_to_choose_or_prove_by_are_refused():
    two, three = table(["a", "b"]), table(["a", "b", "a"])
    with pytest.raises(DataError, match="2 labelled rows: too few to learn from some"):
        refuse_too_few(split(two, "binary", test_given=False), two, test_given=False)
    refuse_too_few(split(three, "binary", test_given=False), three, test_given=False)
    refuse_too_few(split(two, "binary", test_given=True), two, test_given=True)


def test_near_duplicate_texts_are_kept_together():
    base = [f"ticket {i * 7919} about the {['red', 'blue', 'green'][i % 3]} one" for i in range(60)]
    texts = base + [text.upper() + " " for text in base]
    frame = pl.DataFrame({"text": texts, "label": ["a", "b"] * 60})
    rows = Table(frame, Roles({"text": "text"}, ("label",)))
    clusters = near_clusters(rows)
    found = split(rows, "binary", test_given=False)
    for fold in found.folds:
        assert not set(clusters[fold.train]) & set(clusters[fold.valid])
