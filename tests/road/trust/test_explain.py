"""`metier explain` from a bundle and rows to a page, and what it refuses in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier import api
from metier.cli import main
from metier.evidence.explanations.explained import Explained
from metier.road.trust.games import games_of
from metier.runtime.groups import GroupColumn, GroupThresholds
from metier.runtime.session import load
from metier.strategies.classical import Classical
from metier.strategies.linear import Linear
from metier.strategies.probe import Probe
from metier.types import Roles, Table
from tests.made import make_bundle

Tables = Callable[..., Table]


def rows(n: int = 90, seed: int = 0) -> pl.DataFrame:
    """`size` decides; `weight` and `colour` hardly matter."""
    rng = np.random.default_rng(seed)
    size, weight = rng.normal(size=(2, n))
    strength = 2 * size + 0.1 * weight
    return pl.DataFrame(
        {
            "size": size,
            "weight": weight,
            "colour": rng.choice(["red", "blue"], n),
            "bought": np.where(strength > 0, "yes", "no"),
            "price": 100 + 20 * strength,
            "big": (size > 0).astype(int),
            "heavy": (weight > 0).astype(int),
        }
    )


def named(table: Table) -> Table:
    """The same rows with the target called as in a folder of class folders."""
    frame = table.frame.rename({"target": "label"})
    return replace(table, frame=frame, roles=replace(table.roles, target=("label",)))


INPUTS: Any = {"size": "number", "weight": "number", "colour": "category"}


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, tiny_sources: dict[str, Any], tiny_table: Tables
) -> dict[str, Path]:
    """Bundles of every modality, with their weights."""
    folder, frame = tmp_path_factory.mktemp("runs"), rows()
    made = {}
    for name, target, kind in (
        ("binary", ("bought",), "binary"),
        ("price", ("price",), "regression"),
        ("labels", ("big", "heavy"), "multilabel"),
    ):
        table = Table(frame, Roles(INPUTS, target))
        made[name] = make_bundle(folder / name, Linear(), table, kind)
    for name, source in (("text", "bert"), ("image", "mobilenet")):
        table = named(tiny_table(tiny_sources[source], 60))
        made[name] = make_bundle(folder / name, Probe(), table, "multiclass", tiny_sources[source])
    words = tiny_table(tiny_sources["bert"], 60)
    beside = words.frame.with_columns(age=np.arange(len(words), dtype=float))
    roles = replace(words.roles, inputs={**words.roles.inputs, "age": "number"})
    unread = replace(words, frame=beside, roles=roles)
    made["unread"] = make_bundle(
        folder / "unread", Probe(), unread, "multiclass", tiny_sources["bert"]
    )
    made["counts"] = make_bundle(folder / "counts", Classical(), words, "multiclass")
    return made


def explain(run: Path, data: Any, **options: Any) -> Explained:
    return api.explain(run, data, **{"budget": "20s", **options})


def test_the_column_that_decides_is_found_and_believed(runs: dict[str, Path]) -> None:
    found = explain(runs["binary"], rows(40, 1), method="shap")
    assert found.method == "shap" and not found.tried and found.faithful is not None
    assert found.faithful.gain.low > 0.1 and found.faithful.gain.n == 40
    assert found.overall.importances[0].name == "size"
    assert len(found.rows) == 6
    for row in found.rows:
        names = [player.name for player in row.players]
        assert names[int(np.abs(row.attribution.values).argmax())] == "size"
        assert row.attribution.holds and row.truth in ("yes", "no")
    told = {each.name: each for each in found.findings}
    assert told["faithfulness"].level == told["shares_sum"].level == "info"
    assert told["faithfulness"].n == 40 and told["faithfulness"].low is not None


@pytest.mark.parametrize("known", [True, False])
def test_each_group_is_explained_by_its_own_threshold(known: bool, runs: dict[str, Path]) -> None:
    """Without the column that tells the groups it is the common one, and the page says so."""
    bundle = load(runs["binary"])
    rule = GroupThresholds((GroupColumn("sex"),), {"f": 0.0, "m": 1.1})
    decision = replace(bundle.manifest.decision, groups=rule)
    fair = replace(bundle, manifest=replace(bundle.manifest, decision=decision))
    data = rows(40, 1)
    if known:
        data = data.with_columns(sex=pl.Series(["f", "m"] * 20))
    found = games_of(runs["binary"], fair, data, [2, 3, 5], 3, 0)
    if known:
        by_group = [["yes", "no"][row % 2] for row in found.numbers]
        assert found.answers == by_group and not found.findings
    else:
        assert found.answers == bundle.predict(found.columns).answers
        assert "no column 'sex'" in found.findings[0].verdict
    asked = [found.target(place).label for place in range(3)]
    assert asked == found.answers[:3]


def test_auto_measures_its_methods_on_rows_that_do_not_judge_the_chosen_one(
    runs: dict[str, Path],
) -> None:
    found = explain(runs["binary"], rows(60, 1), rows=[3, 5])
    assert {each.method for each in found.tried} == {"shap", "lime", "occlusion"}
    gains = [each.gain.value for each in found.tried]
    assert gains == sorted(gains, reverse=True)
    chosen, judged = found.tried[0].gain.n, found.faithful
    assert judged is not None and chosen + judged.gain.n <= 60 + 2
    assert [row.row for row in found.rows] == [3, 5]
    assert "trees" in found.skipped


@pytest.mark.parametrize("name", ["price", "labels"])
def test_numbers_and_several_labels_are_explained(name: str, runs: dict[str, Path]) -> None:
    found = explain(runs[name], rows(30, 1), method="occlusion", rows=[0, 1])
    assert found.faithful is not None and found.faithful.gain.value > 0
    first = found.rows[0]
    assert first.label == (None if name == "price" else first.label)
    if name == "price":
        assert first.truth is not None and abs(first.chance - float(first.truth)) < 30
    assert found.stable is not None and not found.stable.drawn


@pytest.mark.parametrize("method", ["auto", "gradients", "lime"])
def test_words_are_explained(
    method: str, runs: dict[str, Path], tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    pytest.importorskip("captum")
    data = tiny_table(tiny_sources["bert"], 30, seed=1).frame.drop("target")
    found = explain(runs["text"], data, method=method)
    assert found.rows and all(row.truth is None for row in found.rows)
    assert {player.kind for player in found.rows[0].players} == {"text"}
    assert found.faithful is not None
    assert method in ("auto", found.method)


@pytest.mark.parametrize("method", ["gradients", "shap"])
def test_a_column_that_is_not_read_has_no_part(method: str, runs: dict[str, Path]) -> None:
    pytest.importorskip("captum")
    data = {"text": ["my card is lost", "refund the fee"] * 8, "age": [1.0, 2.0] * 8}
    found = explain(runs["unread"], data, method=method)
    assert {player.column for row in found.rows for player in row.players} == {"text"}
    without = explain(runs["unread"], {"text": data["text"]}, method=method)
    assert np.allclose(found.rows[0].attribution.values, without.rows[0].attribution.values)


def test_an_empty_text_has_nothing_to_share(runs: dict[str, Path]) -> None:
    found = explain(runs["counts"], {"text": ["", "my card", None, "refund"]}, method="shap")
    assert [len(row.players) for row in found.rows] == [0, 2, 0, 1]


def test_pictures_are_explained_from_a_folder(
    runs: dict[str, Path], tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    table = tiny_table(tiny_sources["mobilenet"], 12, seed=1)
    for path, label in zip(table.columns()["image"], table.frame["target"], strict=True):
        (tmp_path / "given" / str(label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "given" / str(label))
    page = tmp_path / "page.html"
    found = explain(runs["image"], tmp_path / "given", method="occlusion", rows=[0, 7], out=page)
    assert [row.truth for row in found.rows] == sorted(row.truth or "" for row in found.rows)
    assert found.overall.areas and found.overall.areas[0].cells.sum() == pytest.approx(1.0)
    written = page.read_text()
    assert written.count("data:image/png;base64,") == 4
    assert 'http-equiv="Content-Security-Policy"' in written and "img-src data:" in written


def test_the_nearest_training_rows_come_from_the_file_that_is_given(
    runs: dict[str, Path], tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    learned = tiny_table(tiny_sources["bert"], 60).frame
    given = learned.head(5)
    found = explain(runs["text"], given, method="occlusion", train=learned, rows=[2])
    (near,) = found.nearest.rows.values()
    assert near[0].likeness == pytest.approx(1.0, abs=1e-4)
    assert near[0].inputs["text"] == given["text"][2]
    assert near[0].likeness >= near[1].likeness >= near[2].likeness
    without = explain(runs["text"], given, method="occlusion")
    assert not without.nearest.rows and "--train" in without.nearest.told


def test_a_bundle_alone_is_explained_without_its_weights(
    runs: dict[str, Path], tmp_path: Path, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(runs["text"] / "specialist", alone)
    data = tiny_table(tiny_sources["bert"], 20, seed=1).frame
    found = explain(alone, data)
    assert "gradients" in found.skipped and "bundle alone" in found.skipped["gradients"]
    assert not found.nearest.rows


def test_the_same_seed_gives_the_same_explanations(runs: dict[str, Path]) -> None:
    data = rows(20, 1)
    one, same = (
        explain(runs["binary"], data, method="lime", seed=3, budget="10m") for _ in range(2)
    )
    for a, b in zip(one.rows, same.rows, strict=True):
        assert (a.attribution.values == b.attribution.values).all()


def test_a_budget_that_is_over_at_once_still_shows_the_rows(runs: dict[str, Path]) -> None:
    found = explain(runs["binary"], rows(40, 1), budget="0.01s")
    assert len(found.rows) == 6


def test_the_command_writes_a_page_and_one_json_object(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(30, 1).write_csv(tmp_path / "rows.csv")
    words = ["explain", str(runs["binary"]), str(tmp_path / "rows.csv"), "--rows", "0,7"]
    page = tmp_path / "page.html"
    asked = [*words, "--method", "shap", "--out", str(page), "--json", "--budget", "20s"]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["page"] == str(page) and found["method"] == "shap"
    assert [row["row"] for row in found["rows"]] == [0, 7]
    row = found["rows"][0]
    assert {each["name"] for each in row["players"]} == set(INPUTS)
    assert sum(each["value"] for each in row["players"]) == pytest.approx(
        row["output"] - row["base"]
    )
    written = page.read_text()
    assert "How far to believe it" in written and "--rows 0,7" in written


@pytest.mark.parametrize(
    ("run", "words", "told"),
    [
        ("binary", ["--rows", "0,99"], "--rows 99: the data have rows 0 to 29"),
        ("binary", ["--rows", "first"], "is no list of row numbers"),
        ("binary", ["--method", "gradients"], "is for texts and images"),
        ("binary", ["--method", "shapp"], "did you mean 'shap'?"),
        ("binary", ["--method", "trees"], "needs the boosters of a run folder"),
        ("binary", ["--method", "terms"], "is for a glass box"),
        ("text", [], "no column 'text', which the bundle reads"),
        ("image", ["--method", "trees"], "no column"),
        ("binary", ["--budget", "soon"], "expected a time"),
        ("binary", ["--train", "nowhere.csv"], "does not exist"),
        ("binary", ["--out", "."], "is a folder"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    run: str,
    words: list[str],
    told: str,
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows(30, 1).write_csv(tmp_path / "rows.csv")
    page = tmp_path / "page.html"
    asked = ["explain", str(runs[run]), str(tmp_path / "rows.csv"), "--out", str(page), *words]
    assert main(asked) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error:") and told in error
    assert not page.exists()


def test_one_row_of_a_table_is_refused(runs: dict[str, Path]) -> None:
    from metier.errors import DataError

    with pytest.raises(DataError, match="one row"):
        explain(runs["binary"], rows(1))
