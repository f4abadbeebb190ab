"""Forms with files, read in memory: a server that writes nothing to disk needs no disk."""

from __future__ import annotations

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from metier.serving.limits import Refused

Fields = list[tuple[str, bytes]]

# What the parser says of a broken form goes to its sender, not to the log of the server.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


class _Fields:
    """Collects the parts of a form while the parser calls."""

    def __init__(self) -> None:
        self.found: Fields = []
        self.complete = False
        self._header = self._value = b""
        self._name: str | None = None
        self._content = bytearray()

    def begin(self) -> None:
        self._name, self._content = None, bytearray()

    def header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            name = parse_options_header(self._value)[1].get(b"name")
            self._name = None if name is None else name.decode("utf-8", "replace")
        self._header = self._value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def end(self) -> None:
        if self._name is None:
            raise Refused(422, "a part of the form has no name")
        self.found.append((self._name, bytes(self._content)))

    def finish(self) -> None:
        self.complete = True


def read_form(body: bytes, content_type: str) -> Fields:
    """Return name and content of every field, in order.

    Raises:
        Refused: 422 for what is no form, or one that is cut off.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise Refused(422, "the form names no boundary")
    fields = _Fields()
    try:
        MultipartParser(
            boundary,
            {
                "on_part_begin": fields.begin,
                "on_header_field": fields.header,
                "on_header_value": fields.value,
                "on_header_end": fields.header_end,
                "on_part_data": fields.data,
                "on_part_end": fields.end,
                "on_end": fields.finish,
            },
        ).write(body)
    except FormParserError:
        raise Refused(422, "not a form that can be read") from None
    if not fields.complete:
        raise Refused(422, "the form is cut off")
    return fields.found
