"""Which column plays which part, inferred from names and values, or given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from metier.data.dates import parse_dates
from metier.data.folders import IMAGE_ENDINGS
from metier.data.numbers import almost_numbers
from metier.data.raw import Raw
from metier.errors import DataError, suggest
from metier.types import Kind, Roles

TARGET_NAMES = ("label", "labels", "target", "class", "y", "outcome", "category", "intent")
Part = Literal[Kind, "id", "ignored"]
_SAMPLE = 5000
_ID_NAME = re.compile(
    r"^(id|index|uuid|guid|key|row|row_?(id|number)|unnamed: ?\d+|column_1)$"
    r"|_(id|uuid|guid)$|[a-z](Id|ID|Uuid|UUID)$"
)
_UUID = r"^\{?[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?$"
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_SPACELESS}]{{1,2}}|[^\s{_SPACELESS}]+"
"""A word; where none are set apart by spaces, every two signs are taken for one."""
_TEXT_NAME = re.compile(
    r"(^|_)(text|sentence|review|comment|message|body|description|content|question|title|query"
    r"|utterance|document|abstract|summary|subject)(_|s?$)",
    re.IGNORECASE,
)


def infer_roles(
    raw: Raw,
    *,
    target: str | Sequence[str] | None,
    group: str | None = None,
    time: str | None = None,
    sensitive: Sequence[str] = (),
    domain: str | None = None,
    given: Mapping[str, Kind] | None = None,
) -> Roles:
    """Give every column its part.

    Args:
        raw: the data as read.
        target: the column to predict, or several columns of 0 and 1; None looks for one by name.
        group: rows of one group stay on one side of every split; it is no input unless `given`.
        time: splits go forward in time along this column. It stays an input.
        sensitive: columns by which fairness is measured. They are never inputs.
        domain: column that says which domain a row is of. It is never an input.
        given: kinds of input columns that are known; inferred for the rest.

    Raises:
        DataError: a column is not there, has another part and is the target at once, is given
            twice, or holds lists where one value is needed, or nothing is left to predict from.
    """
    given = dict(given or {})
    frame = raw.frame
    targets = _find_target(frame, target)
    single = (("group", group), ("time", time), ("domain", domain))
    for role, names in (*((role, [name]) for role, name in single), ("sensitive", sensitive)):
        for name in names:
            if name is not None:
                _must_have(frame, name, role)
                _refuse_target(name, targets, role)
                _refuse_nested(frame[name], role)
    for name, kind in given.items():
        _must_have(frame, name, "given")
        if kind not in get_args(Kind):
            raise DataError(
                f"column {name!r}: unknown kind {kind!r}{suggest(kind, get_args(Kind))}"
            )
    inputs: dict[str, Kind] = {}
    ids: list[str] = []
    ignored: list[str] = []
    for column in frame:
        name = column.name
        if name in (*targets, *sensitive, domain) or (name == group and name not in given):
            continue
        part: Part = given.get(name) or infer_part(column, raw.base)
        if part == "id":
            ids.append(name)
        elif part == "ignored":
            ignored.append(name)
        else:
            inputs[name] = part
    _need_inputs(inputs, ids, ignored, targets)
    return Roles(
        inputs, targets, group, time, tuple(ids), tuple(sensitive), tuple(ignored), domain=domain
    )


def infer_part(column: pl.Series, base: Path | None = None) -> Part:
    """Return the kind of an input column, or `id` or `ignored` for one that is none."""
    known = column.drop_nulls()
    if known.dtype == pl.Null or known.dtype.is_nested() or known.n_unique() <= 1:
        return "ignored"
    if _is_id(column, known):
        return "id"
    if known.dtype == pl.Boolean:
        return "category"
    if known.dtype.is_numeric():
        return "category" if _ID_NAME.search(column.name) else "number"
    if known.dtype.is_temporal():
        return "ignored" if known.dtype in (pl.Duration, pl.Time) else "date"
    return _part_of_strings(column.name, known, base)


def _part_of_strings(name: str, known: pl.Series, base: Path | None) -> Part:
    sample = known.gather_every(max(1, len(known) // _SAMPLE))
    if _are_images(sample, base):
        return "image"
    if parse_dates(sample) is not None and parse_dates(known) is not None:
        return "date"
    numbers = almost_numbers(known)
    if numbers is not None and numbers.odd and not numbers.digits:
        return "number"
    part = _part_of_words(name, known, sample)
    return "number" if numbers is not None and part in ("id", "text") else part


def _part_of_words(name: str, known: pl.Series, sample: pl.Series) -> Part:
    words = float(sample.str.count_matches(_WORD).to_numpy().mean())
    length = float(sample.str.len_chars().to_numpy().mean())
    distinct = known.n_unique()
    share = distinct / len(known)
    named = _TEXT_NAME.search(name) is not None
    if named and (words >= 2 or share > 0.5):
        return "text"
    if (words >= 3 and share > 0.2) or (words >= 6 and distinct > 50) or length > 80:
        return "text"
    if words < 1.5 and share > 0.95 and distinct >= 20 and _are_plain(sample):
        return "id"
    return "category"


def _are_plain(sample: pl.Series) -> bool:
    """Tell whether most cells are written in the signs in which programs write keys."""
    return 2 * int(sample.str.contains(r"^[\x00-\x7f]*$").sum()) > len(sample)


def _are_images(sample: pl.Series, base: Path | None) -> bool:
    endings = sample.str.to_lowercase().str.extract(r"(\.[a-z]+)$")
    if int(endings.is_in(list(IMAGE_ENDINGS)).sum()) < 0.9 * len(sample):
        return False
    found = [Path(v).is_file() if base is None else (base / v).is_file() for v in sample.head(50)]
    if not any(found):
        where = "the working folder" if base is None else str(base)
        raise DataError(
            f"column {sample.name!r} holds image paths such as {sample[0]!r}, but none is there: "
            f"write them relative to {where}"
        )
    return True


def _is_id(column: pl.Series, known: pl.Series) -> bool:
    unique = known.n_unique() == len(column)
    if known.dtype.is_integer() or known.dtype == pl.String:
        if unique and _ID_NAME.search(column.name):
            return True
        if known.dtype == pl.String and unique and len(known) > 1:
            return bool(known.head(200).str.contains(_UUID).all())
    return False


def _find_target(frame: pl.DataFrame, target: str | Sequence[str] | None) -> tuple[str, ...]:
    if target is not None:
        names = (target,) if isinstance(target, str) else tuple(target)
        for place, name in enumerate(names):
            _must_have(frame, name, "target")
            if name in names[:place]:
                raise DataError(f"column {name!r} is given twice as the target: name it once")
            if len(names) > 1:
                _refuse_nested(frame[name], "target")
        return names
    found = [name for name in frame.columns if name.lower() in TARGET_NAMES]
    surest = [name for name in found if name.lower() in TARGET_NAMES[:3]]
    if len(found) != 1 and len(surest) == 1:
        found = surest
    if len(found) == 1:
        return (found[0],)
    reason = f"could be any of {', '.join(found)}" if found else "is not clear"
    raise DataError(
        f"the column to predict {reason}: name it with --target "
        f"(columns: {', '.join(frame.columns)})"
    )


def _must_have(frame: pl.DataFrame, name: str, role: str) -> None:
    if name not in frame.columns:
        raise DataError(f"no column {name!r} for {role}{suggest(name, frame.columns)}")


def _refuse_target(name: str, targets: tuple[str, ...], role: str) -> None:
    if name in targets:
        raise DataError(
            f"column {name!r} is the target, so it cannot be the {role} column too: name another"
        )


def _refuse_nested(column: pl.Series, role: str) -> None:
    if column.dtype.is_nested():
        raise DataError(
            f"column {column.name!r} holds lists or objects, so it cannot be a {role} column: give "
            "one value in each row"
        )


def _need_inputs(
    inputs: Mapping[str, Kind], ids: list[str], ignored: list[str], targets: tuple[str, ...]
) -> None:
    if inputs:
        return
    left = [f"{name} (an id)" for name in ids] + [f"{name} (constant)" for name in ignored]
    told = f": {', '.join(left)}" if left else ""
    raise DataError(
        f"nothing to predict {', '.join(targets)} from{told}: add a column that varies from row "
        "to row"
    )
