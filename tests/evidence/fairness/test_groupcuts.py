"""Thresholds by group: they bring groups together on rows that did not fit them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.evidence.answers import answers_of, whole
from metier.evidence.catalogue import METRICS
from metier.evidence.fairness.disparity import disparities
from metier.evidence.fairness.groupcuts import fit_group_thresholds
from metier.runtime.groups import GroupColumn
from metier.runtime.postprocess import Decision

PLAIN = Decision("binary", ("no", "yes"))
SEX = GroupColumn("sex")


def rows(n: int, seed: int) -> tuple[Any, Any, list[str]]:
    random = np.random.default_rng(seed)
    sex = random.choice(["f", "m"], n)
    truth = (random.random(n) < 0.4).astype(np.int64)
    margin = 2.0 * truth - 1.0 - 0.9 * (sex == "f") + random.normal(size=n)
    return np.stack([np.zeros(n), margin], axis=1), truth, sex.tolist()


@pytest.mark.parametrize("kind", ["parity", "odds"])
def test_groups_come_together_on_other_rows(kind: Any) -> None:
    scores, truth, sex = rows(4000, 0)
    rule = fit_group_thresholds(scores, truth, {"sex": sex}, [SEX], PLAIN, kind, 0.02)
    assert rule.groups is not None and rule.groups.thresholds["f"] < rule.groups.thresholds["m"]
    scores, truth, sex = rows(4000, 1)
    apart = {}
    for name, each in (("before", PLAIN), ("after", rule.at({"sex": sex}))):
        found = disparities(answers_of(truth, scores, each), {"sex": sex}, resamples=50)
        apart[name] = next(f.value or 0 for f in found if f.details["measure"] == kind)
    assert apart["before"] > 0.15 and apart["after"] < 0.5 * apart["before"]


def test_a_wide_limit_moves_thresholds_only_where_that_gains() -> None:
    scores, truth, sex = rows(4000, 0)
    rule = fit_group_thresholds(scores, truth, {"sex": sex}, [SEX], PLAIN, "odds", 1.0)
    before = answers_of(truth, scores, PLAIN).right.mean()
    after = answers_of(truth, scores, rule.at({"sex": sex})).right.mean()
    assert after >= before


def test_what_an_error_costs_is_kept_and_moves_the_thresholds() -> None:
    scores, truth, sex = rows(4000, 0)
    dear = replace(PLAIN, costs=((0.0, 1.0), (5.0, 0.0)))
    assert dear.common == pytest.approx(1 / 6)
    rules = [
        fit_group_thresholds(scores, truth, {"sex": sex}, [SEX], each, "odds", 1.0)
        for each in (PLAIN, dear)
    ]
    even, found = rules
    assert found.costs == dear.costs
    for sex_of in ("f", "m"):
        assert even.groups is not None and found.groups is not None
        assert found.groups.thresholds[sex_of] < even.groups.thresholds[sex_of]
    # All are priced alike, and stay near what is cheapest for each.
    scores, truth, sex = rows(4000, 1)
    values = [
        float(METRICS["cost"].value(whole(answers_of(truth, scores, each)))[0])
        for each in (dear, found.at({"sex": sex}), replace(even.at({"sex": sex}), costs=dear.costs))
    ]
    assert values[1] < 1.1 * values[0] and values[1] < 0.8 * values[2]
    # Whoever is of no known group is answered by the costs, here and where they are only stored.
    stranger = found.at({"sex": ["x"] * len(truth)})
    assert (stranger.choices(scores) == dear.choices(scores)).all()
    assert found.thresholds == (dear.common,)


def test_small_groups_keep_the_common_threshold_and_columns_are_crossed() -> None:
    scores, truth, sex = rows(1200, 0)
    age = np.random.default_rng(3).integers(20, 60, 1200).tolist()
    sex[:30] = ["x"] * 30
    cells = {"sex": sex, "age": age}
    rule = fit_group_thresholds(
        scores, truth, cells, [SEX, GroupColumn("age", (40.0,))], PLAIN, "parity", 0.02
    )
    assert rule.groups is not None
    assert set(rule.groups.thresholds) == {
        "f & below 40", "f & 40 and more", "m & below 40", "m & 40 and more"
    }  # fmt: skip
    assert rule.at({"sex": ["x"], "age": [30]}).own == (0.5,)


def test_without_a_group_large_enough_nothing_changes() -> None:
    scores, truth, sex = rows(40, 0)
    rule = fit_group_thresholds(scores, truth, {"sex": sex}, [SEX], PLAIN, "odds", 0.0)
    assert rule.groups is not None and rule.groups.thresholds == {}
    assert (rule.at({"sex": sex}).choices(scores) == PLAIN.choices(scores)).all()
