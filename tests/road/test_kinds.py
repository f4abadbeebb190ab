"""Every kind of task and input, walked from data to a bundle that agrees with its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier.api import Result, evaluate, predict, specialize
from tests import tiny

KEYS = {
    "bundle", "report", "source", "strategy", "task", "metric", "valid", "test", "baselines",
    "verdict", "seconds", "digest",
}  # fmt: skip
NUMBERS = {"value", "low", "high", "n"}


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="session")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_mobilenet(tmp_path_factory.mktemp("mobilenet")))


def numbers(n: int = 160, seed: int = 0) -> pl.DataFrame:
    """A small table with something to learn in it."""
    random = np.random.default_rng(seed)
    size, weight = random.normal(size=(2, n))
    colour = random.choice(["red", "green", "blue"], n)
    strength = size + (colour == "red") + 0.3 * random.normal(size=n)
    return pl.DataFrame(
        {
            "size": size,
            "weight": weight,
            "colour": colour,
            "who": random.integers(0, 40, n).astype(str),
            "day": [f"2024-{1 + i * 12 // n:02d}-{1 + i % 28:02d}" for i in range(n)],
            "price": 1000 + 50 * strength,
            "bought": np.where(strength > 0.4, "yes", "no"),
            "kind": np.array(["low", "middle", "high"])[np.digitize(strength, [-0.3, 0.9])],
            "tags": [
                "|".join([t for t, on in (("big", s > 0), ("red", c == "red")) if on] or ["plain"])
                for s, c in zip(size, colour, strict=True)
            ],
        }
    )


def only(frame: pl.DataFrame, target: str, *more: str) -> pl.DataFrame:
    return frame.select("size", "weight", "colour", *more, target)


def check_result(result: Result) -> dict[str, Any]:
    """What holds of every run that ended, whatever it learned."""
    told = json.loads(json.dumps(result.to_json()))
    assert told.keys() >= KEYS
    assert told["valid"].keys() >= NUMBERS
    assert told["test"].keys() >= NUMBERS
    assert told["baselines"]
    for name, found in told["baselines"].items():
        assert found.keys() >= NUMBERS, name
        assert not name[-1].isdigit()
    assert metier.load(result.bundle).digest == told["digest"] == result.report.digest
    assert result.page.stat().st_size > 10_000
    assert not (result.folder / "run.lock").exists()
    return told


def rerun(result: Result, data: Any) -> metier.Predictions:
    """The bundle's answers for a file or frame, and the same through `metier.load`."""
    found = predict(result.bundle, data)
    assert not found.reasons
    return found


@pytest.mark.parametrize(
    ("target", "kind", "metric"),
    [
        ("bought", "binary", None),
        ("kind", "multiclass", "f1_macro"),
        ("price", "regression", None),
        ("tags", "multilabel", None),
    ],
)
def test_tables(tmp_path: Path, target: str, kind: str, metric: str | None) -> None:
    frame = only(numbers(), target)
    result = specialize(frame, target=target, metric=metric, trials=1, out=tmp_path / "run")
    told = check_result(result)
    assert told["task"] == kind
    assert metric in (None, told["metric"])
    assert "linear" in told["baselines"]
    answers = rerun(result, frame.drop(target)).answers
    if kind == "regression":
        assert np.corrcoef(answers, frame[target].to_numpy())[0, 1] > 0.8
    elif kind == "multilabel":
        right = [set(a) == set(t.split("|")) for a, t in zip(answers, frame[target], strict=True)]
        assert np.mean(right) > 0.8
    else:
        assert np.mean([a == t for a, t in zip(answers, frame[target], strict=True)]) > 0.7


def test_labels_in_lists(tmp_path: Path) -> None:
    frame = only(numbers(), "tags").with_columns(pl.col("tags").str.split("|"))
    path = tmp_path / "rows.parquet"
    frame.write_parquet(path)
    result = specialize(path, target="tags", trials=1, out=tmp_path / "run")
    assert check_result(result)["task"] == "multilabel"
    assert set(result.report.labels) == {"big", "red", "plain"}


def test_several_columns_of_labels(tmp_path: Path) -> None:
    frame = numbers().with_columns(
        big=(pl.col("size") > 0).cast(int), red=(pl.col("colour") == "red").cast(int)
    )
    frame = frame.select("size", "weight", "colour", "big", "red")
    result = specialize(frame, target=["big", "red"], trials=1, out=tmp_path / "run")
    assert check_result(result)["task"] == "multilabel"


def test_costs_move_the_decision(tmp_path: Path) -> None:
    frame = only(numbers(), "bought")
    run = {"target": "bought", "trials": 1, "strategies": ["linear"]}
    plain = specialize(frame, out=tmp_path / "plain", **run)
    dear = specialize(frame, out=tmp_path / "dear", cost="fn=20,fp=1", **run)
    said = [predict(r.bundle, frame.drop("bought")).answers.count("yes") for r in (plain, dear)]
    assert said[1] > said[0]
    told, plainly = dear.to_json(), plain.to_json()
    assert (told["metric"], plainly["metric"]) == ("cost", "accuracy")
    assert any("answering 'no' where 'yes' is true costs 20" in note for note in dear.report.notes)
    # What chose and what proves are in one unit: the mean cost of the answers that are given.
    assert told["valid"]["value"] < 1 and told["test"]["value"] < 1
    majority = told["baselines"]["majority"]
    assert majority["value"] == pytest.approx(majority["valid"]["value"], abs=0.1)


def test_a_metric_that_is_named_decides_even_where_errors_cost(tmp_path: Path) -> None:
    frame = only(numbers(), "bought")
    run = {"target": "bought", "trials": 1, "strategies": ["linear"], "cost": "fn=20,fp=1"}
    told = specialize(frame, out=tmp_path / "run", metric="accuracy", **run).to_json()
    assert told["metric"] == "accuracy"
    # The leaderboard answers as the bundle does, by the costs, and not by what is likeliest.
    assert told["test"]["value"] == pytest.approx(told["valid"]["value"], abs=0.15)


@pytest.mark.parametrize("how", ["group", "time"])
def test_splits_by_group_and_by_time(tmp_path: Path, how: str) -> None:
    column = {"group": "who", "time": "day"}[how]
    frame = only(numbers(), "bought", column)
    result = specialize(frame, target="bought", trials=1, out=tmp_path / "run", **{how: column})
    told = check_result(result)
    assert column not in result.report.inputs or how == "time"
    assert told["test"]["n"] > 10


def test_test_rows_with_unknown_labels_are_left_out(tmp_path: Path) -> None:
    frame = only(numbers(), "kind")
    test = only(numbers(60, seed=1), "kind")
    odd = test.head(4).with_columns(kind=pl.lit("never seen"))
    result = specialize(
        frame, target="kind", test=pl.concat([test, odd]), trials=1, out=tmp_path / "run"
    )
    told = check_result(result)
    assert told["test"]["n"] == 60
    assert any("4 test rows" in note for note in result.report.notes)
    assert "60 test rows" in told["test"]["rows"]


def test_held_out_rows_prove_and_then_teach(tmp_path: Path) -> None:
    frame = only(numbers(1200), "bought")
    told = {}
    for refit in ("all", "none"):
        result = specialize(
            frame,
            target="bought",
            trials=1,
            strategies=["linear"],
            refit=refit,
            out=tmp_path / refit,
        )
        told[refit] = check_result(result)
        assert ("refitted" in told[refit]["test"]["rows"]) == (refit == "all")
    assert told["all"]["test"] != {} and told["all"]["test"]["n"] > 200
    assert told["all"]["test"]["value"] == told["none"]["test"]["value"]
    assert told["all"]["digest"] != told["none"]["digest"]


def test_frames_of_pandas_and_datasets(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = only(numbers(), "bought")
    run = {"target": "bought", "trials": 1, "strategies": ["linear"]}
    digests = [
        specialize(data, out=tmp_path / str(i), **run).report.digest
        for i, data in enumerate([frame, pandas.DataFrame(frame.to_dict(as_series=False))])
    ]
    assert len(set(digests)) == 1 or all(digests)
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict(frame.to_dict(as_series=False))
    check_result(specialize(data, out=tmp_path / "datasets", **run))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_texts(tmp_path: Path, bert: str, kind: str) -> None:
    frame = tiny.labelled_texts(120, kind).frame
    path = tmp_path / "rows.csv"
    frame.write_csv(path)
    result = specialize(
        path, target="target", trials=2, sources=[bert], metric=None, out=tmp_path / "run"
    )
    told = check_result(result)
    assert told["task"] == kind
    assert {"classical"} <= told["baselines"].keys() | {told["strategy"]}
    assert ("generalist" in told["baselines"]) == (kind != "regression")
    found = rerun(result, path)
    again = metier.load(result.bundle).predict(frame["text"].to_list())
    assert found.answers == again.answers


@pytest.mark.slow
def test_texts_beside_numbers(tmp_path: Path, bert: str) -> None:
    frame = tiny.labelled_texts(120, "binary").frame
    frame = frame.with_columns(length=pl.col("text").str.len_chars(), day=pl.lit("2024-01-02"))
    result = specialize(frame, target="target", trials=4, sources=[bert], out=tmp_path / "run")
    check_result(result)
    assert "fuse" in {entry.strategy for entry in result.report.leaderboard}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "table"])
def test_images(tmp_path: Path, mobilenet: str, form: str) -> None:
    table = tiny.labelled_images(tmp_path / "photos", 60, "binary")
    if form == "table":
        data: Path = tmp_path / "photos" / "labels.csv"
        table.frame.write_csv(data)
    else:
        data = tmp_path / "classes"
        for name, label in table.frame.iter_rows():
            (data / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / name).rename(data / label / name)
    target = "label" if form == "folder" else "target"
    result = specialize(data, target=target, trials=1, sources=[mobilenet], out=tmp_path / "run")
    told = check_result(result)
    assert {"classical", "majority", "generalist"} <= told["baselines"].keys() | {told["strategy"]}
    found = predict(result.bundle, data, out=tmp_path / "answers.parquet")
    written = pl.read_parquet(tmp_path / "answers.parquet")
    assert written.columns[:2] == ["path", "prediction"]
    assert written.height == len(found) == 60
    assert all(path.endswith(".png") for path in written["path"])


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("proven")
    only(numbers(), "kind").write_csv(folder / "train.csv")
    only(numbers(80, seed=1), "kind").write_csv(folder / "test.csv")
    result = specialize(
        folder / "train.csv",
        target="kind",
        test=folder / "test.csv",
        trials=1,
        strategies=["linear"],
        out=folder / "run",
    )
    return result, folder / "test.csv"


def test_evaluate_repeats_the_proof_and_counts_the_look(proven: tuple[Result, Path]) -> None:
    result, test = proven
    first, second = evaluate(result.folder, test), evaluate(result.bundle, test)
    headline = next(found for found in first if found.name == result.report.metric)
    proof = result.report.headline
    assert proof is not None
    assert headline.value == pytest.approx(proof.value)
    looks = [next(f for f in found if f.name == "looks") for found in (first, second)]
    assert [found.value for found in looks] == [2.0, 3.0]


def test_evaluate_on_other_rows_is_no_look(proven: tuple[Result, Path], tmp_path: Path) -> None:
    result, _ = proven
    only(numbers(50, seed=2), "kind").write_csv(tmp_path / "other.csv")
    assert all(found.name != "looks" for found in evaluate(result.folder, tmp_path / "other.csv"))


Loader = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        (lambda f: f.select(reversed(f.columns)), None),
        (lambda f: f.with_columns(extra=pl.lit(1)), None),
        (lambda f: f.drop("weight"), "weight"),
        (lambda f: f.with_columns(colour=pl.lit("mauve")), None),
    ],
)
def test_predict_on_columns_that_differ(
    proven: tuple[Result, Path], tmp_path: Path, change: Loader, warned: str | None
) -> None:
    result, test = proven
    changed = tmp_path / "changed.csv"
    frame = pl.read_csv(test)
    change(frame).write_csv(changed)
    found = predict(result.folder, changed, out=tmp_path / "answers.csv")
    assert len(found) == frame.height
    assert pl.read_csv(tmp_path / "answers.csv").height == frame.height
    told = " ".join(found.warnings)
    assert warned is None or warned in told
