"""The functions behind the commands, apart from whole runs (see tests/road)."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from PIL import Image

from metier import api
from metier.errors import DataError, OptionError, SourceError
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.types import Finding, Form
from tests.runtime.conftest import PICTURE, SUMS, TERMS, numbers_graph, terms_graph, write


def test_strategies_and_sources_are_listed() -> None:
    found = {row["strategy"]: row for row in api.strategies()}
    given = {name: row["gives"] for name, row in found.items()}
    assert (given["probe"], given["boost"]) == ("net", "booster")
    assert given["reweigh"] == given["align"] == "what it wraps gives"
    assert set(given.values()) <= {*get_args(Form), "what it wraps gives"}
    assert {"probe", "boost", "classical"} <= found.keys()
    assert all(row["about"] and row["gives"] for row in found.values())
    rows = api.sources()
    assert {row["modality"] for row in rows} == {"text", "image", "tabular"}
    assert next(r for r in rows if r["source"] == "lightgbm")["state"] == "ready"


def test_looking_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(name: str) -> None:
        raise AssertionError(f"{name} was fetched")

    monkeypatch.setattr("metier.sources.directory._fetch", fetched)
    monkeypatch.setattr("metier.sources.directory._held", lambda name: None)
    assert any("first used" in row["state"] for row in api.sources())
    names = [tmp_path / f"{i}.png" for i in range(20)]
    for i, name in enumerate(names):
        Image.new("RGB", (8, 8), (9 * i, 0, 0)).save(name)
    frame = pl.DataFrame({"image": [str(name) for name in names], "label": ["a", "b"] * 10})
    assert all(isinstance(each, Finding) for each in api.check(frame, target="label"))


def test_what_a_strategy_does_is_told_to_the_end() -> None:
    assert all(row["about"].endswith((".", ":")) for row in api.strategies())


def test_one_source_needs_no_list() -> None:
    frame = pl.DataFrame({"text": [f"word {i} here" for i in range(20)], "label": ["a", "b"] * 10})
    with pytest.raises(SourceError, match="'nowhere'"):
        api.rank(frame, target="label", sources="nowhere")


def test_check_finds_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pl.DataFrame(
        {"text": ["same words here"] * 4 + ["others"] * 4, "label": ["a", "b"] * 4}
    )
    found = api.check(frame, target="label")
    assert all(isinstance(each, Finding) for each in found)
    assert any("duplicate" in each.name for each in found)
    assert not any(tmp_path.iterdir())


def test_tables_have_no_sources_to_rank() -> None:
    with pytest.raises(DataError, match="tables"):
        api.rank(pl.DataFrame({"x": range(20), "label": ["a", "b"] * 10}), target="label")


def test_predictions_go_where_they_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="csv or"):
        api.predict(tmp_path, "rows.csv", out=tmp_path / "answers.txt")


def test_rows_without_any_column_that_a_bundle_reads_are_refused_with_what_there_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("height,width\n1,2\n")
    bundle = Path(__file__).parent / "bundles" / "v1-table"
    with pytest.raises(DataError, match="found: 'height', 'width'"):
        api.predict(bundle, path)


def test_cells_that_are_no_images_are_never_looked_for_on_the_disk(tmp_path: Path) -> None:
    """A long text is no path that can be asked for, a short one may be a file's name by chance."""
    text = (InputColumn("text", "text"),)
    text_bundle = write(tmp_path / "text", TERMS, terms_graph(), text)
    columns = (InputColumn("size", "number"), InputColumn("colour", "category"))
    graph = numbers_graph("numbers", [2], 1)
    table_bundle = write(tmp_path / "table", SUMS, graph, columns, Decision("regression"))
    (tmp_path / "card").touch()
    texts = {"reviews.csv": "a lost card " * 30, "words.csv": "card"}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"text\n{text}\n")
        assert api.predict(text_bundle, tmp_path / name, out=tmp_path / "out.csv").answers
        assert pl.read_csv(tmp_path / "out.csv").columns[0] == "prediction"
    (tmp_path / "rows.csv").write_text("colour,size\n,1\n,2\n")
    assert api.predict(table_bundle, tmp_path / "rows.csv", out=tmp_path / "out.csv").answers
    assert pl.read_csv(tmp_path / "out.csv").columns == ["prediction"]


def test_images_are_looked_for_beside_their_table_even_where_one_is_missing(
    tmp_path: Path,
) -> None:
    graph = numbers_graph("pixel_values", [3, 2, 2], 2)
    image_bundle = write(tmp_path / "image", PICTURE, graph, (InputColumn("file", "image"),))
    folder = tmp_path / "given"
    folder.mkdir()
    Image.new("RGB", (4, 4), (9, 9, 9)).save(folder / "here.png")
    (folder / "rows.csv").write_text("file\nhere.png\ngone.png\n")
    found = api.predict(image_bundle, folder / "rows.csv", out=tmp_path / "out.csv")
    assert list(found.reasons) == [1]
    assert pl.read_csv(tmp_path / "out.csv")["path"].to_list() == ["here.png", "gone.png"]
