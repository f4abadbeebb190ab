"""Damage that happens by itself: the same for the same seed, and worse with each severity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import PIL.Image
import pytest

from metier.evidence.robustness.corruptions import CORRUPTIONS, SEVERITIES, fitting

BY_NAME = {each.name: each for each in CORRUPTIONS}
TEXT = "My card was lost yesterday and nobody answers the phone, please help me now."


def picture(seed: int = 0) -> PIL.Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    return PIL.Image.fromarray(coarse).resize((72, 48), PIL.Image.Resampling.BICUBIC)


def cells(kind: str, n: int) -> list[object]:
    if kind == "text":
        return [f"{TEXT} {i}" for i in range(n)]
    if kind == "image":
        return [picture(i) for i in range(n)]
    return np.random.default_rng(0).normal(50, 10, n).tolist()


def distance(a: object, b: object) -> float:
    if isinstance(a, PIL.Image.Image):
        first, second = (np.asarray(each, dtype=float) for each in (a, b))
        return float(np.abs(first - second).mean())
    if isinstance(a, str):
        assert isinstance(b, str)
        same = sum(x == y for x, y in zip(a.split(), b.split(), strict=False))
        return 1.0 - same / len(a.split())
    if isinstance(b, float):
        assert isinstance(a, float)
        return abs(a - b)
    return float(a != b)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_it_is_worse_with_each_severity_and_the_same_for_the_same_seed(name: str) -> None:
    each = BY_NAME[name]
    given = cells(each.kinds[0], 12 if each.kinds[0] == "image" else 150)
    rows = list(range(len(given)))
    moved = []
    for severity in SEVERITIES:
        one, two = (each.apply(given, severity, 3, rows) for _ in range(2))
        assert [np.asarray(c).tolist() for c in one] == [np.asarray(c).tolist() for c in two]
        moved.append(np.mean([distance(a, b) for a, b in zip(given, one, strict=True)]))
    assert moved[0] > 0 and moved[-1] > 1.5 * moved[0]
    assert all(later > 0.9 * earlier for earlier, later in pairwise(moved))
    assert len(each.told) == len(SEVERITIES)


@pytest.mark.parametrize("name", ["typos", "missing words", "noise", "rotation", "missing values"])
def test_a_row_is_damaged_alike_whatever_stands_beside_it(name: str) -> None:
    each = BY_NAME[name]
    given = cells(each.kinds[0], 12)
    whole = each.apply(given, 4, 1, range(12))
    alone = each.apply([given[7]], 4, 1, [7])
    assert np.asarray(whole[7]).tolist() == np.asarray(alone[0]).tolist()


@pytest.mark.parametrize("name", list(BY_NAME))
def test_what_is_missing_stays_missing(name: str) -> None:
    each = BY_NAME[name]
    given = [None, *cells(each.kinds[0], 3), float("nan")]
    found = each.apply(given, 5, 0, range(5))
    assert found[0] is None and found[4] != found[4]


def test_a_picture_keeps_its_size_and_a_text_one_word() -> None:
    for name in ("noise", "blur", "JPEG compression", "brightness", "rotation"):
        (found,) = BY_NAME[name].apply([picture()], 5, 0, [0])
        assert found.size == picture().size
    for row in range(50):
        assert BY_NAME["missing words"].apply(["two words"], 5, row, [row])[0]


def test_the_corners_of_a_turned_picture_are_not_black() -> None:
    white = PIL.Image.new("RGB", (90, 40), (255, 255, 255))
    (found,) = BY_NAME["rotation"].apply([white], 5, 0, [0])
    assert np.asarray(found).min() == 255


def test_whole_numbers_stay_whole_and_a_constant_stays_itself() -> None:
    jitter = BY_NAME["jittered numbers"]
    assert all(v == round(v) for v in jitter.apply(list(range(20)), 5, 0, range(20)))
    assert jitter.apply([7.0] * 4, 5, 0, range(4)) == [7.0] * 4
    assert jitter.apply(["no number", 3.5, 1.0], 5, 0, range(3))[0] == "no number"


def test_a_picture_that_cannot_be_read_is_left_to_the_model() -> None:
    assert BY_NAME["blur"].apply([b"no picture"], 3, 0, [0]) == [b"no picture"]


def test_damage_fits_the_columns() -> None:
    found = fitting({"age": "number", "job": "category", "seen": "date"})
    assert {each.name: columns for each, columns in found} == {
        "missing values": ("age", "job", "seen"),
        "jittered numbers": ("age",),
    }
