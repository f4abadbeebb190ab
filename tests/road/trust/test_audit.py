"""The audit: every part is there, what is missing is named, and no row is on the page unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.api import audit
from metier.cli import main
from metier.errors import DataError, InputError, OptionError
from metier.evidence.unlabelled.unseen import absent_labels, beyond_training, new_categories
from metier.report.audit import audit_document, audit_words, level_of
from metier.report.document import render_document
from metier.runtime.manifest import InputColumn
from metier.strategies.boost import Boost
from metier.strategies.classical import Classical
from metier.types import Roles, Table
from tests import tiny
from tests.made import make_bundle

PARTS = ("first", "right", "slices", "robustness", "sureness", "looks-at", "unseen", "origin")


def people(n: int, seed: int = 0) -> pl.DataFrame:
    """Rows in which one group is answered at random; the group is told by no input."""
    draw = np.random.default_rng(seed)
    group = draw.choice(["north", "south"], n)
    size, colour = draw.normal(size=n), draw.choice(["red", "blue"], n)
    truth = np.where(group == "south", draw.random(n) < 0.5, size > 0)
    answer = np.where(truth, "yes", "no")
    return pl.DataFrame({"size": size, "colour": colour, "group": group, "target": answer})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    roles = Roles({"size": "number", "colour": "category"}, target=("target",))
    folder = tmp_path_factory.mktemp("runs") / "people"
    return make_bundle(folder, Boost(), Table(people(600), roles), "binary")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "audited.csv"
    people(500, 1).write_csv(path)
    return path


def test_one_page_holds_every_part(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.html"
    found = audit(run, data, sensitive=["group"], out=out, budget="25s")
    assert found.n == 500 and found.score[0].value is not None
    assert found.served is not None and found.served.columns == ("group",)
    assert any("group" in each.verdict for each in found.worries), "half of the rows are a guess"
    page, words = out.read_text("utf-8"), out.with_suffix(".md").read_text("utf-8")
    assert [part for part in PARTS if f'<section id="{part}">' not in page] == []
    assert found.digest in page and found.digest in words
    assert "metier audit" in page and "--sensitive group" in page
    assert level_of(found) != "good" and not found.left_out


def test_no_text_of_the_data_is_shown_unless_it_was_asked_for(tmp_path: Path) -> None:
    rows = tiny.labelled_texts(160, "binary")
    run = make_bundle(tmp_path / "texts", Classical(), rows, "binary")
    path = tmp_path / "texts.csv"
    rows.frame.write_csv(path)
    found = audit(run, path, budget="15s")
    html = render_document(audit_document(found, "metier audit", {}))
    column = next(iter(rows.roles.inputs))
    whole = [text for text in rows.frame[column] if len(text) > 20]
    assert len(whole) > 50
    for text in whole:
        assert text not in html and text not in audit_words(found)


def test_the_command_says_what_to_look_at_first(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    words = ["audit", str(run), str(data), "--out", str(out), "--budget", "10s", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["page"] == str(out) and Path(told["words"]).exists()
    assert {"accuracy", "slices"} <= {each["name"] for each in told["findings"]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sensitive": ["grop"]}, "group"),
        ({"sensitive": ["target"]}, "is the target"),
        ({"budget": "soon"}, "expected a time"),
    ],
)
def test_what_cannot_be_is_refused(run: Path, data: Path, asked: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        audit(run, data, **asked)


def test_a_page_destroys_neither_itself_nor_what_lies_beside_it(
    run: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"page is HTML.* ends in \.html"):
        audit(run, data, out=tmp_path / "audit.md")
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n")
    with pytest.raises(OptionError, match="no earlier audit"):
        audit(run, data, out=tmp_path / "notes.html")
    assert notes.read_text() == "# Notes\n"
    with pytest.raises(OptionError, match="is a folder"):
        audit(run, data, out=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.md"]


def test_an_earlier_audit_is_written_over(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.html"
    for seed in (0, 1):
        audit(run, data, out=out, budget="1s", seed=seed)
    assert "--seed 1" in out.read_text("utf-8")


def test_a_handful_of_rows_is_refused(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    people(12).write_csv(path)
    with pytest.raises(DataError, match="too few to judge"):
        audit(run, path)


def test_what_was_never_shown_is_counted() -> None:
    columns = [InputColumn("age", "number", 18.0, 70.0), InputColumn("job", "category")]
    cells = {"age": [17, 30, None, 80, 40], "job": ["a", "b", "a", "a", "z"]}
    (found,) = beyond_training(columns, cells, np.arange(10, 15))
    assert found.rows == (10, 13) and found.n == 4 and found.value == 0.5
    (unseen,) = new_categories({"job": 1, "town": 0}, 5)
    assert unseen.value == 0.2
    assert "a 'job' that is not among the categories that the model knows" in unseen.verdict
    assert beyond_training(columns, {"age": [20], "job": ["a"]}, np.arange(1)) == []


def test_classes_without_a_row_are_named() -> None:
    (found,) = absent_labels(("a", "b", "c"), np.array([0, 2, 2]))
    assert "no row is b" in found.verdict.lower() and found.level == "warning"
    assert absent_labels(("a", "b"), np.array([[1, 0], [0, 1]])) == []
