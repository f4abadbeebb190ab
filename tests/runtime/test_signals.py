"""What is watched of rows, cheaply, and of images whatever they were normalised to."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from metier.runtime.both import Both
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.histograms import Histograms
from metier.runtime.images import Image
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Columns, Preprocess
from metier.runtime.signals import (
    Eye,
    Signals,
    Watched,
    columns_read,
    hashed_words,
    joined,
    of_scores,
    vocabularies,
)

SIZE = ColumnSpec("size", "number", "raw")
COLOUR = ColumnSpec("colour", "category", "code", ("red", "blue"))
OF_SIZE, OF_PHOTO = InputColumn("size", "number"), InputColumn("photo", "image")
PICTURE = Image("photo", ("exact", 16, 16), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def watch(inner: Preprocess, columns: Columns, *named: InputColumn) -> Signals:
    seen: list[Signals] = []
    eye = Eye(columns_read(named, inner.spec()), inner.spec())
    watched = Watched(inner, eye, seen.append)
    plain, found = inner.encode(columns), watched.encode(columns)
    assert plain.reasons == found.reasons and watched.spec() == inner.spec()
    return joined(seen)


def test_columns_that_the_model_does_not_read_are_not_watched() -> None:
    columns = {"size": [1, None, "x"], "colour": ["red", "green", None], "other": [1, 2, 3]}
    other, colour = InputColumn("other", "number"), InputColumn("colour", "category")
    found = watch(Numbers((SIZE, COLOUR)), columns, other, OF_SIZE, colour)
    assert list(found.numbers) == ["size"] and list(found.categories) == ["colour"]
    np.testing.assert_array_equal(found.numbers["size"], [1, np.nan, np.nan])
    assert found.categories["colour"] == ["red", "green", None]


def test_categories_are_watched_in_the_spelling_of_training() -> None:
    flag = ColumnSpec("flag", "category", "onehot", ("True", "False"))
    floor = ColumnSpec("floor", "category", "code", ("1", "2"))
    columns = {"flag": [True, "false", "TRUE", None], "floor": [1.0, "2.0", "02", 3]}
    named = [InputColumn("flag", "category"), InputColumn("floor", "category")]
    found = watch(Numbers((flag, floor)), columns, *named).categories
    assert found["flag"] == ["True", "False", "True", None]
    assert found["floor"] == ["1", "2", "02", "3"]


def test_known_categories_are_those_of_all_encodings() -> None:
    more = ColumnSpec("colour", "category", "onehot", ("green",))
    assert vocabularies(Numbers((SIZE, COLOUR, more)).spec()) == {
        "colour": frozenset({"red", "blue", "green"})
    }


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_light_is_measured_whatever_the_network_makes_of_it(channels: str) -> None:
    pictures = [PIL.Image.new("RGB", (20, 20), colour) for colour in ("white", "red", "black")]
    inner = Image(
        "photo", ("exact", 16, 16), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), channels=channels
    )
    columns = {"photo": [*pictures, b"broken"]}
    found = watch(inner, columns, OF_PHOTO).numbers
    assert found["photo: brightness"] == pytest.approx([1, 1 / 3, 0, np.nan], nan_ok=True, abs=1e-5)
    assert found["photo: warmth"] == pytest.approx([0, 1, 0, np.nan], nan_ok=True, abs=1e-5)
    assert found["photo: detail"][:3] == pytest.approx([0, 0, 0], abs=1e-6)


def test_parts_side_by_side_are_told_apart() -> None:
    both = Both((Numbers((SIZE,)), PICTURE))
    columns = {"size": [3.0, 4.0], "photo": [PIL.Image.new("RGB", (9, 9), "white"), b""]}
    found = watch(both, columns, OF_SIZE, OF_PHOTO).numbers
    assert found["size"].tolist() == [3.0, 4.0]
    assert found["photo: brightness"] == pytest.approx([1, np.nan], nan_ok=True, abs=1e-5)


def test_histograms_tell_light_and_colour() -> None:
    pictures = [PIL.Image.new("RGB", (20, 20), colour) for colour in ("white", "red", "black")]
    found = watch(Histograms("photo", 16), {"photo": pictures}, OF_PHOTO).numbers
    white, red, black = found["photo: brightness"]
    assert (white, black) == pytest.approx((2, 0), abs=1e-3) and red > 1
    assert found["photo: saturation"] == pytest.approx([0, 2, 0], abs=1e-3)


def test_words_are_hashed_without_case_and_ideographs_in_pairs() -> None:
    assert hashed_words("Card CARD, 12!").tolist() == hashed_words("card card").tolist()
    assert len(hashed_words("日本語")) == 2 and len(hashed_words("")) == 0
    assert len(hashed_words("half \ud800 pair")) == 2


def test_answers_have_a_label_and_a_confidence() -> None:
    two = of_scores(np.array([[0.0, 2.0], [3.0, 0.0]]), Decision("binary", ("no", "yes")))
    assert two.categories["prediction"] == ["yes", "no"]
    assert two.numbers["confidence"] == pytest.approx([0.8808, 0.9526], abs=1e-4)
    several = of_scores(np.array([[4.0, 4.0], [-4.0, -4.0]]), Decision("multilabel", ("a", "b")))
    assert several.categories["prediction"] == ["a + b", "(none)"]
    assert several.numbers["confidence"] == pytest.approx([0.982, 0.982], abs=1e-3)
    value = of_scores(np.array([[2.5]]), Decision("regression"))
    assert value.numbers["prediction"].tolist() == [2.5] and len(value) == 1
