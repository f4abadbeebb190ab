"""The contract in OpenAPI: what the rows of this very bundle look like, and every answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metier.runtime.doubt import Doubt
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.serving.rows import ALLOWED, FILES, ROWS

Schema = dict[str, Any]

TYPES: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
REFUSALS = {
    400: "The client left before the end of its body",
    401: "The token is missing or wrong",
    408: "The body took too long to arrive",
    413: "The body is too large",
    415: "Another kind of body is needed",
    422: "The rows do not fit the bundle",
    503: "The server is busy or shutting down",
    504: "No answer in time",
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, and the mend"}},
}


def request_body(wanted: Sequence[InputColumn], most: int, doubt: Doubt) -> Schema:
    """Return the schema of a request: JSON, or a form where the bundle reads images."""
    plain = [column for column in wanted if column.kind != "image"]
    if len(plain) == len(wanted):
        rows = {"type": "array", "items": _row(plain), "minItems": 1, "maxItems": most}
        asked = {"rows": rows, **_beside(doubt)}
        body: Schema = {
            "type": "object",
            "required": ["rows"],
            "properties": asked,
            "additionalProperties": False,
        }
        return {"required": True, "content": {"application/json": {"schema": body}}}
    file = {"type": "string", "format": "binary"}
    fields: Schema = {FILES: {"type": "array", "items": file, "minItems": 1, "maxItems": most}}
    if plain:
        told = "the other columns: a JSON list with one object for each file"
        fields[ROWS] = {"type": "string", "description": told}
    fields |= _beside(doubt)
    form: Schema = {
        "type": "object",
        "required": [FILES],
        "properties": fields,
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def _beside(doubt: Doubt) -> Schema:
    """What may be asked for beside answers, as far as this very bundle can promise it."""
    conformal, selective = doubt.conformal, doubt.selective
    coverage: Schema = {"type": "null"}
    if conformal is not None:
        coverage = {"exclusiveMinimum": 0, "maximum": conformal.highest, "exclusiveMaximum": 1}
        coverage = {"type": ["number", "null"], **coverage}
    error: Schema = {"type": "null"}
    if selective is not None and selective.fewest is not None:
        error = {"minimum": selective.fewest, "exclusiveMaximum": 1}
        error = {"type": ["number", "null"], **error}
    abstain: Schema = {"enum": [False, None]} if doubt == Doubt() else {"type": ["boolean", "null"]}
    told = {
        "abstain": "leave the prediction out where there is doubt; `reason` says why",
        "coverage": "add a `set` of labels, or `low` and `high`, that hold the truth so often",
        "max_error": "leave out what is too unsure for this share of errors",
    }
    parts = {"abstain": abstain, "coverage": coverage, "max_error": error}
    return {name: {**part, "description": told[name]} for name, part in parts.items()}


def _row(columns: Sequence[InputColumn]) -> Schema:
    names = [column.name for column in columns]
    cells = {column.name: _cell(column) for column in columns}
    asked: Schema = {"anyOf": [{"required": [name]} for name in names]}
    if len(names) == 1:
        asked = {"required": names}
    return {"type": "object", "properties": cells, **asked}


def _cell(column: InputColumn) -> Schema:
    types = [TYPES[each] for each in ALLOWED[column.kind] if each is not int]
    found: Schema = {"type": [*types, "null"]}
    if column.low is not None and column.high is not None:
        found["description"] = f"{column.kind}; {column.low} to {column.high} at training"
    else:
        found["description"] = column.kind
    return found


def predictions(decision: Decision) -> Schema:
    """Return the schema of an answer."""
    label: Schema = {"type": "string", "enum": list(decision.labels)}
    answer = label
    if decision.kind == "regression":
        answer = {"type": "number"}
    if decision.kind == "multilabel":
        answer = {"type": "array", "items": label}
    shares: Schema = {"type": "null"}
    if decision.labels:
        share = {"type": "number", "minimum": 0, "maximum": 1}
        shares = {
            "type": "object",
            "required": list(decision.labels),
            "properties": dict.fromkeys(decision.labels, share),
            "additionalProperties": False,
        }
    row = {
        "type": "object",
        "required": ["prediction", "probabilities", "reason"],
        "properties": {
            "prediction": _or_null(answer, "null where the row could not be read"),
            "probabilities": _or_null(shares, "null for numbers and unreadable rows"),
            "reason": {"type": ["string", "null"], "description": "why there is no prediction"},
            **_told(decision, label),
        },
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "required": ["predictions", "warnings"],
        "properties": {
            "predictions": {"type": "array", "items": row},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": False,
    }


def _told(decision: Decision, label: Schema) -> Schema:
    """What a row has besides, when a coverage was asked for."""
    if decision.kind == "regression":
        ends = {"low": "where the interval begins", "high": "where it ends"}
        return {name: {"type": ["number", "null"], "description": ends[name]} for name in ends}
    labels = {"type": "array", "items": label}
    return {
        "set": _or_null(labels, "labels that hold the truth as often as asked, likeliest first")
    }


def _or_null(schema: Schema, told: str) -> Schema:
    return {"anyOf": [schema, {"type": "null"}], "description": told}


def responses(*statuses: int) -> dict[int | str, Schema]:
    """Return the refusals of a route, by status."""
    found: dict[int | str, Schema] = {}
    for status in statuses:
        found[status] = {
            "description": REFUSALS[status],
            "content": {"application/json": {"schema": ERROR}},
        }
        if status == 503:
            wait = {
                "schema": {"type": "integer"},
                "description": "Seconds until it is worth asking",
            }
            found[status]["headers"] = {"Retry-After": wait}
    return found


def success(schema: Schema, kind: str = "application/json") -> dict[int | str, Schema]:
    """Return the answer of a route that went well."""
    return {200: {"description": "Done", "content": {kind: {"schema": schema}}}}
