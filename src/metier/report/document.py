"""A page made of sections: what an audit and an explanation are told with.

A room that has something to tell returns a `Section`; who asks puts sections into a `Document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from metier.report.assets import render
from metier.types import Finding

Cell = str | Markup
"""Plain words, which are escaped, or a drawing or marked-up words of our own."""


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: Cell


@dataclass(frozen=True)
class Grid:
    """A table. The first cell of a row is its head; `numeric` columns stand at the right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figures:
    """Drawings side by side, each with its caption."""

    drawn: tuple[tuple[Markup, str], ...]


@dataclass(frozen=True)
class Told:
    """Findings with their level, as a list."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Folded:
    """What only some readers want to see: a line to open, and what is under it."""

    line: str
    blocks: tuple[Words | Grid | Figures | Told, ...]


Block = Words | Grid | Figures | Told | Folded


@dataclass(frozen=True)
class Section:
    """One part of a page: `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A page for a person.

    Args:
        kind: what it is, two words at its top left: "metier audit".
        name: what it is about.
        created: when it was made, ISO 8601.
        level: the colour of its lamp.
        state: the words beside the lamp.
        headline: the one sentence to take away.
        basis: on which rows all this stands.
        sections: in their order.
        notes: sentences on what a person should know first.
        command: the command line that made it.
        versions: of the libraries.
    """

    kind: str
    name: str
    created: str
    level: Literal["good", "neutral", "bad"]
    state: str
    headline: str
    basis: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    command: str = ""
    versions: Mapping[str, str] | None = None


def render_document(document: Document) -> str:
    """Return a complete HTML page that holds all it shows and asks nothing of the network."""
    return render("document.html", document.created, {}, document=document)
