"""The section on more labels, from a learning curve."""

from __future__ import annotations

import json

import numpy as np

from metier.evidence.morelabels import MoreLabels, look_ahead
from metier.report.content import more_from_json, to_json
from metier.report.document import Figures, Grid
from metier.report.morelabels import morelabels_section
from metier.runtime.postprocess import Decision


def found() -> MoreLabels:
    rng = np.random.default_rng(0)
    truth, luck = rng.integers(0, 3, 500), rng.uniform(size=500)
    scores = [np.eye(3)[np.where(luck < e, (truth + 1) % 3, truth)] for e in (0.4, 0.3, 0.22)]
    sizes = [50, 100, 200]
    made = look_ahead(
        "accuracy", "finetune-top-0", truth, scores, sizes, Decision("multiclass", ("a", "b", "c"))
    )
    assert made is not None
    return made


def test_the_curve_is_drawn_and_listed() -> None:
    section = morelabels_section(found())
    (drawing, _), *_ = next(b for b in section.blocks if isinstance(b, Figures)).drawn
    assert drawing.count("<circle") == 5 and ">400<" in drawing and ">800<" in drawing
    grid = next(b for b in section.blocks if isinstance(b, Grid))
    assert [row[0] for row in grid.rows][2:] == ["200", "400 (expected)", "800 (expected)"]


def test_it_comes_back_from_json() -> None:
    made = found()
    assert more_from_json(json.loads(json.dumps(to_json(made)))) == made
