"""A bundle that knows its doubt: sets, intervals, empty answers and their reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from metier.errors import BundleError, OptionError
from metier.runtime import conformal, domain, reference
from metier.runtime.doubt import UNLIKE, Asked, Doubt, doubt_of, told
from metier.runtime.manifest import read_manifest, write_manifest
from metier.runtime.postprocess import Decision
from metier.runtime.selective import Selective, Step
from metier.runtime.session import Bundle, load
from metier.runtime.signals import Signals

BINARY = Decision("binary", ("card", "billing"))
TEXTS = ["I lost my card card", "invoice and money", "nothing of that", "card invoice invoice"]


def doubt_for(decision: Decision, scale: float = 1.0) -> Doubt:
    """The doubt of a model whose scores err by about `scale`."""
    random = np.random.default_rng(0)
    if decision.kind == "regression":
        values = random.normal(size=300)
        off = (values + scale * random.normal(size=300))[:, None]
        return Doubt(conformal.learn(off, values, decision))
    y = random.integers(0, 2, 300)
    scores = scale * random.normal(size=(300, 2)) + np.eye(2)[y]
    steps = (Step(0.8, 0.3, 0.0, 0.033), Step(0.6, 0.6, 0.05, 0.1))
    usual = domain.learn("binary", scores, None, None)
    return Doubt(conformal.learn(scores, y, decision), Selective(steps, 300), usual)


def with_doubt(folder: Path, doubt: Doubt, facts: Mapping[str, Any] | None = None) -> Bundle:
    """Write doubt into the manifest of a bundle, beside other facts."""
    manifest, _ = read_manifest(folder)
    known = {**(facts or {}), "doubt": doubt.to_json()}
    write_manifest(folder, replace(manifest, facts=known))
    return load(folder)


@pytest.fixture
def text(text_bundle: Path) -> Bundle:
    return with_doubt(text_bundle, doubt_for(BINARY))


def test_sets_beside_answers(text: Bundle) -> None:
    found = text.predict(TEXTS, coverage=0.9)
    plain = text.predict(TEXTS)
    assert found.answers == plain.answers and plain.sets is None
    assert found.sets is not None and found.reasons == {} and found.withheld == {}
    for own, answer in zip(found.sets, found.answers, strict=True):
        assert own is not None
        assert not own or own[0] == answer, "the likeliest first"
    larger = text.predict(TEXTS, coverage=0.99).sets
    assert larger is not None
    for own, more in zip(found.sets, larger, strict=True):
        assert set(own or ()) <= set(more or ())


def test_a_row_has_the_same_set_whatever_stands_beside_it(text: Bundle) -> None:
    whole = text.predict(TEXTS * 3, coverage=0.6).sets
    assert whole is not None
    for row, content in enumerate(TEXTS * 3):
        assert text.predict([{"text": content, "more": row}], coverage=0.6).sets == [whole[row]]


def test_answers_are_left_out_where_there_is_doubt(text: Bundle) -> None:
    found = text.predict(TEXTS, abstain=True)
    sets = text.predict(TEXTS, coverage=0.9).sets
    assert sets is not None and found.sets is None
    plain = text.predict(TEXTS).answers
    for row, own in enumerate(sets):
        if own == [plain[row]]:
            assert found.answers[row] == plain[row] and row not in found.reasons
        else:
            assert found.answers[row] is None and found.withheld[row] == plain[row]
            assert "at 90 %" in found.reasons[row]
    assert found.withheld, "this model is unsure of some of these"
    assert found.probabilities is not None
    assert np.isfinite(found.probabilities).all(), "they are told all the same"


def test_a_set_of_labels_is_named_in_the_reason() -> None:
    assert told(["b"], "b", 0.9) is None
    assert told(["b", "a"], "b", 0.95) == "set of 2 labels at 95 %: b, a"
    assert told([], "a", 0.9) == "no label is likely enough at 90 %"
    assert told(["b"], "a", 0.9) == "the answer is not in its set at 90 %, which is: b"
    assert told(list("abcdefg"), "a", 0.9) == "set of 7 labels at 90 %: a, b, c, d, e, …"
    assert told(["a", "b"], ["b", "a"], 0.9) is None
    assert told(["a", "b"], ["a"], 0.9) == "at 90 % there may also be: b"
    assert told(["a"], ["a", "b"], 0.9) == "at 90 % not likely enough: b"


def test_too_unsure_for_an_error(text: Bundle) -> None:
    found = text.predict(TEXTS, max_error=0.05)
    sure = text.predict(TEXTS).probabilities
    assert sure is not None
    for row, share in enumerate(sure.max(axis=1)):
        assert (row in found.withheld) == (share < 0.8)
    assert "an error of at most 5 % needs 80.0 %" in next(iter(found.reasons.values()))


def test_unlike_rows_are_told_first(text_bundle: Path) -> None:
    known = doubt_for(BINARY)
    strict = domain.learn("binary", np.full((200, 2), 50.0), None, None)
    found = with_doubt(text_bundle, replace(known, domain=strict)).predict(TEXTS, abstain=True)
    assert found.answers == [None] * 4 and set(found.reasons.values()) == {UNLIKE}


def test_intervals_of_numbers(table_bundle: Path) -> None:
    bundle = with_doubt(table_bundle, doubt_for(Decision("regression")))
    rows = {"size": [1.0, 2.0], "colour": ["red", "blue"]}
    found = bundle.predict(rows, coverage=0.9)
    assert found.low is not None and found.high is not None and found.sets is None
    answers = np.array(found.answers, float)
    np.testing.assert_allclose((found.low + found.high) / 2, answers, atol=1e-6)
    wider = bundle.predict(rows, coverage=0.99)
    assert wider.high is not None and (wider.high > found.high).all()
    assert bundle.predict(rows, abstain=True).answers == found.answers


def test_rows_that_cannot_be_read_have_neither_set_nor_answer(image_bundle: Path) -> None:
    bundle = with_doubt(image_bundle, doubt_for(BINARY))
    found = bundle.predict(["gone.png"], coverage=0.9, abstain=True)
    assert found.answers == [None] and found.sets == [None] and found.withheld == {}
    assert found.reasons == {0: "no such file"}


def test_images_of_which_no_features_are_known_are_not_called_unlike(image_bundle: Path) -> None:
    light = np.linspace(0.0, 1.0, 60)
    usual = reference.learn(
        Signals({"file: brightness": light}), Signals({"confidence": light + 0.5}), {}
    )
    nothing = replace(
        doubt_for(BINARY), domain=domain.learn("binary", np.zeros((0, 2)), None, None)
    )
    bundle = with_doubt(image_bundle, nothing, {"reference": usual.to_json()})
    columns = {"file": [str(image_bundle.parent / "some.png")] * 2}
    PIL.Image.new("RGB", (2, 2), (9, 9, 9)).save(columns["file"][0])
    assert bundle.reference is not None and bundle.alarm == 0
    assert bundle.unlike(columns, bundle.scored(columns, features=True)).tolist() == [False] * 2
    assert len(bundle.predict(columns, abstain=True)) == 2


def test_no_rows_at_all(text: Bundle) -> None:
    found = text.predict({"text": []}, coverage=0.9, abstain=True)
    assert found.sets == [] and len(found) == 0


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"coverage": 1.5}, "between 0 and 1"),
        ({"coverage": 0.9}, "no calibration scores; run `metier specialize` again"),
        ({"abstain": True}, "without statistics of its doubt"),
        ({"max_error": 0.1}, "does not know how often it is wrong"),
    ],
)
def test_an_older_bundle_says_what_it_lacks(
    asked: dict[str, Any], line: str, text_bundle: Path
) -> None:
    bundle = load(text_bundle)
    with pytest.raises(OptionError, match=line):
        bundle.predict(TEXTS, **asked)
    assert bundle.doubt == Doubt() and bundle.predict(TEXTS).answers


def test_too_few_rows_for_a_coverage(text: Bundle) -> None:
    with pytest.raises(OptionError, match="needs 999 calibration rows and the bundle has 300"):
        text.predict(TEXTS, coverage=0.999)


def test_json_there_and_back() -> None:
    known = doubt_for(BINARY)
    data = json.loads(json.dumps(known.to_json()))
    again = doubt_of({"doubt": data})
    assert again.to_json() == known.to_json()
    assert doubt_of({}) == Doubt() and Asked().nothing


@pytest.mark.parametrize(
    "broken", [{"conformal": {}}, {"domain": 3}, {"unknown": {}}, {"selective": {"rows": "x"}}]
)
def test_what_cannot_be_read_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="get the bundle again"):
        doubt_of({"doubt": broken})
