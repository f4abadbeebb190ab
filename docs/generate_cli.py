"""Write docs/cli.md from the parser itself: `python docs/generate_cli.py`. A test compares."""

from __future__ import annotations

import argparse
from pathlib import Path

from metier.arguments import build_parser

PAGE = Path(__file__).with_name("cli.md")

HEAD = """\
# Commands

This page is made from the parser by `make docs`; a test compares the two.

Answers go to standard output, progress and warnings to standard error. With `--json` the last line
of standard output is one JSON object. Exit codes: 0 done; 1 a fault that is not yours; 2 input that
cannot be used, with one line that says what, where and the mend; 130 stopped with Ctrl-C.

`--config FILE` gives options from a TOML file: keys are the long names without dashes, a list
repeats its option, and the command line wins. The `run.toml` of a finished run can be given too.
"""


def render() -> str:
    """Return the page."""
    parser = build_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return "\n".join([HEAD, *(_section(name, each) for name, each in commands.choices.items())])


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.dest != "help"]
    places = [action for action in actions if not action.option_strings]
    options = [action for action in actions if action.option_strings]
    usage = " ".join(
        ["metier", name, *(str(a.metavar) for a in places), *(["[options]"] if options else [])]
    )
    lines = [f"## metier {name}", "", f"    {usage}", "", str(parser.description), ""]
    if actions:
        lines += ["| | |", "| --- | --- |"]
        lines += [f"| `{_said(action)}` | {_escaped(action.help or '')} |" for action in actions]
        lines.append("")
    return "\n".join(lines)


def _said(action: argparse.Action) -> str:
    name = action.option_strings[-1] if action.option_strings else ""
    if action.choices is not None:
        value = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    else:
        value = str(action.metavar) if action.metavar and action.nargs != 0 else ""
    return f"{name} {value}".strip()


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
