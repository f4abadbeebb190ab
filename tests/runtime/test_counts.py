"""Term counts against scikit-learn, and the arrays of a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metier.runtime.counts import Tfidf
from metier.runtime.preprocess import restore

TEXTS = ["Lost my card", "my card, MY card!", "", "Übergrößen & 5 €", "card card card lost"]


@pytest.mark.parametrize("sublinear", [True, False])
@pytest.mark.parametrize("characters", [None, (2, 4)])
def test_weights_equal_those_of_scikit_learn(sublinear: bool, characters: tuple[int, int] | None):
    sklearn = pytest.importorskip("sklearn.feature_extraction.text")
    empty = Tfidf(("t",), characters=characters, sublinear=sublinear)
    learner = sklearn.TfidfVectorizer(analyzer=empty.terms, sublinear_tf=sublinear, min_df=1)
    expected = learner.fit_transform(TEXTS).toarray()
    vocabulary = tuple(learner.get_feature_names_out())
    fitted = replace(empty, vocabulary=vocabulary, idf=tuple(learner.idf_.tolist()))
    arrays = fitted.collate([e for e in fitted.encode({"t": TEXTS}).examples if e is not None])
    found = np.zeros_like(expected)
    for row, terms, weights in zip(found, arrays["terms"], arrays["weights"], strict=True):
        np.add.at(row, terms, weights)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_padding_weighs_nothing_and_unknown_terms_are_dropped():
    tfidf = Tfidf(("t",), ("card", "lost"), (1.0, 2.0), words=(1, 1))
    examples = [e for e in tfidf.encode({"t": ["lost card", "nothing", None]}).examples if e]
    arrays = tfidf.collate(examples)
    assert arrays["terms"].tolist() == [[0, 1], [0, 0], [0, 0]]
    assert arrays["weights"][1:].tolist() == [[0, 0], [0, 0]]
    assert arrays["weights"][0] == pytest.approx([1 / 5**0.5, 2 / 5**0.5])
    assert [tfidf.cost(e) for e in examples] == [2, 1, 1]
    assert tfidf.collate(examples[1:])["terms"].shape == (2, 1)


def test_terms_of_characters_are_not_words():
    tfidf = Tfidf(("t",), characters=(3, 3))
    assert set(tfidf.terms("abc")) == {"abc", "\t ab", "\tabc", "\tbc "}
    assert Tfidf(("t",), words=None).terms("abc") == []


def test_long_text_is_cut():
    assert Tfidf(("t",), words=(1, 1), longest=7).terms("aa bb cc dd") == ["aa", "bb", "c"]


def test_spec_and_files_restore_the_same_value(tmp_path: Path):
    tfidf = Tfidf(("t",), ("é", "b c"), (1.5, 2.25), characters=(2, 3), sublinear=False)
    for name, content in tfidf.files().items():
        (tmp_path / name).write_bytes(content)
    assert restore(json.loads(json.dumps(tfidf.spec())), tmp_path) == tfidf


def test_lengths_must_agree():
    with pytest.raises(ValueError):
        Tfidf(("t",), ("a",), ())
