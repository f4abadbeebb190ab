"""What users hand over, as columns."""

from __future__ import annotations

import pytest

from metier.errors import DataError
from metier.runtime.manifest import InputColumn
from metier.runtime.rows import to_rows

TEXT, SIZE = InputColumn("text", "text"), InputColumn("size", "number")


def test_plain_values_belong_to_the_one_column_of_their_kind() -> None:
    found = to_rows(["a", "b"], [SIZE, TEXT])
    assert found.columns == {"text": ["a", "b"], "size": [None, None]}
    assert (found.count, found.absent) == (2, ("size",))


def test_plain_values_are_refused_where_two_columns_could_be_meant() -> None:
    with pytest.raises(DataError, match="give dicts or a data frame"):
        to_rows(["a"], [TEXT, InputColumn("title", "text"), SIZE])
