"""The summary: a table in a terminal, plain columns elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from metier.report.content import Entry, Report
from metier.report.terminal import print_summary

PATHS = {"report": "runs/tickets/report.html", "bundle": "runs/tickets/specialist"}


def printed(report: Report, terminal: bool, width: int = 100) -> str:
    console = Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        no_color=True,
        legacy_windows=False,
    )
    print_summary(report, console, PATHS)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_where_it_is_no_terminal(tickets: Report) -> None:
    said = printed(tickets, terminal=False)
    lines = said.splitlines()
    assert "\x1b" not in said
    assert lines[0].split() == ["candidate", "Accuracy", "interval", "time", "size"]
    assert lines[1].startswith("finetune 7 (chosen)")
    assert "0.875 to 0.967" in lines[1]
    assert tickets.verdict in lines, "the verdict stays on one line, for tools that read lines"
    assert f"report  {PATHS['report']}" in lines and tickets.digest in said


def test_baselines_stay_when_many_are_left_out(tickets: Report) -> None:
    more = tuple(Entry(f"trial {k}", "finetune", "s", {}, 0.95, n=9) for k in range(40))
    said = printed(replace(tickets, leaderboard=(*more, *tickets.leaderboard)), terminal=False)
    assert "majority (baseline)" in said and "finetune 7 (chosen)" in said
    assert "more, in the report" in said


def test_table_in_a_terminal_fits_a_narrow_one(tickets: Report) -> None:
    for width in (60, 100):
        said = printed(tickets, terminal=True, width=width)
        assert "0.925" in said and "●" in said and "tie" in said


def test_markup_in_names_is_not_read(tickets: Report) -> None:
    entry = Entry("[bold]x[/bold]", "a", "", value=0.5)
    for terminal in (True, False):
        assert "[bold]x[/bold]" in printed(replace(tickets, leaderboard=(entry,)), terminal)


def test_bare_report(tickets: Report) -> None:
    said = printed(replace(tickets, leaderboard=(), digest="", proof_on="", notes=()), False)
    assert said.strip().startswith("On 180 tickets")
