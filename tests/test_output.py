"""Predictions as a table."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.errors import OptionError
from metier.output import check_format, tabulate, write
from metier.paths import refuse_folder
from metier.runtime.postprocess import TaskKind
from metier.runtime.session import Predictions


def two_classes() -> Predictions:
    """Three rows; the second could not be read."""
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    return Predictions(["no", None, "yes"], probabilities, ("no", "yes"), {1: "not an image"})


@pytest.mark.parametrize("name", ["taken", "taken.csv", "."])
def test_a_folder_is_no_name_for_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir(exist_ok=True)
    with pytest.raises(OptionError, match="is a folder; give the name of a file"):
        refuse_folder(Path(name))
    if name.endswith(".csv"):
        with pytest.raises(OptionError, match="is a folder; give the name of a file"):
            check_format(Path(name))


def test_columns_in_order_with_paths_and_reasons() -> None:
    frame = tabulate(two_classes(), "binary", ["a.png", "b.png", "c.png"])
    assert frame.columns == ["path", "prediction", "probability_no", "probability_yes", "reason"]
    assert frame.row(1) == ("b.png", None, None, None, "not an image")
    assert frame.height == 3


def test_regression_has_one_column() -> None:
    frame = tabulate(Predictions([1.5, 2.5], None, ()), "regression")
    assert frame.rows() == [(1.5,), (2.5,)]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "OUT.CSV"])
def test_what_is_written_reads_back(tmp_path: Path, name: str) -> None:
    frame = tabulate(two_classes(), "binary")
    write(frame, tmp_path / name)
    read = pl.read_parquet if name.endswith("parquet") else pl.read_csv
    assert read(tmp_path / name).equals(frame)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_labels_of_a_row_are_joined_in_csv_and_a_list_in_parquet(tmp_path: Path) -> None:
    probabilities = np.array([[0.9, 0.8], [0.1, 0.2]])
    frame = tabulate(Predictions([["a", "b"], []], probabilities, ("a", "b")), "multilabel")
    stream = io.BytesIO()
    write(frame, stream)
    assert stream.getvalue().decode().splitlines()[1].startswith("a|b,")
    write(frame, tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet")["prediction"].to_list() == [["a", "b"], []]


@pytest.mark.parametrize("answers", [[[], []], [[], None], [None, None], []])
def test_rows_without_any_label_are_lists_without_any(tmp_path: Path, answers: list[Any]) -> None:
    shares = np.full((len(answers), 2), 0.1)
    frame = tabulate(Predictions(answers, shares, ("a", "b")), "multilabel")
    stream = io.BytesIO()
    write(frame, stream)
    lines = stream.getvalue().decode().splitlines()[1:]
    assert lines == [",0.1,0.1" if answer is None else '"",0.1,0.1' for answer in answers]
    write(frame, tmp_path / "x.parquet")
    read = pl.read_parquet(tmp_path / "x.parquet")["prediction"]
    assert read.to_list() == answers and read.dtype == pl.List(pl.String)


@pytest.mark.parametrize(("kind", "type"), [("binary", pl.String), ("regression", pl.Float64)])
def test_the_type_of_answers_does_not_hang_on_there_being_any(kind: TaskKind, type: Any) -> None:
    assert tabulate(Predictions([None], None, ()), kind)["prediction"].dtype == type


@pytest.mark.parametrize("name", ["out.xlsx", "out", "none/out.csv"])
def test_places_that_cannot_be_written_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="--out"):
        write(tabulate(two_classes(), "binary"), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_gone_is_told_as_such() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb", buffering=0) as stream, pytest.raises(BrokenPipeError):
        write(tabulate(two_classes(), "binary"), stream)


def test_a_stream_that_takes_little_at_a_time_gets_everything() -> None:
    class Narrow(io.BytesIO):
        """Standard output is one such where Python runs unbuffered."""

        def write(self, data: Any) -> int:
            return super().write(data[:7])

    frame, stream = tabulate(two_classes(), "binary"), Narrow()
    write(frame, stream)
    assert stream.getvalue().decode() == frame.write_csv()


def test_no_rows() -> None:
    frame = tabulate(Predictions([], np.empty((0, 2)), ("no", "yes")), "binary")
    assert frame.columns == ["prediction", "probability_no", "probability_yes"]
    assert frame.height == 0
