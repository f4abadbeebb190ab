"""The truth of rows in the words of the answers, however the data write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.data.read import read
from metier.road.trust.truth import in_words, truth_of
from metier.runtime.session import Bundle, load
from metier.strategies.linear import Linear
from metier.types import Roles, Table
from tests.made import make_bundle

ROWS = 40


def frame() -> pl.DataFrame:
    size = np.linspace(-2, 2, ROWS)
    tags = [("app;" if v > 0 else "") + ("bill" if v > 1 else "") for v in size]
    return pl.DataFrame(
        {
            "size": size,
            "tags": [[each for each in tag.split(";") if each] for tag in tags],
            "app": (size > 0).astype(int),
            "bill": (size > 1).astype(int),
            "kind": (size > 0).astype(int),
            "price": size,
        }
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("truth")
    asked: dict[str, tuple[Any, tuple[str, ...], str | None]] = {
        "joined": ("multilabel", ("tags",), ";"),
        "flags": ("multilabel", ("app", "bill"), None),
        "class": ("binary", ("kind",), None),
        "number": ("regression", ("price",), None),
    }
    made = {}
    for name, (kind, target, separator) in asked.items():
        table = Table(frame(), Roles({"size": "number"}, target, separator=separator))
        made[name] = load(make_bundle(folder / name, Linear(), table, kind))
    return made


def told(bundle: Bundle, data: dict[str, list[Any]], tmp_path: Path) -> list[str | None]:
    """The truth of all rows of a file."""
    pl.DataFrame(data).write_csv(tmp_path / "rows.csv")
    raw = read(tmp_path / "rows.csv")
    return list(truth_of(raw, bundle, np.arange(raw.frame.height)))


def test_joined_labels_are_taken_apart(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    data: dict[str, list[Any]] = {
        "tags": ["bill;app", "app; bill", "app", None, "app;other"],
        "size": [1.0] * 5,
    }
    found = told(bundles["joined"], data, tmp_path)
    assert found == ["app, bill", "app, bill", "app", None, "app, other"]


def test_no_label_is_said_as_the_answer_says_it(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    data: dict[str, list[Any]] = {"app": [1, 0, 1, None], "bill": [1, 0, 0, 1]}
    assert told(bundles["flags"], data, tmp_path) == ["app, bill", "none", "app", None]


def test_labels_that_cannot_be_read_are_not_told(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    words = {"app": ["yes", "no"], "bill": ["no", "no"]}
    assert told(bundles["flags"], words, tmp_path) == [None, None]
    empty: dict[str, list[Any]] = {"app": [None, None], "bill": [1, 0], "size": [0.1, 0.2]}
    assert told(bundles["flags"], empty, tmp_path) == [None, None]
    assert told(bundles["flags"], {"size": [0.1, 0.2]}, tmp_path) == [None, None]


def test_a_class_and_a_number_are_written_as_they_are_answered(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    classes = told(bundles["class"], {"kind": [1.0, None, 0.0, 2.5], "size": [0.0] * 4}, tmp_path)
    assert classes == ["1", None, "0", "2.5"]
    numbers = told(bundles["number"], {"price": [1.5, None, 2e6], "size": [0.0] * 3}, tmp_path)
    assert numbers == ["1.5", None, "2000000.0"]


def test_the_truth_of_a_row_that_is_answered_right_is_the_answer(
    bundles: dict[str, Bundle],
) -> None:
    data = frame()
    for name in ("joined", "flags", "class"):
        bundle = bundles[name]
        answers = bundle.predict({"size": data["size"].to_list()}).answers
        truth = truth_of(read(data), bundle, np.arange(ROWS))
        said = [in_words(answer) for answer in answers]
        right = [one == other for one, other in zip(said, truth, strict=True)]
        assert np.mean(right) > 0.8
        assert name == "class" or {"none", "app"} <= set(said)
