"""Several preprocessors side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from metier.runtime.both import Both
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.counts import Tfidf
from metier.runtime.images import Image
from metier.runtime.preprocess import restore

NUMBERS = Numbers((ColumnSpec("c", "category", "code", ("a",)),))
TERMS = Tfidf(("t",), ("x", "y"), (1.0, 1.0), words=(1, 1))


def test_arrays_are_those_of_the_parts():
    both = Both((TERMS, NUMBERS))
    found = both.encode({"t": ["x y", "y"], "c": ["a", "b"]})
    examples = [e for e in found.examples if e is not None]
    arrays = both.collate(examples)
    assert arrays["numbers"].tolist() == [[0], [-1]]
    assert arrays["terms"].tolist() == [[0, 1], [1, 0]]
    assert found.unseen == {"c": [1]}
    assert [both.cost(e) for e in examples] == [3, 2]


def test_a_row_is_read_when_all_parts_read_it():
    both = Both((NUMBERS, Image("file", ("exact", 2, 2))))
    picture = PIL.Image.fromarray(np.zeros((3, 3, 3), np.uint8))
    found = both.encode({"c": ["a", "a"], "file": [picture, None]})
    assert found.examples[1] is None
    assert found.reasons == {1: "no image given"}
    assert found.examples[0] is not None


def test_restore_and_refusal(tmp_path: Path):
    both = Both((TERMS, NUMBERS))
    for name, content in both.files().items():
        (tmp_path / name).write_bytes(content)
    assert restore(json.loads(json.dumps(both.spec())), tmp_path) == both
    with pytest.raises(ValueError, match="side by side"):
        Both((NUMBERS, NUMBERS))
    with pytest.raises(ValueError, match="unknown preprocessing 'smell'"):
        restore({"kind": "smell"}, tmp_path)
