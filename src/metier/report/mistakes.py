"""The worst mistakes, with their inputs as a person can look at them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.data.sensitive import at_rows
from metier.data.table import row_numbers
from metier.report.content import Mistake
from metier.runtime.postprocess import Decision
from metier.runtime.selective import confidence
from metier.search.race import Race
from metier.search.records import Candidate
from metier.types import Floats, Table

MOST_MISTAKES = 12
THUMBNAIL = 192
WORDS = 600


def find_mistakes(race: Race, chosen: Candidate, decision: Decision) -> tuple[Mistake, ...]:
    """Return the out-of-fold rows of the training data that were answered worst."""
    rows = np.sort(np.concatenate([race.split.folds[k].valid for k in sorted(chosen.folds)]))
    scores, targets = race.scores(chosen, rows), race.targets[rows]
    places, sure = worst(scores, targets, at_rows(decision, race.table.take(rows)))
    if not len(places):
        return ()
    numbers = row_numbers(race.table)
    shown = race.table.take(rows[places])
    inputs = _shown(shown)
    answers = at_rows(decision, shown).answers(scores[places])
    return tuple(
        Mistake(
            row=int(numbers[rows[i]]),
            inputs=inputs[k],
            truth=_told(race, targets[i]),
            answer=_written(answers[k]),
            probability=None if sure is None else float(sure[k]),
        )
        for k, i in enumerate(places)
    )


def worst(
    scores: Floats, targets: NDArray[Any], decision: Decision
) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
    """Return the places of the worst answers, and how sure each was where that is one number: the
    probability of the answer that was given."""
    if decision.kind == "regression":
        return np.argsort(-np.abs(scores[:, 0] - targets))[:MOST_MISTAKES], None
    choices = decision.choices(scores)
    if decision.kind == "multilabel":
        chances = decision.probabilities(scores)
        wrong = (choices != targets).any(axis=1)
        surest = np.where(targets > 0, 1 - chances, chances).max(axis=1)
    else:
        wrong = choices != targets
        surest = confidence(scores, decision)
    places = np.argsort(-np.where(wrong, surest, -1.0), kind="stable")[:MOST_MISTAKES]
    places = places[wrong[places]]
    return places, None if decision.kind == "multilabel" else surest[places]


def _told(race: Race, target: Any) -> str:
    labels = race.task.labels
    if race.task.kind == "regression":
        return f"{float(target):.6g}"
    if race.task.kind == "multilabel":
        return ", ".join(labels[j] for j in np.flatnonzero(target)) or "none"
    return labels[int(target)]


def _written(answer: Any) -> str:
    if isinstance(answer, float):
        return f"{answer:.6g}"
    return ", ".join(answer) or "none" if isinstance(answer, list) else str(answer)


def _shown(table: Table) -> list[dict[str, str]]:
    """The inputs of a few rows as a person can look at them."""
    columns = table.columns()
    kinds = table.roles.inputs
    return [
        {
            name: _thumbnail(values[i]) if kinds[name] == "image" else _short(values[i])
            for name, values in columns.items()
        }
        for i in range(len(table))
    ]


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= WORDS else text[: WORDS - 1] + "…"


def _thumbnail(path: Any) -> str:
    from metier.runtime.images import open_image

    try:
        image = open_image(path)
    except (ValueError, TypeError) as error:
        return str(error)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
