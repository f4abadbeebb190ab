from __future__ import annotations

from typing import Any

import pytest

from metier.errors import OptionError
from metier.search.ladder import NOTHING, Rung, few_labels, next_rung, rungs
from metier.types import Kind, Roles

TEXT = Roles({"text": "text"})
NUMBERS = Roles({"x": "number", "colour": "category"})


def names(ladder: list[Rung]) -> list[str]:
    return [rung.name for rung in ladder]


def test_baselines_come_first_and_the_cheap_before_the_dear() -> None:
    ladder = rungs(TEXT, "binary", ["small"])
    assert names(ladder)[:3] == ["majority", "classical", "generalist"]
    assert names(ladder)[3:] == ["probe", "finetune-top", "finetune-all", "lora"]
    assert [r.baseline for r in ladder] == [True] * 3 + [False] * 4
    assert {r.source for r in ladder[:2]} == {NOTHING}


def test_numbers_have_no_general_model() -> None:
    assert names(rungs(TEXT, "regression", ["small"]))[:2] == ["mean", "classical"]
    assert "generalist" not in names(rungs(TEXT, "regression", ["small"]))
    assert names(rungs(NUMBERS, "regression", ["lightgbm"]))[:3] == ["mean", "linear", "boost"]


def test_a_glass_box_stands_on_the_ladder_of_tables_where_it_is_installed() -> None:
    pytest.importorskip("interpret")
    *others, glass = rungs(NUMBERS, "regression", ["lightgbm"])
    assert (glass.strategy, glass.source, glass.baseline) == ("ebm", NOTHING, False)
    assert glass.share < 0.5 and {rung.share for rung in others} == {1.0}
    assert "ebm" not in names(rungs(TEXT, "binary", ["small"]))
    assert names(rungs(NUMBERS, "binary", ["lightgbm"], ["ebm"])) == ["majority", "linear", "ebm"]


def test_columns_beside_a_text_are_fused() -> None:
    inputs: dict[str, Kind] = {"text": "text", "age": "number"}
    assert "fuse" in names(rungs(Roles(inputs), "binary", ["small"]))


def test_sources_of_the_same_name_are_told_apart() -> None:
    ladder = rungs(TEXT, "binary", ["a/model", "b/model", "c/other"], ["probe"])
    assert names(ladder)[3:] == ["probe@model-1", "probe@model-2", "probe@other"]


def test_strategies_asked_for_are_climbed_and_the_baselines_stay() -> None:
    ladder = rungs(TEXT, "binary", ["small"], ["lora", "scratch"])
    assert names(ladder) == ["majority", "classical", "generalist", "lora", "scratch"]
    asked = rungs(NUMBERS, "binary", ["lightgbm"], ["linear"])
    assert [(r.name, r.baseline) for r in asked] == [("majority", True), ("linear", False)]


@pytest.mark.parametrize(
    ("roles", "kind", "strategy", "said"),
    [
        (TEXT, "binary", "boost", "works on tabular"),
        (NUMBERS, "binary", "lora", "works on text and image"),
        (TEXT, "binary", "prob", "did you mean 'probe'"),
        (TEXT, "regression", "majority", "does not fit"),
    ],
)
def test_what_cannot_work_is_refused(roles: Roles, kind: str, strategy: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        rungs(roles, kind, ["a"], [strategy])  # type: ignore[arg-type]


def test_every_rung_is_tried_once_then_the_best_and_sometimes_the_second() -> None:
    ladder = rungs(TEXT, "binary", ["small"])
    tried: dict[str, int] = {}
    order = []
    best = {r.name: i / 10 for i, r in enumerate(ladder)}
    for _ in range(13):
        rung = next_rung(ladder, tried, best)
        assert rung is not None
        order.append(rung.name)
        tried[rung.name] = tried.get(rung.name, 0) + 1
    assert order[:7] == names(ladder)
    *_, second, first = names(ladder)
    assert set(order[7:]) == {first, second}
    assert order[7:].count(first) > order[7:].count(second)


def test_closed_rungs_are_passed_over() -> None:
    ladder = rungs(NUMBERS, "binary", ["lightgbm"])
    assert next_rung(ladder, {}, {}, {"majority", "linear"}) == ladder[2]
    assert next_rung(ladder, {}, {}, set(names(ladder))) is None


def test_rows_without_labels_add_few_rungs_by_where_they_come_from() -> None:
    plain = names(rungs(TEXT, "binary", ["small"]))
    near = names(rungs(TEXT, "binary", ["small"], unlabeled=True))
    assert near == [*plain, "pseudolabel(probe)", "consistency(finetune-top)"]
    far = rungs(TEXT, "binary", ["small"], unlabeled=True, shifted=True)
    added = [name for name in names(far) if name not in plain]
    assert added == ["align(probe)", "pretrain(finetune-top)", "align(finetune-top)"]
    assert [name for name in names(far) if name in plain] == plain
    for outer, inner in (("align", "probe"), ("pretrain", "finetune-top")):
        assert names(far).index(f"{outer}({inner})") == names(far).index(inner) + 1
    closed, searched = (r for r in far if r.strategy.startswith("align"))
    assert closed.fixed == {"method": "coral"} and "method" in searched.space
    assert searched.fixed == {"inner.train": "top"}


def test_rows_without_labels_for_tables_pictures_and_numbers() -> None:
    table = names(rungs(NUMBERS, "binary", ["lightgbm"], unlabeled=True))
    assert table[-1] == "pseudolabel(boost)"
    assert "pseudolabel(boost)" not in names(
        rungs(NUMBERS, "regression", ["lightgbm"], unlabeled=True)
    )
    far = rungs(NUMBERS, "regression", ["lightgbm"], unlabeled=True, shifted=True)
    beside = far[names(far).index("boost") + 1]
    assert beside.name == "align(boost)" and beside.fixed == {"method": "weight"}
    pictures = names(rungs(Roles({"x": "image"}), "binary", ["a"], unlabeled=True, shifted=True))
    assert "pretrain(finetune-top)" not in pictures and "align(finetune-top)" in pictures


def test_few_labels_have_a_rung_of_their_own_after_the_probe() -> None:
    few = names(rungs(TEXT, "binary", ["small"], few=True))
    assert few.index("contrast") == few.index("probe") + 1
    assert "contrast" not in names(rungs(TEXT, "binary", ["small"]))
    assert "contrast" not in names(rungs(NUMBERS, "binary", ["lightgbm"], few=True))
    assert names(rungs(TEXT, "binary", ["small"], ["contrast"]))[-1] == "contrast"


@pytest.mark.parametrize(
    ("rows", "outputs", "kind", "few"),
    [
        (154, 77, "multiclass", True),
        (32 * 77, 77, "multiclass", True),
        (10_000, 77, "multiclass", False),
        (1500, 2, "binary", True),
        (1501, 2, "binary", False),
        (20, 1, "regression", False),
    ],
)
def test_labels_are_few_by_class_or_in_all(rows: int, outputs: int, kind: Any, few: bool) -> None:
    assert few_labels(rows, outputs, kind) == few


def test_a_search_over_many_rows_begins_with_fewer_passes() -> None:
    few, many = (
        {r.name: r.defaults for r in rungs(TEXT, "binary", ["small"], many=many)}
        for many in (False, True)
    )
    for name in ("finetune-top", "finetune-all", "lora"):
        assert many[name]["epochs"] < few[name]["epochs"]
        assert {**many[name], "epochs": 0} == {**few[name], "epochs": 0}
    assert many["probe"] == few["probe"]
