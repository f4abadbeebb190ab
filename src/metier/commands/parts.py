"""What several commands take, and how words are read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def command(commands: Any, name: str, about: str, more: str = "") -> Any:
    """Add a command whose options are absent from the result unless they are given."""
    parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}. {more}".strip(),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    return parser


def add_data(parser: Any) -> None:
    """Add the data, and the column to predict."""
    about = "a CSV, TSV, JSON Lines, Parquet or Arrow file, or a folder of class folders of images"
    parser.add_argument("data", metavar="DATA", type=Path, help=about)
    parser.add_argument(
        "--target",
        metavar="COL",
        action="append",
        help="the column to predict; repeat it for several 0/1 columns of labels "
        "(a folder of class folders needs none)",
    )


def add_json(parser: Any) -> None:
    """Add `--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )


def add_bundle(parser: Any) -> None:
    """Add the bundle."""
    about = "a run folder or its specialist/"
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help=about)


def add_sensitive(parser: Any) -> None:
    """Add `--sensitive`."""
    parser.add_argument(
        "--sensitive",
        metavar="COL",
        action="append",
        help="measure who is served worse by this column, which is never learned from (repeat for "
        "several; age:25,60 cuts a number, which is else cut at its quartiles)",
    )


def add_effort(parser: Any, what: str) -> None:
    """Add a budget, or a number of `what` instead."""
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--budget", metavar="TIME", help="wall-clock for everything (default: 5m)")
    effort.add_argument(
        "--trials", metavar="N", type=count, help=f"exactly N {what} instead: reproducible"
    )


def add_source(parser: Any) -> None:
    """Add `--source`."""
    parser.add_argument(
        "--source",
        metavar="S",
        help="the pretrained start: a name from `metier sources`, a model directory, a hub id or "
        "the folder of an earlier run",
    )


def count(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def whole(text: str) -> int:
    """Read a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def numbers(text: str) -> list[int]:
    """Read row numbers parted by commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of row numbers such as 0,5,7")
    return [int(part) for part in parts]


def port(text: str) -> int:
    """Read a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def number(text: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def amount(text: str) -> float:
    """Read a number above 0."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return amount
