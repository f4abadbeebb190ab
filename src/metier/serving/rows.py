"""From the body of a request to columns; nothing that a client says is taken for a path."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from metier.errors import OptionError
from metier.runtime.doubt import Asked, Doubt
from metier.runtime.groups import GroupThresholds, told_of_strangers
from metier.runtime.manifest import InputColumn
from metier.runtime.rows import of_no_text, readable, told_of_no_text
from metier.serving.forms import read_form
from metier.serving.limits import Refused

ALLOWED: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "date": (str,),
    "number": (int, float),
    "category": (str, int, float, bool),
}
"""What a cell of JSON may be, beside null."""
WORDS = {
    "text": "a text",
    "date": "a date as text, such as 2026-03-01",
    "number": "a number",
    "category": "a text, a number, true or false",
}
BESIDE = ("abstain", "coverage", "max_error")
"""What may be asked for beside answers."""
FILES, ROWS = "files", "rows"
"""The fields of a form: the images, and the other columns of each as JSON."""


@dataclass(frozen=True)
class Request:
    """The columns of the bundle, how many rows, what was missing, and what else is asked."""

    columns: dict[str, list[Any]]
    count: int
    warnings: tuple[str, ...] = ()
    asked: Asked = field(default_factory=Asked)


@dataclass(frozen=True)
class Reader:
    """Reads the rows of requests for one bundle.

    Args:
        wanted: the columns that the bundle reads: for its model, or to tell groups.
        most: rows that one request may have.
        doubt: what the bundle knows of its doubt: what can be asked for beside answers.
        groups: the thresholds of groups, if rows are decided by their own.
    """

    wanted: tuple[InputColumn, ...]
    most: int
    doubt: Doubt = field(default_factory=Doubt)
    groups: GroupThresholds | None = None

    @property
    def image(self) -> str | None:
        """The column of images, if the model reads one."""
        return next((column.name for column in self.wanted if column.kind == "image"), None)

    def read(self, body: bytes, content_type: str) -> Request:
        """Return the columns of a request.

        Raises:
            Refused: 415 for another kind of body, 422 for one that does not fit the bundle.
        """
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "multipart/form-data" and self.image is not None:
            return self._from_form(body, content_type)
        if kind == "application/json" and self.image is not None:
            raise Refused(415, "images are sent as files: a form with a field `files` for each")
        if kind == "application/json":
            data = _json(body)
            rows = _rows_of(data)
            if unknown := sorted(data.keys() - {ROWS, *BESIDE}):
                told = f"beside `rows` there may be {', '.join(BESIDE)}"
                raise Refused(422, f"unknown field {unknown[0]!r}: {told}")
            return self._from_rows(rows, self._asked(data))
        needed = "multipart/form-data" if self.image is not None else "application/json"
        raise Refused(415, f"the content type must be {needed}")

    def _from_form(self, body: bytes, content_type: str) -> Request:
        assert self.image is not None
        fields = read_form(body, content_type)
        images: list[Any] = [content for name, content in fields if name == FILES]
        texts = [content for name, content in fields if name == ROWS]
        if unknown := sorted({name for name, _ in fields} - {FILES, ROWS, *BESIDE}):
            raise Refused(422, f"unknown field {unknown[0]!r}: a form has `files` and `rows`")
        asked = self._asked({name: _json(content) for name, content in fields if name in BESIDE})
        if len(texts) > 1:
            raise Refused(422, "the field `rows` is there twice: it is one list for all files")
        given = _rows_of({"rows": _json(texts[0])}) if texts else [{}] * len(images)
        if len(given) != len(images):
            raise Refused(422, f"{len(images)} files and {len(given)} rows: give one row a file")
        found = self._from_rows(given, asked, beside_files=True)
        return replace(found, columns={**found.columns, self.image: images})

    def _asked(self, data: Mapping[str, Any]) -> Asked:
        """Return what is asked for beside answers, null and false being nothing."""
        abstain = data.get("abstain") or False
        shares = {name: data.get(name) for name in BESIDE if name != "abstain"}
        if not isinstance(abstain, bool):
            raise Refused(422, "`abstain` must be true or false")
        for name, value in shares.items():
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise Refused(422, f"`{name}` must be a number between 0 and 1")
        found = Asked(abstain, **shares)
        try:
            self.doubt.check(found)
        except OptionError as error:
            raise Refused(
                422, str(error).replace("max-error", "max_error").replace("--", "")
            ) from None
        return found

    def _from_rows(
        self, rows: Sequence[Mapping[str, Any]], asked: Asked, beside_files: bool = False
    ) -> Request:
        if len(rows) > self.most:
            raise Refused(422, f"{len(rows)} rows, and a request may have {self.most}")
        if not rows:
            raise Refused(422, "no rows: give at least one")
        plain = [column for column in self.wanted if column.kind != "image"]
        for number, row in enumerate(rows):
            for column in plain:
                _check(row.get(column.name), column, number)
            if not beside_files and not any(column.name in row for column in plain):
                raise Refused(422, f"row {number} has none of the columns: {_names(plain)}")
        absent = [column for column in plain if not any(column.name in row for row in rows)]
        columns = {
            column.name: [readable(row.get(column.name)) for row in rows] for column in plain
        }
        told = [f"missing columns read as empty: {_names(absent)}"] if absent else []
        if blank := of_no_text(columns, self.wanted):
            told.append(told_of_no_text(len(blank)))
        if self.groups is not None and (strangers := self.groups.strangers(columns)):
            told.append(told_of_strangers(len(strangers)))
        return Request(columns, len(rows), tuple(told), asked)


def _json(body: bytes) -> Any:
    try:
        return STRICT.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        told = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise Refused(422, f"not JSON: {told}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


STRICT = json.JSONDecoder(parse_constant=_no_constant)


def _rows_of(data: Any) -> list[Mapping[str, Any]]:
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused(422, 'the rows must be a list of objects: {"rows": [{"column": value}]}')
    return rows


def _check(cell: Any, column: InputColumn, row: int) -> None:
    if cell is None:
        return
    allowed = ALLOWED[column.kind]
    if not isinstance(cell, allowed) or (isinstance(cell, bool) and bool not in allowed):
        raise Refused(422, f"row {row}: {column.name!r} must be {WORDS[column.kind]} or null")
    if isinstance(cell, int | float) and column.kind == "number" and abs(cell) > sys.float_info.max:
        raise Refused(422, f"row {row}: {column.name!r} is larger than numbers can be")


def _names(columns: Sequence[InputColumn]) -> str:
    return ", ".join(repr(column.name) for column in columns)
