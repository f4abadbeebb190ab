"""All of who is served worse, where rows belong together."""

from __future__ import annotations

import numpy as np
import polars as pl

from metier.evidence.answers import answers_of
from metier.evidence.fairness.served import Served, serve
from metier.runtime.postprocess import Decision
from metier.types import Roles, Table


def served(group: str | None) -> Served:
    """Fifty persons of forty rows each; sex and height are theirs, answers are right by person."""
    random = np.random.default_rng(0)
    who = np.repeat(np.arange(50), 40)
    right = (random.random(2000) >= random.beta(2, 8, 50)[who]).astype(int)
    frame = pl.DataFrame(
        {
            "who": who,
            "sex": np.array(["f", "m"])[random.integers(0, 2, 50)][who],
            "height": random.normal(size=50)[who],
            "weight": random.normal(size=50)[who],
        }
    )
    roles = Roles({"height": "number", "weight": "number"}, group=group, sensitive=("sex",))
    answers = answers_of(
        np.ones(2000, int), np.eye(2)[right] * 1.0, Decision("binary", ("no", "yes"))
    )
    return serve(answers, Table(frame, roles), on="test rows")


def test_rows_of_one_person_are_one_piece_of_evidence() -> None:
    by_rows, by_person = served(None), served("who")
    assert by_rows.proxies[0].level == "warning" and by_person.proxies[0].level == "info"
    assert "50 groups" in by_person.proxies[0].verdict
    for rows, persons in zip(by_rows.groups, by_person.groups, strict=True):
        (narrow, *_), (wide, *_) = rows.measures, persons.measures
        assert wide.low < narrow.low <= narrow.value == wide.value <= narrow.high < wide.high
    assert by_rows.disparities[0].level == "warning"
    assert by_person.disparities[0].level == "info"
    assert by_rows.slices[-1].value and by_person.slices[-1].value == 0
    assert "in 25 groups" in by_person.slices[-1].verdict
