"""Which text is numbers, written by people."""

from __future__ import annotations

import pytest

from metier.data.numbers import with_units


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("€ 1,{}.50", True),
        ("{} kg", True),
        ("-{}%", True),
        ("{}", False),
        ("A{}", False),
        ("class {}", False),
        ("#{}", False),
        ("2020-01-{}", False),
    ],
)
def test_numbers_with_one_unit_are_told_from_codes(pattern: str, expected: bool) -> None:
    assert with_units([pattern.format(i) for i in range(100, 130)]) is expected


def test_two_units_or_few_labels_are_classes() -> None:
    mixed = [f"{i} kg" for i in range(20)] + [f"{i} g" for i in range(20)]
    assert not with_units(mixed)
    assert not with_units(["1 star", "2 star", "3 star"])
