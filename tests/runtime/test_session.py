"""Predicting: forms of input, order and number of rows, and what is imported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.errors import BundleError, DataError
from metier.runtime.session import load

TEXTS = ["I lost my card", "invoice and money", "nothing of that", "card invoice invoice"]
ANSWERS = ["card", "billing", "card", "billing"]

slow_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_texts(text_bundle: Path):
    bundle = load(text_bundle, threads=1)
    found = bundle.predict(TEXTS)
    assert found.answers == ANSWERS
    assert found.labels == bundle.labels == ("card", "billing")
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert (found.reasons, found.warnings, len(found)) == ({}, (), 4)
    assert bundle.task_kind == "binary"
    assert bundle.scores({"text": TEXTS}).dtype == np.float32


def test_run_folder_and_missing_folder(text_bundle: Path, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    text_bundle.rename(run / "specialist")
    assert load(str(run)).digest == load(run / "specialist").digest
    with pytest.raises(BundleError, match="nowhere: does not exist; give a run folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"no metier\.json there"):
        load(tmp_path / "empty")


def frames() -> dict[str, Any]:
    import polars as pl

    columns = {"extra": [1] * 4, "text": TEXTS}
    found: dict[str, Any] = {
        "texts": TEXTS,
        "tuple": tuple(TEXTS),
        "array": np.array(TEXTS),
        "dicts": [{"text": text, "extra": 1} for text in TEXTS],
        "columns": columns,
        "arrays": {"text": np.array(TEXTS, dtype=object)},
        "polars": pl.DataFrame(columns),
        "lazy": pl.LazyFrame(columns),
    }
    return found


@pytest.mark.parametrize("form", frames())
def test_every_form_of_input_gives_the_same(form: str, text_bundle: Path):
    assert load(text_bundle).predict(frames()[form]).answers == ANSWERS


def test_pandas_with_its_missing_values(text_bundle: Path, table_bundle: Path):
    pd = pytest.importorskip("pandas")
    texts = pd.DataFrame({"text": [*TEXTS, pd.NA]}, dtype="string", index=range(9, 14))
    assert load(text_bundle).predict(texts).answers == [*ANSWERS, "card"]
    frame = pd.DataFrame({"colour": ["blue", None, "red"], "size": [1, None, 3.5]})
    assert load(table_bundle).predict(frame).answers == [2, -1, 3.5]
    twice = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(DataError, match="two columns have the name 'text'"):
        load(text_bundle).predict(twice)


def test_arrow_tables(table_bundle: Path):
    pa = pytest.importorskip("pyarrow")
    frame = pa.table({"colour": ["blue", None], "size": [1.0, None]})
    assert load(table_bundle).predict(frame).answers == [2, -1]


def test_columns_in_another_order_and_extra_ones(table_bundle: Path):
    bundle = load(table_bundle)
    rows = [{"colour": "blue", "note": "x", "size": 2}, {"size": 3, "colour": "red"}]
    found = bundle.predict(rows)
    assert found.answers == [3, 3]
    assert found.probabilities is None
    assert found.warnings == ()


def test_rows_without_text_are_told_of(text_bundle: Path, table_bundle: Path):
    bundle = load(text_bundle)
    assert bundle.predict(TEXTS).warnings == ()
    (told,) = bundle.predict([*TEXTS, "", None, " \n"]).warnings
    assert told == "3 rows have no text and got the answer of an empty one"
    assert bundle.predict([""]).warnings == (
        "1 row has no text and got the answer of an empty one",
    )
    assert load(table_bundle).predict([{"size": None, "colour": None}]).warnings == ()


def test_missing_columns_and_unseen_categories_give_one_warning(table_bundle: Path):
    bundle = load(table_bundle)
    found = bundle.predict({"colour": ["green", "blue", "pink"]})
    assert found.answers == [-1, 1, -1]
    assert len(found.warnings) == 1
    assert "missing column 'size' read as empty" in found.warnings[0]
    assert "not among the categories that the model knows" in found.warnings[0]
    assert "'colour' (2)" in found.warnings[0]
    assert found.unseen == {"colour": [0, 2]} and found.unread == {}
    assert bundle.predict([{"size": 1, "colour": "red"}, {"colour": "blue"}]).warnings == ()
    many = bundle.predict({"size": ["?", *range(9000), "?"], "colour": ["red"] * 9002})
    assert many.unread == {"size": [0, 9001]} and "'size' (2)" in many.warnings[0]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("one text", "write \\[row\\]"),
        (5, "not int"),
        ({"word": ["a"]}, "none of the columns .*'size', 'colour'.*found: 'word'"),
        ([{"word": "a"}], "none of the columns"),
        (["a"], "give dicts or a data frame"),
        ({"size": [1, 2], "colour": ["red"]}, "differ in length: size has 2, colour has 1"),
        ({"size": 3}, "'size' is int, not a list"),
        ({"size": "abc"}, "'size' is str, not a list"),
    ],
)
def test_input_of_no_use_gets_one_line(rows: Any, reason: str, table_bundle: Path):
    with pytest.raises(DataError, match=reason) as caught:
        load(table_bundle).predict(rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", [[], {"text": []}])
def test_no_rows_give_no_answers(empty: Any, text_bundle: Path):
    found = load(text_bundle).predict(empty)
    assert found.answers == []
    assert found.probabilities is not None
    assert found.probabilities.shape == (0, 2)


def test_rows_that_are_no_rows_keep_their_place(text_bundle: Path):
    found = load(text_bundle).predict([{"text": "card"}, None, 7, {"text": "invoice"}])
    assert found.answers == ["card", None, None, "billing"]
    assert list(found.reasons) == [1, 2]
    assert found.probabilities is not None
    assert np.isnan(found.probabilities).all(axis=1).tolist() == [False, True, True, False]


@slow_fixture
@given(rows=st.lists(st.sampled_from([*TEXTS, "", "card " * 300, None, 5]), max_size=30))
def test_answers_follow_the_rows(rows: list[Any], text_bundle: Path):
    bundle = load(text_bundle, threads=1)
    together = bundle.predict(rows)
    assert together.answers == [bundle.predict([row]).answers[0] for row in rows]


@slow_fixture
@given(kinds=st.lists(st.sampled_from(["light", "dark", "broken", "absent"]), max_size=40))
def test_unreadable_images_keep_their_place(kinds: list[str], image_bundle: Path, tmp_path: Path):
    PIL.Image.new("RGB", (3, 3), (255, 255, 255)).save(tmp_path / "light.png")
    PIL.Image.new("RGB", (3, 3)).save(tmp_path / "dark.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    found = load(image_bundle).predict([tmp_path / f"{kind}.png" for kind in kinds])
    expected = {"light": "billing", "dark": "card", "broken": None, "absent": None}
    reasons = {"broken": "not an image", "absent": "no such file"}
    assert found.answers == [expected[kind] for kind in kinds]
    assert found.reasons == {i: reasons[k] for i, k in enumerate(kinds) if k in reasons}


def test_many_rows_go_through_in_parts(table_bundle: Path):
    sizes = np.random.default_rng(0).permutation(10_000)
    found = load(table_bundle).predict({"size": sizes, "colour": ["red"] * 10_000})
    assert found.answers == sizes.tolist()


class Overflowing:
    """A graph whose second row runs over."""

    def run(self, names: list[str], arrays: dict[str, Any]) -> list[Any]:
        scores = arrays["numbers"][:, :1].copy()
        scores[1] = np.inf
        return [scores]


def test_scores_that_are_not_finite_are_no_answers(table_bundle: Path):
    bundle = replace(load(table_bundle), session=Overflowing())
    found = bundle.predict({"size": [1, 2, 3], "colour": ["red"] * 3})
    assert found.answers == [1, None, 3]
    assert found.reasons == {1: "the model gave no finite score"}


HEAVY = ("torch", "transformers", "polars", "sklearn", "pandas", "scipy", "onnx", "lightgbm")


def test_predicting_imports_nothing_heavy(text_bundle: Path, table_bundle: Path):
    code = (
        "import sys, metier\n"
        f"print(metier.load({str(text_bundle)!r}).predict(['lost card']).answers)\n"
        f"print(metier.load({str(table_bundle)!r}).predict([{{'size': 2}}]).answers)\n"
        f"print([name for name in {(*HEAVY, 'PIL', 'tokenizers')!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['card']", "[1.0]", "[]"]


def test_predicting_images_imports_nothing_heavy(image_bundle: Path, tmp_path: Path):
    PIL.Image.new("RGB", (3, 3)).save(tmp_path / "dark.png")
    picture = str(tmp_path / "dark.png")
    code = (
        "import sys, metier\n"
        f"print(metier.load({str(image_bundle)!r}).predict([{picture!r}]).answers)\n"
        f"print([name for name in {(*HEAVY, 'tokenizers')!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['card']", "[]"]
