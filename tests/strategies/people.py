"""People of two groups, one of which is answered positive less often for the same facts."""

from __future__ import annotations

import numpy as np
import polars as pl

from metier.data.sensitive import groups_of
from metier.evidence.answers import answers_of
from metier.evidence.fairness.disparity import disparities
from metier.runtime.postprocess import Decision
from metier.types import Roles, Specialist, Table, Task


def people(n: int = 900, seed: int = 0) -> Table:
    """Rows whose label follows from `skill`, and from `town`, which speaks for `sex`."""
    random = np.random.default_rng(seed)
    sex = random.choice(["f", "m"], n)
    skill = random.normal(size=n)
    town = (sex == "m") + 0.35 * random.normal(size=n)
    hired = skill + 1.6 * (sex == "m") + 0.9 * random.normal(size=n) > 0.8
    frame = pl.DataFrame(
        {
            "sex": sex,
            "skill": skill,
            "town": town,
            "text": [f"{'tall' if t > 0.5 else 'small'} {'strong' if s > 0.6 else 'weak'}"
                     for t, s in zip(town, skill, strict=True)],
            "hired": np.where(hired, "yes", "no"),
        }
    )  # fmt: skip
    inputs: dict[str, str] = {"skill": "number", "town": "number"}
    return Table(frame, Roles(inputs, ("hired",), sensitive=("sex",)))  # type: ignore[arg-type]


def apart(made: Specialist, task: Task, rows: Table, kind: str = "parity") -> float:
    """How far the groups lie apart on some rows."""
    decision = Decision(task.kind, task.labels)
    answers = answers_of(task.encode(rows), made.scores(rows), decision)
    found = disparities(answers, groups_of(rows), resamples=50)
    return next(each.value or 0.0 for each in found if each.details["measure"] == kind)
