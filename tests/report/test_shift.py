"""The page section on rows without labels."""

from __future__ import annotations

import numpy as np

from metier.evidence.unlabelled.shift import measure_shift
from metier.report.document import Document, render_document
from metier.report.shift import shift_section


def test_a_shift_is_told_and_drawn() -> None:
    random = np.random.default_rng(0)
    classes = np.repeat([0, 1], 60)
    own = random.normal(size=(120, 3)) + classes[:, None]
    others = random.normal(size=(90, 3)) + np.array([2.0, 0.0, 0.0])
    shift = measure_shift(own, others, seed=0, classes=classes, names=("a<b", "c"))
    section = shift_section(shift)
    page = render_document(
        Document("metier test", "x", "2026-01-01", "neutral", "", "", "", (section,))
    )
    assert 'id="shift"' in page and "a&lt;b" in page and "a<b" not in page
    assert "p below 0.001" in page and "90 unlabelled" in page
    assert page.count("<svg") >= 2
