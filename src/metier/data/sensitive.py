"""Columns by which people are grouped: which they are, and where the groups of a number begin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from metier.errors import DataError, OptionError, suggest
from metier.runtime.groups import GroupColumn
from metier.runtime.postprocess import Decision
from metier.types import Roles, Table

MOST_GROUPS = 50
"""Values of a column beyond which it names rows rather than groups."""
MOST_NUMBERS = 8
"""Distinct numbers up to which each is a group of its own; more are cut at quantiles."""
QUANTILES = (0.25, 0.5, 0.75)


def split_cuts(
    asked: Sequence[str], columns: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """Return the sensitive columns that were asked for, and the cuts that were given.

    ``age:25,60`` is the column age, cut at 25 and at 60. Raises DataError for a column that is not
    there or is named twice, and OptionError for cuts that do not rise.

    >>> split_cuts(["sex", "age:25,60"], ["age", "sex"])
    (('sex', 'age'), {'age': (25.0, 60.0)})
    """
    names: list[str] = []
    cuts: dict[str, tuple[float, ...]] = {}
    for each in asked:
        name, colon, given = (each, "", "") if each in columns else each.rpartition(":")
        name = name if colon or each in columns else each
        if name not in columns:
            raise DataError(f"no column {name!r} for sensitive{suggest(name, columns)}")
        if name in names:
            raise OptionError(f"--sensitive {each}: {name} is given twice; give it once")
        names.append(name)
        if colon:
            cuts[name] = _cuts(each, given)
    return tuple(names), cuts


def _cuts(asked: str, given: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in given.split(","))
    except ValueError:
        found = ()
    rising = list(found) == sorted(set(found)) and all(math.isfinite(v) for v in found)
    if not found or not rising:
        raise OptionError(
            f"--sensitive {asked}: {given!r} are no cuts; write rising numbers, such as age:25,60"
        )
    return found


def with_cuts(roles: Roles, frame: pl.DataFrame, given: Mapping[str, tuple[float, ...]]) -> Roles:
    """Return roles that know where the groups of sensitive numbers begin: at the cuts given, else
    at the quartiles of these rows.

    Raises DataError for a column that makes no groups: a single value, or one for nearly every row.
    """
    cuts = {name: given.get(name) or _quartiles(frame[name]) for name in roles.sensitive}
    found = replace(roles, cuts={name: each for name, each in cuts.items() if each})
    for name in roles.sensitive:
        _refuse_no_groups(frame[name], found.cuts.get(name, ()))
    return found


def groups_of(table: Table) -> dict[str, list[str]]:
    """Return the group of each row by each sensitive column."""
    cuts = table.roles.cuts
    return {
        name: GroupColumn(name, cuts.get(name, ())).of(table.frame[name].to_list())
        for name in table.roles.sensitive
    }


def at_rows(decision: Decision, table: Table) -> Decision:
    """Return the decision for the rows of a table: each by its own group.

    A column of groups that the table lacks is missing in every row, as it is at predict.
    """
    if decision.groups is None:
        return decision
    frame, empty = table.frame, [None] * len(table)
    names = [each.name for each in decision.groups.columns]
    return decision.at(
        {name: frame[name].to_list() if name in frame.columns else empty for name in names}
    )


def _quartiles(column: pl.Series) -> tuple[float, ...]:
    if not column.dtype.is_numeric() or column.n_unique() <= MOST_NUMBERS:
        return ()
    known = column.drop_nulls().cast(pl.Float64).drop_nans().to_numpy()
    if not len(known):
        return ()
    return tuple(float(v) for v in np.unique(np.quantile(known, QUANTILES, method="nearest")))


def _refuse_no_groups(column: pl.Series, cuts: tuple[float, ...]) -> None:
    name = column.name
    if cuts and not column.dtype.is_numeric():
        raise DataError(
            f"column {name!r} holds no numbers, so it cannot be cut; leave the cuts out"
        )
    known = column.drop_nulls()
    if column.n_unique() < 2:
        told = f"one value only ({known[0]!r})" if len(known) else "no value at all"
        raise DataError(f"column {name!r}: {told}, so it makes no groups; name another column")
    if not cuts and known.n_unique() > MOST_GROUPS:
        raise DataError(
            f"column {name!r} has {known.n_unique():,} values, which are no groups: put them into "
            f"at most {MOST_GROUPS}"
        )
    if column.dtype.is_nested() or column.dtype.is_temporal():
        raise DataError(f"column {name!r} holds neither names nor numbers: put it into groups")
