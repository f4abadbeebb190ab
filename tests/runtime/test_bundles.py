"""Bundles of earlier versions load, and answer what they answered when they were made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import metier

KEPT = sorted((Path(__file__).parents[1] / "bundles").glob("v*"))


def test_there_are_bundles_of_the_first_version() -> None:
    assert {folder.name for folder in KEPT} >= {"v1-text", "v1-terms", "v1-table"}


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_it_answers_as_it_did(folder: Path) -> None:
    written = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    bundle = metier.load(folder, expect=written["digest"])
    found = bundle.predict(written["rows"])
    assert found.answers == written["answers"]
    np.testing.assert_allclose(found.probabilities, written["probabilities"], atol=1e-5)
