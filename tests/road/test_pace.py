"""What the time allows to look at."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.data.duplicates import near_clusters
from metier.data.splits import PROVE, split
from metier.road import pace
from metier.road.intake import Data
from metier.search.clock import Clock
from metier.sources.tabular import Tabular
from metier.sources.text import open_text
from metier.tasks import build
from metier.types import Source
from tests import tiny


@pytest.fixture(scope="module")
def data() -> Data:
    table = tiny.labelled_texts(600, "binary", longest=8)
    return Data(table, build("binary", table), None, (), "texts", "print")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    folder = tmp_path_factory.mktemp("models")
    names = [str(tiny.save_bert(folder / f"bert-{i}")) for i in range(4)]
    return {name: open_text(name) for name in names}


def shown(data: Data, sources: dict[str, Source], clock: Clock) -> pace.Shown:
    divided = split(data.table, "binary", test_given=False)
    return pace.show(data, divided, sources, Cache(), clock, 0)


def test_without_a_budget_all_is_looked_at(data: Data, sources: dict[str, Source]) -> None:
    two = dict(list(sources.items())[:2])
    found = shown(data, two, Clock(None))
    assert (found.rows, found.notes, list(found.sources)) == (None, (), list(two))
    assert len(shown(data, sources, Clock(None)).sources) in (3, 4)


def test_proof_rows_do_not_rank_sources(
    data: Data, sources: dict[str, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    real = pace.rank

    def spy(table, *args, **more):  # type: ignore[no-untyped-def]
        seen.append(set(table.frame["text"]))
        return real(table, *args, **more)

    monkeypatch.setattr(pace, "rank", spy)
    divided = split(data.table, "binary", test_given=False)
    pace.show(data, divided, sources, Cache(), Clock(None), 0)
    proof = set(data.table.take(np.flatnonzero(divided.purpose == PROVE)).frame["text"])
    assert seen
    assert not seen[0] & proof


def test_a_short_time_shows_a_sample_and_says_so(
    data: Data, sources: dict[str, Source], tmp_path: Path
) -> None:
    one = dict(list(sources.items())[:1])
    each = {name: 0.06 for name in one}
    clock = Clock(60.0)
    found = pace._with_rows(data, one, each, clock, 0, ())
    assert found.rows is not None
    assert 280 < len(found.rows) <= 350
    assert "of the 600 rows" in found.notes[0]
    pace.keep_shown(tmp_path / "shown.json", found)
    again = pace.shown_before(tmp_path / "shown.json", data, sources, 0)
    assert again is not None
    np.testing.assert_array_equal(again.rows, found.rows)
    assert (again.notes, again.paces, list(again.sources)) == (found.notes, each, list(one))


def test_rows_that_all_but_fit_are_all_shown(data: Data, sources: dict[str, Source]) -> None:
    name = next(iter(sources))
    each = {name: pace.FOR_LOOKING * 60.0 / (0.93 * len(data.table))}
    found = pace._with_rows(data, {name: sources[name]}, each, Clock(60.0), 0, ())
    assert (found.rows, found.notes) == (None, ())


def test_no_time_shows_nothing(data: Data, sources: dict[str, Source]) -> None:
    late = Clock(60.0, started=time.monotonic() - 55.0)
    assert not shown(data, sources, late).sources
    assert not pace._with_rows(data, sources, {n: 9.0 for n in sources}, Clock(60.0), 0, ()).sources


def test_tables_need_no_network(data: Data) -> None:
    frame = pl.DataFrame({"x": range(40), "label": ["a", "b"] * 20})
    from metier.road.intake import read_data
    from metier.road.options import Options

    table = read_data(frame, Options(target="label"))
    found = shown(table, {"lightgbm": Tabular()}, Clock(60.0))
    assert list(found.sources) == ["lightgbm"]


def test_checks_look_at_what_there_is_time_for(data: Data) -> None:
    clusters, none = near_clusters(data.table), pace.Shown({})
    whole = pace.checked(data, clusters, none, Cache(), Clock(None), 0)
    assert all(found.name != "checks" for found in whole)
    late = Clock(60.0, started=time.monotonic() - 58.0)
    (told,) = pace.checked(data, clusters, none, Cache(), late, 0)
    assert "not checked" in told.verdict


def test_a_short_time_still_compares_with_the_test_rows_or_says_that_it_did_not(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "CHECKS", (3.0, 1.0))
    test = replace(data.table, frame=data.table.frame[:5])
    both = replace(data, test=test)
    clusters, none = near_clusters(data.table), pace.Shown({})
    found = pace.checked(both, clusters, none, Cache(), Clock(60.0), 0)
    assert [f.details["test_rows"] for f in found if f.name == "duplicates in test"] == [
        [0, 1, 2, 3, 4]
    ]
    assert any("the checks looked at" in finding.verdict for finding in found)
    late = Clock(60.0, started=time.monotonic() - 58.0)
    (told,) = pace.checked(both, clusters, none, Cache(), late, 0)
    assert "nor compared with the test rows" in told.verdict
