"""Which rows of the target domain prove, and which rows may be learned from beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from metier.data.pool import FEWEST, Apart
from metier.data.raw import Raw
from metier.data.table import read_moments
from metier.errors import DataError
from metier.types import Roles

FEWEST_PROVING = 60
"""Rows of the target domain with labels from which half are kept for the proof."""


@dataclass(frozen=True)
class Halves:
    """Rows of the target domain that prove, and what may be learned from.

    Args:
        proof: labelled rows of the target domain.
        labelled: rows of the other domains.
        rest: rows of the target domain, to be learned from without labels.
        notes: what was left out, in sentences.
    """

    proof: Raw
    labelled: Raw
    rest: Raw
    notes: tuple[str, ...] = ()


def proving_half(apart: Apart, roles: Roles) -> Halves | None:
    """Keep half of the labelled rows of the target domain for the proof.

    Which half a row falls into is decided by its content, so that equal rows stay together; where
    rows have groups by its group, and where they have times the later half proves. What is of a
    group of the proof, or no earlier than its first row, is then left out of training.

    None when too few have labels to prove anything. Raises DataError when nothing is left to learn
    from.
    """
    ours, others = apart.target.frame, apart.labelled.frame
    labelled = ours.select(
        ~pl.any_horizontal(pl.col(name).is_null() for name in roles.target)
    ).to_series()
    if int(labelled.sum()) < FEWEST_PROVING:
        return None
    content = ours.select(pl.struct(list(roles.inputs)).hash(seed=0)).to_series()
    half, kept, reasons = content % 2 == 0, pl.repeat(value=True, n=others.height, eager=True), []
    if roles.group is not None and roles.time is None:
        half = _half_of_groups(_names(ours, roles.group, content), labelled)
    if roles.time is not None:
        half, later = _later_half(ours[roles.time], others[roles.time], labelled, roles)
        kept = ~later
        reasons.append(f"are no earlier by {roles.time!r} than the first row of the proof")
    free = ~half if reasons else ~(half & labelled)
    proves = half & labelled
    if roles.group is not None:
        met = ours[roles.group].filter(proves).drop_nulls().unique().to_list()
        kept &= ~others[roles.group].is_in(met).fill_null(value=False)
        free &= ~ours[roles.group].is_in(met).fill_null(value=False)
        reasons.append(f"share {roles.group!r} with the proof")
    reason = " or ".join(reasons)
    if reasons and (not kept.any() or int(free.sum()) < FEWEST):
        raise DataError(
            "no row is left to learn from beside a proof in the target domain, since all the "
            f"others {reason}: give --test rows of this domain"
        )
    lost = len(kept) - int(kept.sum()) + len(free) - int((free | proves).sum())
    return Halves(
        replace(apart.target, frame=ours.filter(proves)),
        replace(apart.labelled, frame=others.filter(kept)),
        replace(apart.target, frame=ours.filter(free)),
        (f"{lost:,} rows are left out of training: they {reason}",) if lost else (),
    )


def _names(frame: pl.DataFrame, group: str, content: pl.Series) -> pl.Series:
    """The group of each row; rows that have none go by their content."""
    return frame[group].cast(pl.String).fill_null(content.cast(pl.String))


def _half_of_groups(names: pl.Series, labelled: pl.Series) -> pl.Series:
    """Mark the rows of those groups, drawn by name, that have about half of the labelled rows."""
    counts = (
        pl.DataFrame({"name": names, "rows": labelled.cast(pl.Int64)})
        .group_by("name")
        .agg(pl.col("rows").sum())
        .sort(pl.col("name").hash(seed=0), "name")
    )
    middle = counts["rows"].cum_sum() - counts["rows"] / 2
    drawn = counts["name"].filter(middle <= int(labelled.sum()) / 2)
    return names.is_in(drawn.to_list())


def _later_half(
    ours: pl.Series, others: pl.Series, labelled: pl.Series, roles: Roles
) -> tuple[pl.Series, pl.Series]:
    """Mark the rows of both that are from the time on at which the later half begins.

    Rows without a time are marked nowhere.
    """
    moments = read_moments(pl.concat([ours, others]), dict(roles.dates))
    own = moments.head(len(ours))
    known = own.filter(labelled).drop_nulls().sort()
    if known.is_empty() or known[0] == known[-1]:
        raise DataError(
            f"column {ours.name!r} has too few distinct times to split by: leave --time out"
        )
    start = known[len(known) // 2]
    if start == known[0]:
        start = known.filter(known > start)[0]
    late = (moments >= start).fill_null(value=False)
    return late.head(len(ours)), late.tail(len(others))
