"""Columns beside a text that what is handed over does not read are told."""

from __future__ import annotations

from dataclasses import replace

from metier.road.unread import unread_told
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.types import Roles

CLASSICAL = Candidate("classical-0", "classical", Recipe("classical", "none", {}), "baseline")
FUSED = Candidate("fuse-0", "fuse", Recipe("fuse", "small", {}), "tried")
MIXED = Roles({"note": "text", "days": "number", "kind": "category"}, ("status",))


def test_numbers_beside_a_text_that_nothing_was_tried_on_are_told() -> None:
    (told,) = unread_told(MIXED, {"note"}, CLASSICAL, [CLASSICAL])
    assert "classical reads nothing of the columns days, kind" in told
    assert "only fuse does, which was not tried: name it with --strategy fuse" in told


def test_it_is_told_what_became_of_the_one_that_reads_them() -> None:
    (told,) = unread_told(MIXED, {"note", "kind"}, CLASSICAL, [CLASSICAL, FUSED])
    assert "of the column days:" in told and told.endswith("was tried and not chosen")
    (told,) = unread_told(MIXED, {"note"}, CLASSICAL, [replace(FUSED, state="failed")])
    assert told.endswith("failed")


def test_where_all_columns_are_read_or_rows_are_tables_there_is_nothing_to_tell() -> None:
    assert unread_told(MIXED, set(MIXED.inputs), FUSED, [FUSED]) == ()
    table = Roles({"days": "number", "kind": "category"}, ("status",))
    assert unread_told(table, set(), CLASSICAL, [CLASSICAL]) == ()
