"""A row's answer does not depend on which other rows stand in its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from metier import api
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.table import build_table
from metier.evidence.words import quoted
from metier.road.intake import read_data
from metier.road.options import Options
from metier.strategies.boost import Boost
from tests.made import make_bundle

Row = tuple[str, int, str]
N = 300


def write(path: Path, rows: Sequence[Row]) -> Path:
    lines = ["cell;more;label", *(f"{cell};{more};{label}" for cell, more, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def codes() -> list[Row]:
    cells = [("250.00", "250.80", "410.10", "V27", "-")[i % 5] for i in range(N)]
    return [
        (cell, i % 7, "long" if cell in ("250.00", "V27", "-") else "short")
        for i, cell in enumerate(cells)
    ]


def prices() -> list[Row]:
    return [(f"{i},{i % 10}", i % 7, "high" if i >= N // 2 else "low") for i in range(N)]


def days() -> list[Row]:
    cells = [(date(2020, 1, 1) + timedelta(days=4 * i)).strftime("%Y%m%d") for i in range(N)]
    rows = [(cell, i % 7, "late" if cell > "2022" else "early") for i, cell in enumerate(cells)]
    return [*rows[3:], ("unknown", 1, "early"), ("unknown", 2, "late"), ("unknown", 3, "late")]


def learned(folder: Path, rows: Sequence[Row]) -> Path:
    raw = read(write(folder / "rows.csv", rows))
    table, _ = build_table(raw, infer_roles(raw, target="label"))
    return make_bundle(folder / "run", Boost(trees=20), table, "binary")


@pytest.mark.parametrize(
    ("rows", "stays"),
    [
        (codes, lambda cell: cell[0].isdigit()),
        (codes, lambda cell: cell[0] != "V"),
        (days, str.isdigit),
        (days, lambda cell: cell == "unknown" or cell > "2023"),
    ],
)
def test_a_part_of_a_file_is_answered_and_measured_as_in_the_whole(
    rows: Callable[[], list[Row]], stays: Callable[[str], bool], tmp_path: Path
) -> None:
    bundle = learned(tmp_path, rows())
    answers = api.predict(bundle, tmp_path / "rows.csv").answers
    kept = [i for i, row in enumerate(rows()) if stays(row[0])]
    part = write(tmp_path / "part.csv", [rows()[i] for i in kept])
    found = api.predict(bundle, part)
    assert found.answers == [answers[i] for i in kept]
    assert not any("never seen" in told for told in found.warnings)
    right = sum(rows()[i][2] == answers[i] for i in kept) / len(kept)
    measured = {each.name: each.value for each in api.evaluate(bundle, part)}
    assert measured["accuracy"] == pytest.approx(right)


def test_one_cell_that_is_no_number_leaves_the_others_what_they_are(tmp_path: Path) -> None:
    bundle = learned(tmp_path, prices())
    answers = api.predict(bundle, tmp_path / "rows.csv").answers
    file = write(tmp_path / "more.csv", [*prices(), ("k.A.", 3, "low")])
    found = api.predict(bundle, file)
    assert found.answers[:-1] == answers
    assert any("'cell'" in told and "'k.A.'" in told for told in found.warnings)
    told = [quoted(each) for each in api.evaluate(bundle, file)]
    assert any("'cell'" in each and "'k.A.'" in each for each in told)


def test_what_is_odd_about_a_test_file_is_passed_on(tmp_path: Path) -> None:
    given = write(tmp_path / "rows.csv", prices())
    odd: list[Row] = [("k.A.", 1, "low"), *prices()[1:], ("7,5", 2, ""), ("8,5", 2, "")]
    found = read_data(given, Options(target="label", test=write(tmp_path / "test.csv", odd)))
    assert found.test is not None and len(found.test) == N
    assert found.test.frame["cell"].null_count() == 1
    assert any("test data: column 'cell': 1 cell" in note for note in found.notes)
    assert not any("k.A." in note for note in found.notes)
    assert any("test data: 2 rows have no target" in note for note in found.notes)


def test_rows_of_whole_numbers_are_known_again_where_training_has_fractions(tmp_path: Path) -> None:
    """They are alike to the last figure, so a test row that was learned from is found."""
    rows: list[Row] = [(f"{i // 2},{5 * (i % 2)}", i % 7, "low") for i in range(N)]
    rows = [*rows[:-1], (*rows[-1][:2], "high")]
    test = write(tmp_path / "test.csv", [row for row in rows if row[0].endswith(",0")])
    test.write_text(test.read_text(encoding="utf-8").replace(",0", ""), encoding="utf-8")
    found = read_data(write(tmp_path / "rows.csv", rows), Options(target="label", test=test))
    assert found.test is not None
    assert set(found.test.digests.tolist()) <= set(found.table.digests.tolist())


def test_truth_values_are_labels_in_every_spelling(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": range(N), "y": [i % 2 == 0 for i in range(N)]})
    file = tmp_path / "python.csv"
    spelled = frame.with_columns(pl.col("y").cast(pl.String).str.to_titlecase())
    spelled.write_csv(file)
    for training, test in ((frame, file), (file, frame)):
        found = read_data(training, Options(target="y", test=test))
        assert found.test is not None and len(found.test) == N
        assert (found.task.encode(found.test) == found.task.encode(found.table)).all()


def test_types_of_a_frame_are_read_as_the_text_that_was_learned_from(tmp_path: Path) -> None:
    bundle = learned(tmp_path, days())
    rows = [row for row in days() if row[0].isdigit()]
    text = api.predict(bundle, write(tmp_path / "part.csv", rows)).answers
    more = [row[1] for row in rows]
    for cells in ([int(row[0]) for row in rows], [row[0] for row in rows]):
        assert api.predict(bundle, {"cell": cells, "more": more}).answers == text
