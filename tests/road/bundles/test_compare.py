"""Two bundles on the same rows: paired figures, the rows that differ, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier.cli import main
from metier.errors import OptionError
from metier.road.bundles import versus
from metier.road.bundles.compare import Compared, compare_bundles, in_order
from metier.runtime.postprocess import Decision
from metier.strategies.linear import Linear
from metier.strategies.majority import Majority
from metier.types import Roles, Table
from tests.made import make_bundle


def rows(n: int = 120, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    size, weight = random.normal(size=(2, n))
    strength = size + 0.4 * random.normal(size=n)
    names = np.array(["low", "middle", "high"])
    return pl.DataFrame(
        {
            "size": size,
            "weight": weight,
            "kind": names[np.digitize(strength, [-0.5, 0.6])],
            "bought": np.where(strength > 0, "yes", "no"),
            "price": 100 + 20 * strength,
            "big": (strength > 0.2).astype(int),
            "heavy": (weight > 0).astype(int),
        }
    )


def learned(target: tuple[str, ...], inputs: tuple[str, ...], frame: pl.DataFrame) -> Table:
    return Table(frame, Roles(dict.fromkeys(inputs, "number"), target))


def compare(a: Path, b: Path, data: Any) -> Compared:
    return compare_bundles(a, b, data, seconds=0.02)


BOTH = ("size", "weight")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good and poor bundles of every kind of task."""
    folder, frame = tmp_path_factory.mktemp("bundles"), rows()
    asked: dict[str, tuple[Any, tuple[str, ...], str, tuple[str, ...]]] = {
        "good": (Linear(), ("kind",), "multiclass", BOTH),
        "poor": (Majority(), ("kind",), "multiclass", BOTH),
        "blind": (Linear(), ("kind",), "multiclass", ("weight",)),
        "yes": (Linear(), ("bought",), "binary", BOTH),
        "value": (Linear(), ("price",), "regression", BOTH),
        "worse value": (Linear(), ("price",), "regression", ("weight",)),
        "tags": (Linear(), ("big", "heavy"), "multilabel", BOTH),
        "other tags": (Linear(), ("heavy", "big"), "multilabel", BOTH),
    }
    return {
        name: make_bundle(folder / name, strategy, learned(target, inputs, frame), kind)
        for name, (strategy, target, kind, inputs) in asked.items()
    }


def test_the_better_one_is_told_with_its_interval(bundles: dict[str, Path]) -> None:
    found = compare(bundles["poor"], bundles["good"], rows(300, seed=1))
    gain = found.differences[0]
    assert gain.name == found.metric == "accuracy"
    assert gain.details["verdict"] == "better"
    assert gain.value is not None and gain.low is not None and gain.high is not None
    assert 0 < gain.low < gain.value < gain.high
    assert "more than A" in found.verdict and "for B" in found.verdict
    turned = compare(bundles["good"], bundles["poor"], rows(300, seed=1))
    assert turned.differences[0].value == pytest.approx(-gain.value)
    assert "less than A" in turned.verdict
    assert [each.name for each in found.a.metrics] == [each.name for each in found.differences]


def test_errors_cost_both_the_same_however_they_were_made(tmp_path: Path) -> None:
    known = learned(("bought",), BOTH, rows())
    dear: Any = {"metric": "cost", "costs": ((0.0, 1.0), (5.0, 0.0))}
    careful = make_bundle(tmp_path / "a", Linear(), known, "binary", **dear)
    # The same model, made without costs: by the prices of the first it answers dearly.
    plain = make_bundle(tmp_path / "b", Linear(), known, "binary", metric="cost")
    frame = rows(400, seed=5)
    found = compare(careful, plain, frame)
    assert found.metric == "cost"
    of_a, of_b = (next(m for m in side.metrics if m.name == "cost") for side in (found.a, found.b))
    answers = np.array(metier.load(plain).predict(frame).answers)
    truth = frame["bought"].to_numpy()
    missed = ((truth == "yes") & (answers == "no")).mean()
    alarmed = ((truth == "no") & (answers == "yes")).mean()
    assert of_b.value == pytest.approx(5 * missed + alarmed)
    assert of_a.value is not None and of_b.value is not None and of_a.value < of_b.value
    assert found.differences[0].value == pytest.approx(of_a.value - of_b.value)


def test_rows_that_differ_are_those_that_the_bundles_answer_differently(
    bundles: dict[str, Path],
) -> None:
    frame = rows(80, seed=2)
    found = compare(bundles["blind"], bundles["good"], frame)
    a, b = (metier.load(bundles[name]).predict(frame).answers for name in ("blind", "good"))
    truth = frame["kind"].to_list()
    expected: dict[str, list[int]] = {"a": [], "b": [], "neither": []}
    for i, (one, other, true) in enumerate(zip(a, b, truth, strict=True)):
        if one != other:
            expected["a" if one == true else "b" if other == true else "neither"].append(i)
    assert {who: list(of) for who, of in found.rows.items()} == expected
    assert found.counts["same"] == len(frame) - sum(map(len, expected.values()))
    for each in found.differing:
        assert (each.truth, each.a, each.b) == (truth[each.row], a[each.row], b[each.row])
        assert each.row in expected[each.right]
        assert float(each.inputs["size"]) == frame["size"][each.row]
    shown = [each.right == "neither" for each in found.differing]
    assert shown == sorted(shown)


def test_numbers_are_compared_by_who_is_nearer(bundles: dict[str, Path]) -> None:
    frame = rows(200, seed=3)
    found = compare(bundles["worse value"], bundles["value"], frame)
    assert found.metric == "rmse" and found.differences[0].details["verdict"] == "better"
    assert found.counts["b"] > found.counts["a"]
    assert sum(found.counts.values()) == len(frame)
    assert "less than A" in found.verdict
    lines = {line["metric"]: line for line in versus.metric_lines(found)}
    for name in ("root mean squared error", "R²"):
        assert lines[name]["B better by"].startswith("+") and lines[name]["B is"] == "better"
    others = len(found.differences) - 1
    assert others > 1 and f"the {others} other metrics are judged together" in versus.metrics_told(
        found
    )


def test_labels_in_another_order_are_the_same_labels(bundles: dict[str, Path]) -> None:
    frame = rows(60, seed=4)
    with pytest.raises(OptionError, match="big, heavy and B heavy, big"):
        compare(bundles["tags"], bundles["other tags"], frame)
    rule = Decision("multilabel", ("a", "b"), thresholds=(0.2, 0.7))
    assert in_order(rule, ("b", "a")).thresholds == (0.7, 0.2)
    costly = Decision("multiclass", ("a", "b", "c"), costs=((0, 1, 2), (3, 0, 4), (5, 6, 0)))
    assert in_order(costly, ("c", "a", "b")).costs == ((0, 5, 6), (2, 0, 1), (4, 3, 0))


def test_a_bundle_is_not_distinguishable_from_itself(bundles: dict[str, Path]) -> None:
    found = compare(bundles["yes"], bundles["yes"] / "specialist", rows(60, seed=5))
    assert "same bundle" in found.verdict and "not distinguishable" in found.verdict
    assert found.counts["same"] == 60 and not found.differing
    assert versus.rows_told(found) == "The two answer all 60 rows alike."


def test_cost_stands_beside_quality(bundles: dict[str, Path]) -> None:
    found = compare(bundles["blind"], bundles["good"], rows(40, seed=6))
    lines = {line["cost"]: line for line in versus.cost_lines(found)}
    assert {"size", "one row, one thread", "rows a second, together"} <= lines.keys()
    assert float(lines["size"]["B / A"]) == pytest.approx(found.cost.bytes, abs=0.01)
    assert found.cost.latency.low <= found.cost.latency.value <= found.cost.latency.high


def test_rows_with_a_missing_column_are_measured_with_a_warning(bundles: dict[str, Path]) -> None:
    found = compare(bundles["blind"], bundles["good"], rows(40, seed=6).drop("size"))
    assert any("size" in each.verdict for each in found.findings if each.level == "warning")


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("good", "yes", "multiclass model and B a binary"),
        ("good", "value", "regression"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    bundles: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    a: str,
    b: str,
    said: str,
) -> None:
    rows(30).write_csv(tmp_path / "rows.csv")
    words = ["compare", str(bundles[a]), str(bundles[b]), "--data", str(tmp_path / "rows.csv")]
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1


def test_other_labels_are_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    frame = rows().with_columns(pl.col("kind").replace({"low": "tiny"}))
    other = make_bundle(tmp_path / "other", Linear(), learned(("kind",), BOTH, frame), "multiclass")
    with pytest.raises(OptionError, match="A alone knows 'low'; B alone knows 'tiny'"):
        compare(bundles["good"], other, rows(30))


def test_the_command_prints_what_the_api_found(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(150, seed=7).write_csv(tmp_path / "rows.csv")
    words = ["compare", str(bundles["poor"]), str(bundles["good"])]
    assert main([*words, "--data", str(tmp_path / "rows.csv"), "--json"]) == 0
    out = capsys.readouterr().out
    told = json.loads(out.splitlines()[-1])
    assert told["n"] == 150 and told["verdict"] in " ".join(out.split())
    assert {"a", "b", "differences", "counts", "rows", "differing"} <= told.keys()
    assert "only B on" in out and "accuracy" in out


def test_looks_at_proof_rows_are_counted(bundles: dict[str, Path], tmp_path: Path) -> None:
    from metier.data.read import read
    from metier.road.looks import count_look

    path = tmp_path / "rows.csv"
    rows(30, seed=8).write_csv(path)
    count_look(bundles["good"], read(path).fingerprint, "recipe 1")
    found = compare(bundles["blind"], bundles["good"], path)
    assert [each.value for each in found.findings if each.name == "looks"] == [2.0]
