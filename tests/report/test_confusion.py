"""A confusion matrix tells the same thing in all three ways, up to a hundred classes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from metier.report.confusion import MOST_CLASSES, confused_pairs, heat_map, per_class
from metier.report.content import Confusion, Report

SMALL = Confusion(("cat", "dog", "<script>"), ((8, 2, 0), (0, 5, 0), (3, 0, 1)))


def cells(confusion: Confusion, kind: str) -> list[ET.Element]:
    figure = ET.fromstring(str(heat_map(confusion)))
    return [each for each in figure.iter("rect") if each.get("class") == kind]


def test_right_and_wrong_cells_are_apart_and_empty_ones_not_drawn() -> None:
    assert len(cells(SMALL, "right")) == 3
    assert len(cells(SMALL, "wrong")) == 2


def test_shade_grows_with_the_share_of_the_truth() -> None:
    strong, weak = (float(each.get("fill-opacity") or 0) for each in cells(SMALL, "right")[1::-1])
    assert strong == 1.0 and weak < 1.0


def test_labels_are_escaped_and_cells_say_their_names() -> None:
    drawn = str(heat_map(SMALL))
    assert "<script>" not in drawn
    assert "&lt;script&gt; answered as cat: 3 rows, 75%" in drawn


def test_seventy_seven_classes_fit_a_page_and_a_hundred_and_one_are_left_out(
    many_labels: Report,
) -> None:
    assert many_labels.confusion is not None
    drawn = str(heat_map(many_labels.confusion))
    assert len(drawn) < 150_000
    assert int(ET.fromstring(drawn).get("width") or 0) < 960
    n = MOST_CLASSES + 1
    eye = tuple(tuple(int(i == j) for j in range(n)) for i in range(n))
    assert heat_map(Confusion(tuple(map(str, range(n))), eye)) is None


def test_pairs_come_worst_first() -> None:
    assert confused_pairs(SMALL) == [("<script>", "cat", 3, 0.75), ("cat", "dog", 2, 0.2)]
    assert len(confused_pairs(SMALL, most=1)) == 1


def test_classes_come_weakest_first_and_never_asked_ones_last() -> None:
    found = per_class(Confusion(("a", "b", "none"), ((1, 1, 0), (0, 2, 0), (0, 0, 0))))
    assert [row[0] for row in found] == ["a", "b", "none"]
    assert found[0][1:] == ("0.500", "1.000", 2)
    assert found[2][1] == "—"
