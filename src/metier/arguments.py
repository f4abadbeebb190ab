"""What can be said on the command line, and reading it.

Defaults are declared once, in the api: an option that was not given is absent from the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from metier import __version__
from metier.commands import add_commands
from metier.errors import OptionError, suggest


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line. Only options that were given are attributes of the result.

    Raises OptionError, in one line, where argparse would print its usage and exit.
    """
    parser = build_parser()
    if not words:
        parser.print_help()
        parser.exit(0)
    commands = _subparsers(parser)
    if not words[0].startswith("-") and words[0] not in commands:
        raise OptionError(f"unknown command {words[0]!r}{suggest(words[0], commands)}")
    args, unknown = parser.parse_known_args(words)
    if unknown:
        known = _options(commands[args.command])
        if unknown[0].startswith("-"):
            name = unknown[0].partition("=")[0]
            raise OptionError(f"unknown option {name}{suggest(name, known)}")
        raise OptionError(_too_many(unknown[0], words, commands[args.command]))
    if "config" in args:
        args = _with_config(parser, args)
    return args


def _too_many(word: str, words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Say what to do about a word that nothing takes: repeat the option before it, or quote."""
    repeated = {
        name
        for action in parser._actions
        if isinstance(action, argparse._AppendAction)
        for name in action.option_strings
    }
    before = [each for each in words[: words.index(word)] if each.startswith("--")]
    if before and before[-1] in repeated:
        return f"{word!r} is one word too many; give {before[-1]} once more for another one"
    return f"{word!r} is one word too many; quote names that hold spaces"


def _with_config(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    """Fill in the options of the file that the command line did not give."""
    from metier.config import read_options

    options = _options(_subparsers(parser)[args.command])
    known = [name.removeprefix("--") for name in options if name not in ("--config", "--help")]
    found = read_options(args.config, known)
    try:
        filed = parser.parse_args([args.command, *found, "--", str(args.data)])
    except OptionError as error:
        raise OptionError(f"--config {args.config}: {error}") from error
    given = vars(args)
    # The two say how long to search: the one on the command line replaces the one in the file.
    rivals = {"budget", "trials"}
    dropped = rivals if rivals & given.keys() else set()
    kept = {name: value for name, value in vars(filed).items() if name not in dropped}
    return argparse.Namespace(**{**kept, **given})


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = _Parser(
        prog="metier",
        description="Turn a general pretrained model into a specialist, with proof.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"metier {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    add_commands(commands)
    return parser


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [o for a in parser._actions for o in a.option_strings if o.startswith("--")]
