"""Groups of rows, and answers by thresholds of groups."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metier.runtime.groups import GroupColumn, GroupThresholds, joined
from metier.runtime.postprocess import Decision

SEX = GroupColumn("sex")
AGE = GroupColumn("age", (25.0, 60.0))


def test_cells_fall_into_groups_and_empty_ones_are_a_group() -> None:
    assert SEX.of(["f", None, "m"]) == ["f", "missing", "m"]
    assert GroupColumn("flag").of([True, 1, 1.0]) == ["true", "1", "1"]
    assert AGE.of([24.9, 25, 59, 60, None, "old"]) == [
        "below 25",
        "25 to below 60",
        "25 to below 60",
        "60 and more",
        "missing",
        "missing",
    ]
    assert joined([SEX.of(["f"]), AGE.of([30])]) == ["f & 25 to below 60"]


def test_each_row_is_decided_by_its_own_group() -> None:
    groups = GroupThresholds((SEX,), {"f": 0.3, "m": 0.7})
    decision = Decision("binary", ("no", "yes"), thresholds=(0.5,), groups=groups)
    scores = np.log(np.array([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6]]))
    cells = {"sex": ["f", "m", None]}
    assert decision.at(cells).answers(scores) == ["yes", "no", "yes"]
    assert groups.strangers({"sex": ["f", "x", None]}) == [1, 2]
    assert decision.answers(scores) == ["no", "no", "yes"], "without cells: the common threshold"
    with pytest.raises(ValueError, match="thresholds of 3 rows for 2 rows"):
        decision.at(cells).choices(scores[:2])


def test_groups_are_known_in_every_spelling() -> None:
    columns = (GroupColumn("member"), GroupColumn("floor"), AGE)
    thresholds = {"True & 2 & below 25": 0.3, "False & missing & below 25": 0.7}
    groups = GroupThresholds(columns, thresholds)
    assert groups.known == {"member": ("False", "True"), "floor": ("2",)}
    cells = {
        "member": [True, "true", "TRUE", False, "yes"],
        "floor": [2.0, "2.0", 2, None, 2],
        "age": [20] * 5,
    }
    assert groups.strangers(cells) == [4]
    assert groups.of(cells, 0.5).tolist() == [0.3, 0.3, 0.3, 0.7, 0.5]


def test_thresholds_of_groups_are_plain_json_and_absent_where_there_are_none() -> None:
    groups = GroupThresholds((AGE, SEX), {"below 25 & f": 0.3})
    decision = Decision("binary", ("no", "yes"), groups=groups)
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
    assert "groups" not in Decision("binary", ("no", "yes")).to_json()
    assert decision.at({"age": [20], "sex": ["f"]}).to_json() == decision.to_json()
