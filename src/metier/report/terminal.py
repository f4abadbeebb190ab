"""What is seen in the terminal at the end of a run: the leaderboard, the verdict, the paths."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metier.evidence.words import sentence
from metier.report import wording
from metier.report.compression import loss_told
from metier.report.content import Entry, Report, ranked
from metier.report.progress import Progress as Progress
from metier.search.front import Compression, Side, megabytes, milliseconds
from metier.search.tradeoff import Tradeoff

MOST = 12
"""Candidates that are listed; baselines and the chosen one always are."""

COLOURS = {"good": "green", "neutral": "yellow", "bad": "red"}
_STYLES = {"chosen": "bold", "baseline": "", "tried": "", "failed": "dim", "cut": "dim"}


def print_summary(report: Report, console: Console, paths: Mapping[str, str] | None = None) -> None:
    """Print the leaderboard with intervals, then the verdict, then where things lie.

    Where the console is no terminal the same is printed as plain columns.

    Args:
        report: what is to be told.
        console: where to.
        paths: what lies where, such as ``{"report": "runs/a/report.html"}``.
    """
    if report.leaderboard:
        _print_leaderboard(report, console)
    if report.compression is not None:
        console.print()
        _print_tried(report.compression, console)
        _print_told(report.compression, console)
    if report.tradeoff is not None:
        _print_tradeoff(report.tradeoff, console)
    verdict = Text(report.verdict, style=COLOURS[report.verdict_level])
    console.print(Text.assemble("\n", verdict), soft_wrap=not console.is_terminal)
    for basis in (report.proof_on, *report.notes):
        if basis:
            console.print(Text(basis, style="dim"), soft_wrap=not console.is_terminal)
    _print_paths({**(paths or {}), **({"digest": report.digest} if report.digest else {})}, console)


def print_compression(
    found: Compression, console: Console, paths: Mapping[str, str] | None = None
) -> None:
    """Print what was tried to make a specialist smaller, the verdict, and where things lie."""
    _print_tried(found, console)
    _print_told(found, console)
    _print_paths(paths or {}, console)


def _print_told(found: Compression, console: Console) -> None:
    colour = COLOURS["bad" if not found.met else "good" if found.chosen else "neutral"]
    verdict = Text(sentence(found.verdict), style=colour)
    console.print(Text.assemble("\n", verdict), soft_wrap=not console.is_terminal)


def _print_tradeoff(found: Tradeoff, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("groups", overflow="fold")
    for heading in (wording.title(found.metric), "apart", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for each in found.points:
        chosen = each.name == found.chosen
        between = wording.interval(each.apart_low, each.apart_high)
        told = "chosen" if chosen else each.reason
        figures = wording.number(each.value), wording.number(each.apart), between
        table.add_row(each.called, *figures, told, style="bold" if chosen else "")
    console.print()
    console.print(table)
    colour = COLOURS["good" if found.met else "bad"]
    verdict = Text(sentence(found.verdict), style=colour)
    console.print(Text.assemble("\n", verdict), soft_wrap=not console.is_terminal)


def _print_tried(found: Compression, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("chain", overflow="fold")
    for heading in ("folder", "one row", "rows/s", f"{found.unit} gained"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    table.add_row("as it was", *_figures(found.parent), "", "chosen" if not found.chosen else "")
    for each in found.tried:
        chosen = bool(found.chosen) and each.name == found.chosen
        told = "chosen" if chosen else f"{each.state}: {each.reason}" if each.reason else each.state
        style = "bold" if chosen else "" if each.state == "accepted" else "dim"
        table.add_row(each.name, *_figures(each.side), loss_told(each), told, style=style)
    console.print(table)


def _figures(side: Side | None) -> tuple[str, str, str]:
    if side is None:
        return "", "", ""
    return megabytes(side.bytes), milliseconds(side.latency), wording.number(side.throughput)


def _print_paths(found: Mapping[str, str], console: Console) -> None:
    if found:
        console.print()
    width = max((len(name) for name in found), default=0)
    for name, path in found.items():
        console.print(Text.assemble((f"{name:<{width}}  ", "dim"), path), soft_wrap=True)


def _print_leaderboard(report: Report, console: Console) -> None:
    entries = ranked(report)
    shown = [
        entry
        for place, entry in enumerate(entries)
        if place < MOST or entry.state in ("chosen", "baseline")
    ]
    if console.is_terminal:
        console.print(_table(report, shown))
    else:
        _print_columns(report, shown, console)
    if len(entries) > len(shown):
        console.print(Text(f"and {len(entries) - len(shown)} more, in the report", style="dim"))


def _table(report: Report, entries: list[Entry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("candidate", overflow="fold", ratio=1)
    for heading in (wording.title(report.metric), "interval", "time", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in entries:
        mark = Text("●", style=COLOURS[report.verdict_level]) if entry.state == "chosen" else Text()
        mark = Text("=", style="yellow") if entry.tied and entry.state != "chosen" else mark
        name, *figures = _cells(entry)
        table.add_row(mark, Text(name), *figures, style=_STYLES[entry.state])
    return table


def _print_columns(report: Report, entries: list[Entry], console: Console) -> None:
    head = ("candidate", wording.title(report.metric), "interval", "time", "size")
    rows = [head, *(_cells(entry) for entry in entries)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        first = f"{row[0]:<{widths[0]}}"
        rest = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        console.print(Text("  ".join((first, *rest)).rstrip()), soft_wrap=True)


def _cells(entry: Entry) -> tuple[str, ...]:
    marks: list[str] = [entry.state] if entry.state != "tried" else []
    if entry.tied and entry.state != "chosen":
        marks.append("tie")
    return (
        entry.name + (f" ({', '.join(marks)})" if marks else ""),
        wording.number(entry.value),
        wording.interval(entry.low, entry.high),
        wording.duration(entry.seconds) if entry.seconds else "",
        "" if entry.bytes is None else wording.size(entry.bytes),
    )
