"""Cells of a later file are read as training decided, whatever rows stand beside them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from metier.data.known import Known
from metier.data.read import read
from metier.data.roles import infer_roles


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_codes_keep_their_spelling_in_a_file_where_all_look_like_numbers(tmp_path: Path) -> None:
    known = Known({"code": "category", "note": "text"}, {"code": ("250.00", "250.0", "V27")})
    file = written(tmp_path / "a.csv", "code,note,else\n250.00,1.50,2.50\n250.0,7,1\n")
    frame = read(file, known=known).frame
    assert frame["code"].to_list() == ["250.00", "250.0"]
    assert frame["note"].to_list() == ["1.50", "7"]
    assert frame["else"].to_list() == [2.5, 1.0]


def test_a_number_is_the_category_that_it_was_written_as() -> None:
    known = Known({"code": "category"}, {"code": ("2.0", "2.1", "beta")})
    frame = read({"code": [2.0, 2.1, None, 4.0]}, known=known).frame
    assert frame["code"].to_list() == ["2.0", "2.1", None, "4"]


def test_a_category_that_was_a_number_is_the_same_written_with_a_point(tmp_path: Path) -> None:
    known = Known({"shop": "category"}, {"shop": ("1", "2")})
    file = written(tmp_path / "a.csv", "shop,x\n1.0,5\n2,5\nNA,5\nnorth,5\n")
    assert read(file, known=known).frame["shop"].to_list() == ["1", "2", None, "north"]


@pytest.mark.parametrize("word", ["None", "-", "?"])
def test_a_word_stays_a_category_beside_numbers_alone(word: str, tmp_path: Path) -> None:
    known = Known({"kind": "category"}, {"kind": ("1", "2", "beta", word)})
    file = written(tmp_path / "a.csv", f"kind,x\n1,5\n{word},5\n")
    assert read(file, known=known).frame["kind"].to_list() == ["1", word]


def test_one_cell_that_is_no_number_costs_the_others_nothing_and_is_told(tmp_path: Path) -> None:
    known = Known({"price": "number"})
    content = "price;x\n1,5;a\nk.A.;b\n-;c\n 2,25;d\n3;e\n;f\n"
    raw = read(written(tmp_path / "a.csv", content), known=known)
    assert raw.frame["price"].to_list() == [1.5, None, None, 2.25, 3.0, None]
    (told,) = raw.odd
    assert "'price'" in told.verdict and "1 cell" in told.verdict and "row 1" in told.verdict
    assert told.details["examples"] == ["k.A."] and "k.A." not in told.verdict
    given = read({"price": ["7", "x", "inf", " 1_0 ", "y", "1e999"]}, known=known)
    assert given.frame["price"].to_list() == [7.0, None, None, 10.0, None, None]
    assert "3 cells" in given.odd[0].verdict


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "n,x\n1,a\n,b\n3,c\n")
    frame = read(file, known=Known({"n": "number"})).frame
    assert frame["n"].dtype == pl.Int64 and frame["n"].to_list() == [1, None, 3]


def test_rows_say_what_is_known_of_all_their_parts() -> None:
    rows = {"day": ["2024-01-01", "2024-01-02"] * 9, "sex": ["f", "m"] * 9, "y": [0, 1] * 9}
    raw = read({**rows, "ver": ["2.0", "beta", "3"] * 6})
    found = Known.of_rows(raw.frame, infer_roles(raw, target="y", sensitive=["sex"]))
    assert found.kinds == {"y": "number", "sex": "category", "day": "date", "ver": "category"}
    assert dict(found.categories) == {"ver": ("2.0", "3", "beta"), "sex": ("f", "m")}
