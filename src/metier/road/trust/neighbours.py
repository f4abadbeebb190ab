"""The training rows near to the rows of an explanation, from the run folder only."""

from __future__ import annotations

import json
import shlex
import tomllib
from typing import Any

import numpy as np

from metier.cache import fingerprint
from metier.data.known import Known
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.table import build_table, row_numbers
from metier.errors import InputError, MetierError
from metier.evidence.explanations.explained import Nearest, Neighbour
from metier.road.labelled import target_of
from metier.road.trust.games import Games
from metier.search.clock import Clock
from metier.types import Floats, Model, Roles, Table, batches_of

NEAR = 3
"""Training rows for each row shown."""
AT_ONCE = 256
"""Training rows that are looked at before the clock is."""
LONGEST = 300


def find_nearest(games: Games, train: Any, clock: Clock) -> Nearest:
    """Return the nearest training rows of the rows shown, or why there are none.

    Args:
        games: the rows, and the model of the run folder.
        train: the rows that the model learned from; looked for when None.
        clock: as many of them, in random order, are looked at as there is time for.

    Raises InputError when rows were given and cannot be used.
    """
    try:
        model = games.model
    except MetierError as error:
        return _none(str(error))
    if model is None:
        return _none("they need the weights of a run folder, and this is a bundle alone")
    try:
        raw = _given_or_found(games, train)
    except InputError:
        if train is not None:
            raise
        raw = None
    if raw is None:
        return _none(
            "the file that the run learned from is not where it was, or has changed; give it with "
            "--train"
        )
    table = _table(games, raw)
    return _among(games, model, table, clock)


def _among(games: Games, model: Model, table: Table, clock: Clock) -> Nearest:
    from metier.training.nearest import nearest, nearness

    shown = games.table.take(range(games.shown))
    order = np.random.default_rng(games.seed).permutation(len(table))
    parts: list[Floats] = []
    told = ""
    for rows in batches_of(len(table), AT_ONCE):
        if parts and clock.left < 1.0:
            break
        found = nearness(model, shown, table.take(order[rows]))
        if found is None:
            return _none(f"a {model.form} model has no measure of likeness")
        parts.append(found[0])
        told = found[1]
    likeness = np.concatenate(parts, axis=1)
    if likeness.shape[1] < len(table):
        told = f"{told}; there was time for {likeness.shape[1]} of {len(table)} training rows"
    return Nearest(
        told,
        {
            int(games.numbers[i]): tuple(
                _neighbour(table, int(order[place]), float(likeness[i, place])) for place in own
            )
            for i, own in enumerate(nearest(likeness, NEAR))
        },
        tuple(name for name, kind in games.table.roles.inputs.items() if kind == "image"),
    )


def _none(why: str) -> Nearest:
    return Nearest(f"No training rows are shown: {why}.", {})


def _given_or_found(games: Games, train: Any) -> Raw | None:
    """The rows that were given, or those that the run remembers, if they are still the same."""
    if train is not None:
        known = Known.of_bundle(games.bundle.manifest)
        return read(train, what="training data", known=known)
    folder = games.path.resolve()
    folder = folder if (folder / "run.toml").is_file() else folder.parent
    try:
        asked = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        data = shlex.split(result["report"]["command"])[2]
        mark, test = asked["data"]["fingerprint"], asked["options"].get("test")
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    raw = read(data)
    own = raw.fingerprint if test is None else fingerprint(raw.fingerprint, read(test).fingerprint)
    return raw if own == mark else None


def _table(games: Games, raw: Raw) -> Table:
    """The training rows as the bundle reads them."""
    kinds = games.table.roles.inputs
    target = target_of(games.bundle)
    there = target if all(t in raw.frame.columns for t in target) else ()
    separator = games.bundle.manifest.facts.get("separator")
    roles = Roles(kinds, there, dates=games.table.roles.dates, separator=separator)
    for name in kinds:
        if name not in raw.frame.columns:
            raise InputError(
                f"training data {raw.name}: no column {name!r}, which the bundle reads"
            )
    table, _ = build_table(raw, roles, games.bundle.task_kind)
    return table


def _neighbour(table: Table, place: int, likeness: float) -> Neighbour:
    columns = table.take([place]).columns()
    inputs = {name: _shown(values[0]) for name, values in columns.items()}
    truth = table.frame[place].select(table.roles.target).row(0) if table.roles.target else ()
    told = ", ".join(str(value) for value in truth)
    return Neighbour(int(row_numbers(table)[place]), likeness, told, inputs)


def _shown(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
