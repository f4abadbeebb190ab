"""The rows of an explanation as games: read, taken from the data given, with a model to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metier.data.known import Known
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.table import build_table, row_numbers
from metier.deploy.additive import Additive, read_terms
from metier.errors import DataError, MetierError, OptionError
from metier.evidence.explanations.players import Game, Target, parts_of
from metier.evidence.explanations.regions import seen_by
from metier.evidence.robustness.aims import of_rows
from metier.road.trust.truth import truth_of
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.runtime.session import Bundle
from metier.runtime.signals import columns_read, date_formats
from metier.training.weights import READERS
from metier.types import Finding, Floats, Kind, Modality, Model, Roles, Rows, Table

POOL = 256
"""Rows that are looked at, at most: those shown, and others at random."""
DRAWS = 12
"""Rows that stand in for absent cells of a table."""


@dataclass(frozen=True)
class Games:
    """Rows of the data given as games.

    Args:
        path: where the bundle lies.
        bundle: the bundle.
        table: the rows in the pool; the first `shown` of them are those to show.
        numbers: where each stood in the data given (0-based).
        truth: what the data say of each, written as an answer is; None where they say nothing.
        shown: how many are to be shown.
        seed: where random numbers start.
        decision: how scores become answers, for exactly these rows.
        findings: what was odd about the rows.
    """

    path: Path
    bundle: Bundle
    table: Table
    numbers: Rows
    truth: tuple[str | None, ...]
    shown: int
    seed: int
    decision: Decision
    findings: tuple[Finding, ...] = ()

    @property
    def modality(self) -> Modality:
        """What the bundle reads above all."""
        return self.table.roles.modality

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        return self.table.columns()

    @cached_property
    def scores(self) -> Floats:
        """The bundle's scores of all rows in the pool."""
        return self.bundle.scores(self.columns)

    @cached_property
    def answers(self) -> list[Any]:
        return self.decision.answers(self.scores)

    @cached_property
    def _asked(self) -> Bundle:
        """The bundle as it answers to pictures that were looked at already."""
        return replace(self.bundle, preprocess=seen_by(self.bundle.preprocess)[0])

    @cached_property
    def _made(self) -> dict[int, Game]:
        return {}

    def game(self, place: int) -> Game:
        """Return the row at a place of the pool as a game."""
        if place not in self._made:
            self._made[place] = self._make(place)
        return self._made[place]

    def _make(self, place: int) -> Game:
        kinds = self.table.roles.inputs
        others = self._others(place) if set(kinds.values()) - {"text", "image"} else [place]
        look = seen_by(self.bundle.preprocess)[1]
        return Game(
            row=int(self.numbers[place]),
            parts=parts_of(self.columns, place, kinds, others, look),
            score=self._asked.scores,
            target=self.target(place),
            draws=len(others),
        )

    def _others(self, place: int) -> list[int]:
        rest = np.setdiff1d(np.arange(len(self.table)), [place])
        if not len(rest):
            raise DataError(
                "one row: explaining a table needs others that stand in for what is taken away; "
                "give more rows, and choose with --rows"
            )
        rng = np.random.default_rng(self.seed)
        chosen: list[int] = rng.permutation(rest)[:DRAWS].tolist()
        return chosen

    def target(self, place: int) -> Target:
        """Return what is explained of a row: the label that was answered (of several labels the
        likeliest), or the number."""
        decision = of_rows(self.decision, np.array([place]))
        own = self.scores[place : place + 1]
        if decision.kind == "regression":
            spread = float(np.nanstd(self.scores)) or 1.0
            return Target(decision, 0, spread)
        if decision.kind == "multilabel":
            return Target(decision, int(decision.probabilities(own)[0].argmax()))
        return Target(decision, int(decision.choices(own)[0]))

    @cached_property
    def glass(self) -> Additive | None:
        """The curves that the bundle is made of; None for one that is no glass box."""
        return read_terms(self.bundle.session, self.bundle.preprocess)

    @property
    def has_weights(self) -> bool:
        """Whether weights lie beside the bundle."""
        folder = self._folder.resolve().parent / "weights"
        return any((folder / name).is_file() for name in READERS)

    @property
    def _folder(self) -> Path:
        return self.path if (self.path / "metier.json").exists() else self.path / "specialist"

    @cached_property
    def model(self) -> Model | None:
        """The model of the run folder, ready to be asked for its insides; None without weights.

        Raises what `reopen` raises, and MetierError without the libraries that its form needs.
        """
        if not self.has_weights:
            return None
        try:
            from metier.training.reopen import reopen
        except ImportError as error:
            raise MetierError(f"the weights cannot be read: {error}") from error
        return reopen(self.path).model


def games_of(
    path: Path, bundle: Bundle, data: Any, rows: Sequence[int] | None, shown: int, seed: int
) -> Games:
    """Read the data and draw the pool.

    Args:
        path: where the bundle lies.
        bundle: the bundle.
        data: rows, with or without labels.
        rows: numbers of the rows to show; `shown` of them, evenly spread, when None.
        shown: how many are shown when none are named.
        seed: where random numbers start.

    Raises:
        DataError: when a column that the bundle reads is missing, or no row can be read.
        OptionError: when a row is not there.
    """
    raw = _read(data, bundle)
    _refuse_missing(raw, bundle)
    wanted = _wanted(raw, rows, shown)
    rng = np.random.default_rng(seed)
    others = rng.permutation(np.setdiff1d(np.arange(raw.frame.height), wanted))
    chosen = np.concatenate([wanted, others[: max(0, POOL - len(wanted))]]).astype(np.int64)
    kinds: dict[str, Kind] = {c.name: c.kind for c in _columns(bundle)}
    some = replace(raw, frame=raw.frame[chosen])
    table, findings = build_table(
        some, Roles(kinds, dates=date_formats(bundle.manifest.preprocess))
    )
    places = row_numbers(table)
    numbers = chosen[places]
    lost = np.setdiff1d(wanted, numbers)
    if rows is not None and len(lost):
        raise DataError(f"row {lost[0]} cannot be read: {_why(findings)}; leave it out of --rows")
    kept = tuple(
        replace(found, rows=tuple(chosen[list(found.rows)].tolist())) for found in findings
    )
    decision, told = _deciding(raw, bundle, numbers)
    games = Games(
        path, bundle, table, numbers, truth_of(raw, bundle, numbers),
        int(np.isin(numbers, wanted).sum()), seed, decision, (*kept, *told),
    )  # fmt: skip
    return _readable(games, rows is not None)


def _deciding(raw: Raw, bundle: Bundle, numbers: Rows) -> tuple[Decision, tuple[Finding, ...]]:
    """The decision for some rows of the data, each by its own group; by the common threshold, and
    said so, where the data do not tell the groups."""
    decision = bundle.manifest.decision
    if decision.groups is None:
        return decision, ()
    names = [each.name for each in decision.groups.columns]
    absent = [name for name in names if name not in raw.frame.columns]
    if absent:
        told = (
            f"The data have no column {absent[0]!r}, so what is explained is the answer by the "
            "common threshold, not by that of each group."
        )
        return decision, (Finding("common_threshold", told, level="warning"),)
    return decision.at({name: raw.frame[name][numbers].to_list() for name in names}), ()


def _readable(games: Games, named: bool) -> Games:
    """Leave out rows that the bundle gives no score."""
    good = np.asarray(np.isfinite(games.scores).all(axis=1))
    if good.all():
        return games
    if named and not good[: games.shown].all():
        row = games.numbers[int(np.flatnonzero(~good)[0])]
        raise DataError(f"row {row} cannot be read by the bundle; leave it out of --rows")
    kept = np.flatnonzero(good)
    if not len(kept):
        raise DataError("no row can be read by the bundle; see `metier predict` for the reasons")
    return replace(
        games,
        table=games.table.take(kept),
        numbers=games.numbers[kept],
        truth=tuple(games.truth[i] for i in kept),
        decision=of_rows(games.decision, kept),
        shown=int((kept < games.shown).sum()),
    )


def _read(data: Any, bundle: Bundle) -> Raw:
    """Read rows; a folder of class folders with its labels, any other folder as its images."""
    image = next((c.name for c in bundle.manifest.columns if c.kind == "image"), None)
    known = Known.of_bundle(bundle.manifest)
    if image is not None and isinstance(data, str | Path) and Path(data).is_dir():
        try:
            raw = read(data, known=known)
        except DataError:
            return read(data, expect_images_of=image, known=known)
        if image in raw.frame.columns:
            return raw
    return read(data, expect_images_of=image, known=known)


def _columns(bundle: Bundle) -> tuple[InputColumn, ...]:
    """The columns that the bundle looks at: one that it does not has no part in an answer."""
    return columns_read(bundle.manifest.columns, bundle.manifest.preprocess)


def _refuse_missing(raw: Raw, bundle: Bundle) -> None:
    missing = [c.name for c in _columns(bundle) if c.name not in raw.frame.columns]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"{raw.name}: no column {missing[0]!r}{more}, which the bundle reads; give rows with "
            "the columns that it was made from"
        )


def _wanted(raw: Raw, rows: Sequence[int] | None, shown: int) -> Rows:
    height = raw.frame.height
    if rows is None:
        return np.unique(np.linspace(0, height - 1, min(shown, height)).round().astype(np.int64))
    beyond = next((row for row in rows if not 0 <= row < height), None)
    if beyond is not None:
        raise OptionError(f"--rows {beyond}: the data have rows 0 to {height - 1}")
    if not rows:
        raise OptionError("--rows: names no row; write --rows 0,5,7")
    return np.array(list(dict.fromkeys(rows)), dtype=np.int64)


def _why(findings: Sequence[Finding]) -> str:
    reasons = [reason for found in findings for reason in found.details.get("reasons", ())]
    return str(reasons[0]) if reasons else "it is not usable"
