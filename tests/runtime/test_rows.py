"""What users hand over, as columns."""

from __future__ import annotations

import numpy as np
import pytest

from metier.errors import DataError
from metier.runtime.columns import to_dates
from metier.runtime.manifest import InputColumn
from metier.runtime.rows import to_rows

HALF = "\ud83d hi"
TEXT, SIZE = InputColumn("text", "text"), InputColumn("size", "number")


def test_plain_values_belong_to_the_one_column_of_their_kind() -> None:
    found = to_rows(["a", "b"], [SIZE, TEXT])
    assert found.columns == {"text": ["a", "b"], "size": [None, None]}
    assert (found.count, found.absent) == (2, ("size",))


@pytest.mark.parametrize(
    "given", [["ok", HALF], [{"text": "ok"}, {"text": HALF}], {"text": ["ok", HALF]}]
)
def test_halves_of_characters_are_marked_as_such(given: object) -> None:
    assert to_rows(given, [TEXT]).columns == {"text": ["ok", "? hi"]}


def test_paths_of_images_stay_as_the_system_spells_them() -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert to_rows([name], [InputColumn("file", "image")]).columns == {"file": [name]}


@pytest.mark.parametrize("unit", ["ns", "us", "s", "D"])
def test_dates_of_numpy_are_dates_in_every_unit(unit: str) -> None:
    moments = np.array(["2023-09-20", "1969-07-20", "NaT"], dtype=f"datetime64[{unit}]")
    found = to_rows({"due": moments}, (InputColumn("due", "date"),)).columns["due"]
    days = to_dates(found, "%d.%m.%Y")
    assert days[:2, :3].tolist() == [[2023, 9, 20], [1969, 7, 20]]
    assert found[2] is None


def test_plain_values_are_refused_where_two_columns_could_be_meant() -> None:
    with pytest.raises(DataError, match="give dicts or a data frame"):
        to_rows(["a"], [TEXT, InputColumn("title", "text"), SIZE])
