"""Attacks on a finished specialist: crafted on its weights or scores, judged by its bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metier.errors import MetierError
from metier.evidence.compare import paired
from metier.evidence.metrics import interval
from metier.evidence.robustness.aims import Aim, of_rows
from metier.evidence.robustness.curves import Assault, Broken, Rows, adjusted
from metier.road.trust.attacked.columns import Columns
from metier.road.trust.attacked.inputs import Attackable, Way
from metier.road.trust.attacked.pictures import Pictures
from metier.road.trust.attacked.texts import Texts
from metier.runtime.images import Image
from metier.runtime.session import Bundle
from metier.runtime.text import Text
from metier.types import Finding, Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel

UNKNOWN = (
    "No attack was made: attacks are known for networks that read texts alone or pictures alone, "
    "and for tables."
)
MOST_ROWS = 500
"""Rows that are attacked at most."""
METRICS: Mapping[str, str] = {
    "binary": "accuracy",
    "multiclass": "accuracy",
    "multilabel": "subset_accuracy",
}
"""What is measured under attack; the deciding metric for numbers."""


@dataclass(frozen=True)
class Fight:
    """What attacks found on the same rows.

    Args:
        metric: what was measured.
        untouched: its value on these rows as they are.
        assaults: the attacks.
        examples: inputs that one of them broke.
        notes: what was left out, and why.
    """

    metric: str
    untouched: Finding | None = None
    assaults: tuple[Assault, ...] = ()
    examples: tuple[Broken, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Tally:
    """Scores of attacked rows, batch after batch."""

    rows: list[NDArray[np.int64]] = field(default_factory=list)
    clean: list[Floats] = field(default_factory=list)
    scores: dict[str, list[Floats]] = field(default_factory=dict)
    flat: dict[str, list[float]] = field(default_factory=dict)


def attack(
    bundle: Bundle,
    rows: Rows,
    metric: str,
    folder: Path,
    *,
    seconds: float,
    seed: int = 0,
    categories: Sequence[str] = (),
    examples: bool = False,
) -> Fight:
    """Attack a bundle on as many rows as the time allows, all attacks on the same rows.

    Args:
        bundle: what answers.
        rows: labelled rows that it did not learn from.
        metric: the deciding one, which is measured where there are no classes.
        folder: the run folder; gradients need its `weights/`.
        seconds: about how long this may take.
        seed: of the draw of the rows, of the attacks and of the intervals.
        categories: category columns of a table that may be changed.
        examples: keep a few inputs that were broken, to be shown.
    """
    metric = METRICS.get(rows.decision.kind, metric)
    preprocess = bundle.preprocess
    if isinstance(preprocess, Image):
        inputs: Attackable = Pictures(bundle, preprocess)
    elif isinstance(preprocess, Text):
        inputs = Texts(bundle, preprocess, rows)
    elif all(kind in ("number", "category", "date") for kind in rows.kinds.values()):
        inputs = Columns(bundle, rows, tuple(categories))
    else:
        return Fight(metric, notes=(UNKNOWN,))
    net, note = _net_of(folder) if inputs.gradients else (None, "")
    ways = inputs.ways(net)
    notes = (note,) if note else ()
    if not ways:
        return Fight(metric, notes=notes)
    tally = _fight(inputs, ways, rows, seconds, seed)
    return _told(inputs, ways, rows, tally, metric, seed, examples, notes)


def _fight(
    inputs: Attackable, ways: Sequence[Way], rows: Rows, seconds: float, seed: int
) -> _Tally:
    """Attack batch after batch until the time is over; one batch at least."""
    ends = time.monotonic() + seconds
    tally = _Tally()
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    for number, start in enumerate(range(0, len(order), inputs.together)):
        began = time.monotonic()
        chosen = np.sort(order[start : start + inputs.together])
        given, readable = inputs.read(rows.take(chosen))
        chosen = chosen[readable]
        if not len(chosen):
            continue
        aim = Aim(rows.truth[chosen], of_rows(rows.decision, chosen))
        tally.rows.append(chosen)
        tally.clean.append(inputs.scores(given))
        for way in ways:
            moved, flat = way.craft(given, aim, seed + number)
            tally.scores.setdefault(way.name, []).append(inputs.scores(moved))
            tally.flat.setdefault(way.name, []).append(flat * len(chosen))
            inputs.keep(way, chosen, given, moved)
        if time.monotonic() + 0.7 * (time.monotonic() - began) > ends:
            break
    return tally


def _told(
    inputs: Attackable,
    ways: Sequence[Way],
    rows: Rows,
    tally: _Tally,
    metric: str,
    seed: int,
    examples: bool,
    notes: tuple[str, ...],
) -> Fight:
    """Scores with intervals, each paired with the clean score of the same rows."""
    if not tally.rows:
        return Fight(metric, notes=(*notes, "No row could be read to be attacked."))
    chosen = np.concatenate(tally.rows)
    truth, clean = rows.truth[chosen], np.concatenate(tally.clean)
    decision = of_rows(rows.decision, chosen)
    aim = Aim(truth, decision)
    right = ~aim.wrong(clean)
    found: list[Assault] = []
    shown: tuple[Broken, ...] = ()
    for way in ways:
        scores = np.concatenate(tally.scores[way.name])
        fell = right & aim.wrong(scores)
        found.append(
            Assault(
                way.name,
                way.about,
                way.family,
                way.sees,
                way.radius,
                interval(metric, truth, scores, decision, seed=seed),
                paired(metric, truth, scores, clean, decision, decision, seed=seed),
                tuple(sorted(rows.numbers[chosen[fell]].tolist())),
                sum(tally.flat[way.name]) / len(chosen),
            )
        )
        if examples and way.name == inputs.shown:
            shown = inputs.examples(rows, chosen, fell, scores, decision)
    untouched = interval(metric, truth, clean, decision, seed=seed)
    return Fight(metric, untouched, adjusted(found), shown, notes)


def _net_of(folder: Path) -> tuple[NetModel | None, str]:
    """The net of a run folder, or why there is none."""
    try:
        from metier.training.net import NetModel
        from metier.training.reopen import reopen

        model = reopen(folder).model
    except ImportError as error:
        return None, f"Gradient attacks need torch, which is not installed ({error.name})."
    except MetierError as error:
        return None, f"No gradient attack: {error}."
    origin = getattr(model, "origin", model)
    if isinstance(origin, NetModel):
        return origin, ""
    return None, "No gradient attack: the run folder has no weights of a network beside the bundle."
