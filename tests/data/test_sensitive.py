"""Columns that make groups, and those that do not."""

from __future__ import annotations

import polars as pl
import pytest

from metier.data.raw import Raw
from metier.data.roles import infer_roles
from metier.data.sensitive import split_cuts, with_cuts
from metier.errors import DataError, InputError, OptionError
from metier.types import Roles

FRAME = pl.DataFrame(
    {
        "sex": ["f", "m", None, "f"] * 20,
        "age": list(range(80)),
        "zip": [f"z{i}" for i in range(80)],
        "same": ["one"] * 80,
        "a:b": ["x", "y"] * 40,
        "label": ["no", "yes"] * 40,
        "size": [float(i % 7) for i in range(80)],
    }
)


def roles(*sensitive: str) -> Roles:
    names, cuts = split_cuts(sensitive, FRAME.columns)
    found = infer_roles(Raw(FRAME, None, "rows", "0"), target="label", sensitive=names)
    return with_cuts(found, FRAME, cuts)


def test_a_sensitive_column_is_no_input_and_numbers_are_cut() -> None:
    found = roles("sex", "age")
    assert found.sensitive == ("sex", "age") and not {"sex", "age"} & found.inputs.keys()
    assert found.cuts == {"age": (20.0, 40.0, 59.0)} or len(found.cuts["age"]) == 3
    assert roles("age:25,60").cuts == {"age": (25.0, 60.0)}
    assert roles("a:b").sensitive == ("a:b",), "a name with a colon is a name first"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sx", "no column 'sx' for sensitive .did you mean 'sex'"),
        ("aeg:25", "no column 'aeg' for sensitive .did you mean 'age'"),
        ("label", "is the target"),
        ("same", "one value only .'one'."),
        ("zip", "80 values, which are no groups"),
        ("age:60,25", "no cuts; write rising numbers"),
        ("age:x", "no cuts; write rising numbers"),
        ("sex:1", "holds no numbers, so it cannot be cut"),
    ],
)
def test_what_makes_no_groups_is_refused_in_one_line(asked: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        roles(asked)
    assert isinstance(refused.value, DataError | OptionError) and "\n" not in str(refused.value)


def test_a_column_is_named_once() -> None:
    with pytest.raises(OptionError, match="given twice"):
        roles("sex", "sex")
