"""The way in, where rows without labels or of another domain are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier import api
from metier.data.read import read
from metier.errors import DataError, InputError, OptionError
from metier.road.intake import read_data
from metier.road.labelled import read_labelled
from metier.road.options import Options, check_words
from metier.road.pace import Shown
from metier.road.unlabelled import draw_pool
from metier.runtime.session import load
from metier.search.clock import Clock
from metier.search.wrapping import build
from metier.strategies.boost import Boost
from metier.types import Roles, Table
from tests.made import make_bundle


def measured(n: int = 300, seed: int = 0) -> pl.DataFrame:
    """Two numbers that decide, in two towns; the second one lies elsewhere."""
    rng = np.random.default_rng(seed)
    town = rng.choice(["here", "there"], n)
    size, weight = rng.normal(size=(2, n)) + 2.0 * (town == "there")
    labels = np.where(size + weight > 2.0 * (town == "there"), "yes", "no")
    return pl.DataFrame({"size": size, "weight": weight, "domain": town, "label": labels})


def test_rows_of_the_target_domain_prove_and_are_learned_from_without_labels() -> None:
    data = measured()
    found = read_data(data, Options(target_domain="there"))
    there = int((data["domain"] == "there").sum())
    assert len(found.table) == 300 - there and found.table.roles.domain == "domain"
    assert found.unlabeled is not None and found.test is not None
    assert len(found.test) + len(found.unlabeled) == there
    assert found.unlabeled.frame.columns == ["size", "weight"]
    assert not np.isin(found.unlabeled.digests, found.test.digests).any()
    assert any("nothing was learned from labels of this domain" in note for note in found.notes)


def test_groups_of_the_proof_in_the_target_domain_are_not_learned_from() -> None:
    data = measured().with_columns(user=pl.int_range(pl.len()) % 20)
    found = read_data(data, Options(target_domain="there", group="user"))
    assert found.test is not None and found.unlabeled is not None
    assert not set(found.test.frame["user"]) & set(found.table.frame["user"])
    assert any("share 'user' with the proof" in note for note in found.notes)
    alone = read_data(data, Options(target_domain="there"))
    assert found.proof != alone.proof


def test_a_time_that_is_no_input_may_be_absent_from_a_test_file() -> None:
    data = measured().with_columns(seen=pl.lit(2020))
    assert "seen" not in read_data(data, Options(time="seen")).table.roles.inputs
    found = read_data(data, Options(time="seen", test=measured(80, 1)))
    assert found.test is not None
    assert len(found.test) == 80 and found.table.roles.time == "seen"


def test_rows_without_labels_may_be_whole_numbers_here_and_fractions_there() -> None:
    data = measured().with_columns(pl.col("size").round())
    more = measured(80, 1).with_columns(pl.col("size").round().cast(pl.Int64))
    found = read_data(data, Options(target_domain="there", unlabeled=more))
    assert found.unlabeled is not None
    assert len(found.unlabeled) > 80


def test_a_test_file_gives_only_its_rows_of_the_target_domain() -> None:
    test = measured(80, 1)
    found = read_data(measured(), Options(target_domain="there", test=test))
    assert found.test is not None
    assert len(found.test) == int((test["domain"] == "there").sum())
    assert found.unlabeled is not None
    elsewhere = test.filter(pl.col("domain") == "here")
    with pytest.raises(DataError, match="no row of 'domain' is 'there'"):
        read_data(measured(), Options(target_domain="there", test=elsewhere))


def test_an_unlabelled_file_is_part_of_what_a_run_is_known_by(tmp_path: Path) -> None:
    pool = measured(50, 2).select("size", "weight")
    plain, more = (
        read_data(measured().drop("domain"), Options(unlabeled=given, target="label"))
        for given in (None, pool)
    )
    assert plain.fingerprint != more.fingerprint and plain.unlabeled is None
    assert more.unlabeled is not None and len(more.unlabeled) == 50


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unlabeled": {"height": [1.0, 2.0]}}, "no column 'size', which the labelled rows have"),
        ({"target_domain": "ther"}, "did you mean 'there'"),
        ({"target_domain": "there", "domain": "town"}, "column 'town'"),
        ({"domain": "domain"}, "which one is the specialist for"),
        ({"strategies": ["align(boost)"]}, "learns from rows without labels; give --unlabeled"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    data = measured().drop("domain") if "unlabeled" in options else measured()
    with pytest.raises(InputError, match=told):
        api.specialize(data, target="label", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_domain_alone_says_nothing() -> None:
    with pytest.raises(OptionError, match="name it with --target-domain"):
        check_words(Options(domain="domain"))


def test_a_sample_of_many_unlabelled_rows_is_enough() -> None:
    table = Table(pl.DataFrame({"x": np.arange(20_000.0)}), Roles({"x": "number"}))
    pool = draw_pool(table, 100, Shown({}), Clock(None), 0)
    assert (
        pool.table is not None
        and len(pool.table) == 5000
        and "5,000 of the 20,000" in pool.notes[0]
    )
    assert draw_pool(None, 100, Shown({}), Clock(None), 0).given == {}


def test_whatever_has_the_field_gets_the_rows() -> None:
    table = Table(pl.DataFrame({"x": [1.0]}), Roles({"x": "number"}))
    given = {"unlabeled": table}
    taught: Any = build("distill", {"alpha": 0.5}, given)
    assert taught.unlabeled is table and taught.alpha == 0.5
    build("reweigh(boost)", {"inner.leaves": 7}, given)


def shapes(labels: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"size": np.arange(len(labels)) % 7, "label": labels})


JOINED = ["red|round", "red", "round", "red|flat", "flat"] * 12


def test_labels_are_split_in_a_test_file_as_in_the_training_file() -> None:
    """Alone, neither file would be taken for one of joined labels, or joined by `|`."""
    for rare in (["red"] * 50 + ["round|flat"], ["red"] * 9, ["red; round|flat", "flat"]):
        found = read_data(shapes(JOINED), Options(test=shapes(rare)))
        assert found.task.kind == "multilabel" and found.table.roles.separator == "|"
        assert found.test is not None
        known = [each.split("|") for each in rare if ";" not in each]
        assert found.test.frame["label"].to_list() == known
    numbers = [
        each.replace("red", "1").replace("round", "2").replace("flat", "3") for each in JOINED
    ]
    found = read_data(
        shapes(numbers), Options(test=pl.DataFrame({"size": [1, 2], "label": [1, 2]}))
    )
    assert found.test is not None
    assert found.test.frame["label"].to_list() == [["1"], ["2"]]


def test_classes_that_hold_a_separator_are_left_whole_in_a_test_file() -> None:
    found = read_data(shapes(JOINED), Options(task="multiclass", test=shapes(JOINED[:20])))
    assert found.test is not None
    assert found.test.frame["label"].to_list() == JOINED[:20]


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_labels_of_an_evaluation_file_are_read_as_those_of_training(
    kind: str, tmp_path: Path
) -> None:
    asked = None if kind == "multilabel" else kind
    table = read_data(shapes(JOINED), Options(task=asked)).table
    bundle = load(make_bundle(tmp_path / kind, Boost(trees=5), table, kind))
    assert bundle.manifest.facts.get("separator") == ("|" if asked is None else None)
    for labels in (JOINED, ["red", "flat"]):
        raw = read(shapes(labels))
        found = read_labelled(bundle, raw).table.frame["label"].to_list()
        assert found == [each.split("|") if asked is None else each for each in labels]
    if asked is None:
        raw = read(shapes(["red", "flat", "flat;x"]))
        assert read_labelled(bundle, raw).table.frame["label"].to_list() == [["red"], ["flat"]]
