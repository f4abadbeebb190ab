"""The commands that only look: at data, sources, strategies and the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.commands.parts import add_data, add_json, command


def add_check(commands: Any) -> None:
    """Add `metier check`."""
    parser = command(
        commands,
        "check",
        "find what would spoil a result before any training",
        "Duplicates, leakage, likely label errors, tiny classes, missing values, broken files.",
    )
    add_data(parser)
    parser.add_argument("--test", metavar="FILE", type=Path, help="the file of the test rows")
    parser.add_argument("--task", metavar="K", help="what kind of answer is wanted")
    add_json(parser)


def add_rank(commands: Any) -> None:
    """Add `metier rank`."""
    parser = command(
        commands,
        "rank",
        "score pretrained starts on the data",
        "Scores come from one forward pass over a sample. They shortlist; only a race decides.",
    )
    add_data(parser)
    parser.add_argument(
        "--source", metavar="S", action="append", dest="sources", help="a start (repeat)"
    )
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        help="score the specialists of all runs below this folder beside them",
    )
    add_json(parser)


def add_sources(commands: Any) -> None:
    """Add `metier sources`."""
    add_json(command(commands, "sources", "list the pretrained starts"))


def add_strategies(commands: Any) -> None:
    """Add `metier strategies`."""
    add_json(command(commands, "strategies", "list the strategies and parameters"))


def add_doctor(commands: Any) -> None:
    """Add `metier doctor`."""
    add_json(command(commands, "doctor", "say what is installed and what is missing"))
