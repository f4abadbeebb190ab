"""Reading: every form comes in, odd ones with a warning, bad ones refused in one line."""

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from metier.data.read import read
from metier.errors import DataError

ROWS = [('a, "quoted" text', "up"), ("two\nlines", "down"), ("plain", "up")]


def write(path, rows, separator=",", encoding="utf-8", header=("text", "label")):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator)
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(buffer.getvalue().encode(encoding))
    return path


def image(path, colour=(200, 30, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 24), colour).save(path)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_encodings_are_found(tmp_path, separator, encoding):
    rows = [*ROWS, ("naïve – 你好", "down")]
    raw = read(write(tmp_path / "d.csv", rows, separator, encoding))
    assert raw.frame.rows() == rows
    assert raw.frame.columns == ["text", "label"]
    assert raw.warnings == ()


CELL = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff"), max_size=30
) | st.sampled_from(['say "hi"', '"', "a\nb", "x,y;z|t", '5" wide', "'", " padded "])
WORD = st.text("abcxyz ", min_size=1, max_size=12).filter(str.strip)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(CELL, WORD, CELL), min_size=1, max_size=12),
    separator=st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_was_written_is_read(tmp_path, rows, separator):
    header = ("first", "middle", "last")
    path = write(tmp_path / "d.csv", rows, separator, header=header)
    frame = read(path).frame
    assert frame.columns == list(header)
    assert frame.height == len(rows)
    for name, wanted in zip(header, zip(*rows, strict=True), strict=True):
        if frame[name].dtype == pl.String:
            assert [cell or "" for cell in frame[name].to_list()] == list(wanted)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_numbers_come_back_exactly(tmp_path, numbers):
    path = write(tmp_path / "d.csv", [(n, "x") for n in numbers], header=("n", "label"))
    assert read(path).frame["n"].cast(pl.Float64).to_list() == numbers


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300), ending=st.sampled_from(["csv", "jsonl", "json", "parquet"]))
def test_no_bytes_raise_anything_but_a_data_error(tmp_path, content, ending):
    path = tmp_path / f"d.{ending}"
    path.write_bytes(content)
    try:
        assert read(path).frame.height > 0
    except DataError as error:
        assert "\n" not in str(error)


def test_windows_1252_and_mixed_encodings_are_read_with_a_warning(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes("text,label\ncafé,a\nthé,b\n".encode("cp1252"))
    raw = read(path)
    assert raw.frame["text"].to_list() == ["café", "thé"]
    assert "Windows-1252" in raw.warnings[0]
    path.write_bytes(b"text,label\n" + "café,a\n".encode() + "thé,b\n".encode("cp1252"))
    raw = read(path)
    assert raw.frame["text"].to_list() == ["café", "thé"]
    assert "mixes encodings" in raw.warnings[0] and "lines 3" in raw.warnings[0]


def test_ragged_rows_and_doubled_names_are_warned_of(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("a,a,b\n1,2,x\n1,2\n1,2,y,extra\n", encoding="utf-8")
    raw = read(path)
    assert raw.frame.rows() == [(1, 2, "x"), (1, 2, None), (1, 2, "y")]
    assert raw.frame.columns == ["a", "a_2", "b"]
    assert "occurs twice" in raw.warnings[0]
    assert "lines 3, 4" in raw.warnings[1]


def test_a_ten_megabyte_cell_is_read_and_warned_of(tmp_path):
    path = write(tmp_path / "d.csv", [("x" * 10_000_000, "a"), ("y", "b")])
    raw = read(path)
    assert raw.frame["text"].str.len_bytes().to_list() == [10_000_000, 1]
    assert "10 MB" in raw.warnings[0]


def test_stray_quotes_and_blank_lines(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes(b'text,label\n5" screen,x\n\nsize 6" y,z\n7,8\n')
    assert read(path).frame.rows() == [('5" screen', "x"), ('size 6" y', "z"), ("7", "8")]
    path.write_bytes(b"text,label\rone,a\rtwo,b\r")
    assert read(path).frame.rows() == [("one", "a"), ("two", "b")]


def test_an_odd_cell_leaves_numbers_with_a_decimal_comma_readable(tmp_path):
    rows = [(f"{i},5", "ab"[i % 2]) for i in range(40)]
    path = write(
        tmp_path / "d.csv", [*rows, ("k.A.", "a"), ("NA", "b")], ";", header=("n", "label")
    )
    cells = read(path).frame["n"].to_list()
    assert cells == [*(f"{i}.5" for i in range(40)), "k.A.", "NA"]
    path = write(tmp_path / "e.csv", [*rows[:3], ("1,2 und 3", "a")], ";", header=("n", "label"))
    assert read(path).frame["n"].to_list() == ["0,5", "1,5", "2,5", "1,2 und 3"]


def lone_marks(rows):
    """100 rows of two columns, some of which begin with a quotation mark."""
    return [f"{chr(34) * (i in rows)}text {i}\t{'up' if i % 2 else 'down'}" for i in range(100)]


@pytest.mark.parametrize("marked", [(10, 40), (10, 11), (10,), (99,), (98,), (3, 50, 51, 90)])
def test_a_lone_mark_swallows_no_rows(tmp_path, marked):
    path = tmp_path / "d.tsv"
    path.write_text("text\tlabel\n" + "\n".join(lone_marks(marked)) + "\n")
    raw = read(path)
    assert raw.frame.height == 100
    assert raw.frame["text"][marked[0]] == f'"text {marked[0]}'
    assert raw.frame["text"][12] == "text 12"
    assert f"(row {marked[0]}" in raw.warnings[0]


def test_a_mark_that_closes_rows_later_swallows_none(tmp_path):
    rows = lone_marks([10])
    rows[40] = rows[40].replace("\t", '"\t')
    path = tmp_path / "d.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    raw = read(path)
    assert raw.frame.height == 100 and raw.frame["text"][40] == 'text 40"'
    rows[70] = '"two\nlines"\tup'
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    raw = read(path)
    assert raw.frame.height == 70
    assert "whole rows (row 10)" in raw.warnings[0] and "write it twice" in raw.warnings[0]


def test_quoted_cells_of_several_lines_stay_what_they_are(tmp_path):
    addresses = [(f"{i} Main St, Town\nUtopia", "ab"[i % 2]) for i in range(30)]
    tables = [(f"Some, words\na{i},b\nand more, and more", "ab"[i % 2]) for i in range(30)]
    for rows in (addresses, tables):
        raw = read(write(tmp_path / "d.csv", rows))
        assert raw.frame.rows() == rows and not raw.warnings
    for rows in ([("a\nb\nc\nd",), ("e",)], [("one, two\nthree, four\nfive", "up"), ("a, b", "c")]):
        raw = read(write(tmp_path / "d.csv", rows, header=("text", "label")[: len(rows[0])]))
        assert raw.frame.rows() == rows and not raw.warnings


def test_first_cells_without_a_name_are_the_names_of_rows(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('"x","label"\n"1",0.5,"a"\n"2",0.25,"b"\n"3",NA,"b"\n')
    raw = read(path)
    assert raw.frame.rows() == [(0.5, "a"), (0.25, "b"), (None, "b")]
    assert "taken for its name" in raw.warnings[0]
    path.write_text("x,label\n1,a,\n2,b,\n")
    raw = read(path)
    assert raw.frame.rows() == [(1, "a"), (2, "b")] and "extra ones dropped" in raw.warnings[0]
    path.write_text("text\none, two\nthree, four\n")
    assert read(path).frame["text"].to_list() == ["one", "three"]


def test_spelling_of_labels_and_codes_is_kept(tmp_path):
    path = write(tmp_path / "d.csv", [("007", "True"), ("012", "false")], header=("code", "label"))
    assert read(path).frame.rows() == [("007", "True"), ("012", "false")]
    path = write(tmp_path / "e.csv", [("1", "NA"), ("?", "b"), ("3", "c")], header=("n", "label"))
    assert read(path).frame.rows() == [(1, "NA"), (None, "b"), (3, "c")]
    path = write(tmp_path / "f.csv", [("1,5", "a"), ("2", "b")], ";", header=("n", "label"))
    assert read(path).frame["n"].to_list() == [1.5, 2.0]


def test_columnar_and_json_files(tmp_path):
    frame = pl.DataFrame({"text": ["a", "b"], "tags": [["x"], ["x", "y"]]})
    frame.write_parquet(tmp_path / "d.parquet")
    frame.write_ipc(tmp_path / "d.arrow")
    frame.write_ipc_stream(tmp_path / "d.feather")
    frame.write_ndjson(tmp_path / "d.jsonl")
    (tmp_path / "d.json").write_text(json.dumps(frame.to_dicts()), encoding="utf-8")
    (tmp_path / "e.json").write_text(json.dumps(frame.to_dict(as_series=False)), encoding="utf-8")
    for name in ("d.parquet", "d.arrow", "d.feather", "d.jsonl", "d.json", "e.json"):
        raw = read(tmp_path / name)
        assert raw.frame.equals(frame), name
        assert len(raw.fingerprint) == 64


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json", ".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize("name", ["d[1]", "d*", "d?"])
def test_signs_in_a_file_name_are_no_pattern(tmp_path, name, ending):
    ours, other = pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3, 4, 5]})
    ways = {
        ".csv": pl.DataFrame.write_csv,
        ".jsonl": pl.DataFrame.write_ndjson,
        ".json": pl.DataFrame.write_json,
        ".parquet": pl.DataFrame.write_parquet,
        ".arrow": pl.DataFrame.write_ipc,
        ".arrows": pl.DataFrame.write_ipc_stream,
    }
    write_frame, ending = ways[ending], ending.removesuffix("s")
    for frame, path in ((ours, f"{name}{ending}"), (other, f"d1{ending}")):
        with (tmp_path / path).open("wb") as file:
            write_frame(frame, file)
    assert read(tmp_path / f"{name}{ending}").frame["a"].to_list() == [1, 2]


def test_frames_in_memory_agree():
    pandas = pytest.importorskip("pandas")
    datasets = pytest.importorskip("datasets")
    columns = {"text": ["a", None, "c"], "n": [1.5, None, 2.0]}
    wanted = pl.DataFrame(columns)
    assert read(wanted).frame.equals(wanted)
    assert read(columns).frame.equals(wanted)
    assert read(pandas.DataFrame(columns)).frame.equals(wanted)
    assert read(datasets.Dataset.from_dict(columns)).frame.equals(wanted)
    assert read(columns).fingerprint == read(wanted).fingerprint


def test_moments_of_frames_are_in_utc():
    pandas = pytest.importorskip("pandas")
    noon = [datetime(2024, 1, day, 12) for day in (1, 2)]
    zoned = pandas.Series(noon).dt.tz_localize("Europe/Vienna")
    east = timezone(timedelta(hours=1))
    frame = pandas.DataFrame(
        {
            "zoned": zoned,
            "gap": zoned.where([True, False]),
            "objects": pandas.Series([each.replace(tzinfo=east) for each in noon], dtype=object),
            "arrow": zoned.astype("timestamp[ns, tz=Europe/Vienna][pyarrow]"),
            "seconds": pandas.Series(noon).astype("datetime64[s]"),
        }
    )
    found = read(frame).frame
    moments = [each.replace(hour=11) for each in noon]
    for name in ("zoned", "objects", "arrow"):
        assert found[name].to_list() == moments
    assert found["gap"].to_list() == [moments[0], None]
    assert found["seconds"].to_list() == noon
    assert all(dtype == pl.Datetime("us") for dtype in found.dtypes)


def test_what_no_column_can_hold_is_read_as_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    keys = [UUID(int=1), UUID(int=2), None]
    frame = pandas.DataFrame(
        {
            "key": keys,
            "path": [Path("a/b"), Path("c"), None],
            "month": pandas.period_range("2024-01", periods=3, freq="M"),
            "cut": pandas.cut([1, 2, 3], [0, 1, 3]),
            "big": pandas.Series([10**40, 2, None], dtype=object),
        }
    )
    found = read(frame).frame
    assert found["key"].to_list() == [str(keys[0]), str(keys[1]), None]
    assert found["path"].to_list() == [str(Path("a/b")), "c", None]
    assert found["month"].to_list() == ["2024-01", "2024-02", "2024-03"]
    assert found["cut"].to_list() == ["(0, 1]", "(1, 3]", "(1, 3]"]
    assert found["big"].to_list() == [str(10**40), "2", None]
    assert read(pl.DataFrame({"key": pl.Series(keys, dtype=pl.Object)})).frame["key"][1] == str(
        keys[1]
    )
    for name, content in (
        ("big.json", f'[{{"a": {10**40}}}, {{"a": 2}}]'),
        ("big.jsonl", f'{{"a": {10**40}}}\n{{"a": 2}}\n'),
    ):
        (tmp_path / name).write_text(content)
        assert read(tmp_path / name).frame["a"].to_list() == [str(10**40), "2"]


def test_class_labels_of_datasets_keep_their_names():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert read(data).frame["label"].to_list() == ["pos", "neg"]
    with pytest.raises(DataError, match="one split"):
        read(datasets.DatasetDict({"train": data}))


def test_class_folders(tmp_path):
    image(tmp_path / "cat" / "1.png")
    image(tmp_path / "dog" / "inner" / "2.jpg")
    (tmp_path / "dog" / "notes.txt").write_text("no image", encoding="utf-8")
    raw = read(tmp_path)
    assert raw.frame.rows() == [("cat/1.png", "cat"), ("dog/inner/2.jpg", "dog")]
    assert raw.base == tmp_path
    assert "dog/notes.txt" in raw.warnings[0]
    before = raw.fingerprint
    image(tmp_path / "cat" / "1.png", (0, 0, 0))
    assert read(tmp_path).fingerprint != before


def test_a_table_beside_images_and_images_to_predict(tmp_path):
    image(tmp_path / "pictures" / "1.png")
    assert read(tmp_path, expect_images_of="photo").frame.rows() == [("pictures/1.png",)]
    single = read(tmp_path / "pictures" / "1.png", expect_images_of="photo")
    assert single.frame.rows() == [("1.png",)]
    write(tmp_path / "labels.csv", [("pictures/1.png", "cat")], header=("file", "label"))
    raw = read(tmp_path)
    assert raw.frame.rows() == [("pictures/1.png", "cat")]
    assert raw.base == tmp_path


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("d.csv", b"", "empty"),
        ("d.csv", b"\n \n", "empty"),
        ("d.csv", b"text,label\n", "no rows"),
        ("d.csv", b"PK\x03\x04rest", "zip or Excel"),
        ("d.csv", b"\x89PNG\r\n\x1a\n", "PNG image"),
        ("d.csv", b"a,b\n\x00\x01\x02\x00,\x00\x05", "binary"),
        ("d.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', "line 2"),
        ("d.json", b'[{"a": 1},\n {"a": }]', "line 2"),
        ("d.parquet", b"PAR1 nothing PAR1", "broken Parquet"),
        ("d.arrow", b"ARROW1 nothing", "broken Arrow"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_and_wrong_folders_are_refused(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    with pytest.raises(DataError, match=r"did you mean 'train\.csv'"):
        read(tmp_path / "trian.csv")
    with pytest.raises(DataError, match="does not exist"):
        read("~nobody-of-this-name/train.csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        read(tmp_path / "none")
    image(tmp_path / "both" / "train" / "cat" / "1.png")
    image(tmp_path / "both" / "test" / "cat" / "1.png")
    with pytest.raises(DataError, match="splits"):
        read(tmp_path / "both")
    with pytest.raises(DataError, match="length"):
        read({"a": [1, 2], "b": [1]})
    with pytest.raises(DataError, match="cannot be read"):
        read(42)


@pytest.mark.parametrize("form", ["mapping", "pandas", "file"])
def test_halves_of_characters_are_marked_as_such(form: str, tmp_path: Path) -> None:
    columns = {"text": ["ok", "\ud83d hi", None], "kind": [["a"], ["b\ud83d", "c"], []]}
    data: object = columns
    if form == "pandas":
        data = pytest.importorskip("pandas").DataFrame(columns, dtype=object)
    if form == "file":
        data = tmp_path / "rows.json"
        data.write_text(json.dumps(columns), encoding="utf-8")
    frame = read(data).frame
    assert frame["text"].to_list() == ["ok", "? hi", None]
    assert frame["kind"].to_list() == [["a"], ["b?", "c"], []]
