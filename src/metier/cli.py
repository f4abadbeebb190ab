"""The command line: arguments in, one call of the api, answers out.

Nothing heavy is imported until a command runs, so that ``metier --help`` answers at once. An
option that was not given is not passed on: defaults are declared once, in the api.

Exit codes: 0 done; 1 a fault that is not the user's; 2 input that cannot be used; 130 stopped with
Ctrl-C. Answers go to standard output, progress and warnings to standard error.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.arguments import parse
from metier.errors import InputError, MetierError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from rich.console import Console

    from metier.report.terminal import Progress
    from metier.types import Finding

Command = Callable[[argparse.Namespace], int | None]
"""Runs a command; what it returns is the exit code, 0 for None."""
NOT_MET = 3
"""The exit code when nothing meets the limits that were given."""

AUDIT = Path("audit.html")
"""The page of `metier audit` when none is named."""
EXPLANATION = "explain.html"
"""The page of `metier explain` when none is named."""

LABELS_SHOWN = 20
"""Rows that `metier label` prints."""
WIDE = 8
"""Columns from which it prints only what it found, and not the rows themselves."""

SERVING = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
"""What `metier serve` needs beside the core."""


def main(argv: Sequence[str] | None = None, commands: Mapping[str, Command] | None = None) -> int:
    """Run one command and return its exit code. `commands` replaces what the words do."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parse(words)
        code = (commands or COMMANDS)[args.command](args)
        sys.stdout.flush()
    except (InputError, MissingExtraError) as error:
        return _refuse(str(error), 2)
    except MetierError as error:
        return _refuse(str(error), 1)
    except KeyboardInterrupt:
        hint = "; --resume goes on from here" if words[:1] == ["specialize"] else ""
        return _refuse(f"stopped{hint}", 130)
    except BrokenPipeError:
        # Who reads has gone (`| head`). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refuse(*_of_the_system(error))
    return code or 0


def _refuse(message: str, code: int) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return code


def _of_the_system(error: OSError) -> tuple[str, int]:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full; make room, then --resume goes on", 1
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{where}{(error.strerror or 'not allowed').lower()}; choose another place", 2
    return f"{where}{(error.strerror or str(error)).lower()}", 1


def _specialize(args: argparse.Namespace) -> int:
    from metier import api
    from metier.report.terminal import print_summary

    with _progress() as progress:
        result = api.specialize(args.data, progress=progress, **_given(args))
    paths = {"report": str(result.page), "bundle": str(result.bundle)}
    print_summary(result.report, _console(), paths)
    if "json" in args:
        _print_json(result.to_json())
    told = (result.report.compression, result.report.tradeoff)
    return 0 if all(each is None or each.met for each in told) else NOT_MET


def _multitask(args: argparse.Namespace) -> None:
    from metier import api

    given = {name: value for name, value in vars(args).items() if name not in OF_THE_LINE}
    with _progress() as progress:
        found = api.multitask(args.data, progress=progress, **given)
    _print_findings(found.found.findings, "")
    _console().print(f"\n{found.found.verdict}\nThe page: {found.page}", markup=False)
    if "json" in args:
        _print_json(found.to_json())


def _meta(args: argparse.Namespace) -> None:
    from metier import api

    given = {name: value for name, value in vars(args).items() if name not in OF_THE_LINE}
    with _progress() as progress:
        found = api.meta(args.data, progress=progress, **given)
    _print_findings([found.found.finding], "")
    words = f"\nThe new source: --source {found.folder}\nThe page: {found.page}"
    _console().print(words, markup=False)
    if "json" in args:
        _print_json(found.to_json())


def _compress(args: argparse.Namespace) -> int:
    from metier import api
    from metier.report.terminal import print_compression

    with _progress() as progress:
        found = api.compress(args.bundle, args.data, progress=progress, **_given(args))
    paths = {"report": str(found.page), "bundle": str(found.bundle)}
    print_compression(found.compression, _console(), paths)
    if "json" in args:
        _print_json(found.to_json())
    return 0 if found.compression.met else NOT_MET


def _check(args: argparse.Namespace) -> None:
    from metier import api

    with _progress() as progress:
        found = api.check(args.data, progress=progress, **_given(args))
    _print_findings(found, "nothing found that would spoil a result")
    if "json" in args:
        _print_json({"findings": found})


def _rank(args: argparse.Namespace) -> None:
    from metier import api

    with _progress() as progress:
        ranking = api.rank(args.data, progress=progress, **_given(args))
    _print_rows(ranking.rows)
    _console().print("These scores only shortlist: the race in `metier specialize` decides.")
    if "json" in args:
        _print_json(ranking.to_json())


def _predict(args: argparse.Namespace) -> None:
    from metier import api

    found = api.predict(args.bundle, args.data, **{"out": sys.stdout.buffer, **_given(args)})
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    unread = [row for row in found.reasons if row not in found.withheld]
    for rows, what in (
        (unread, "could not be read"),
        (sorted(found.withheld), "were left without an answer"),
    ):
        if rows:
            told = f"{len(rows)} of {len(found)} rows {what} (row {rows[0]}"
            told = f"{told}: {found.reasons[rows[0]]}); see the column `reason`"
            print(f"warning: {told}", file=sys.stderr)


def _evaluate(args: argparse.Namespace) -> None:
    from metier import api
    from metier.report.fairness import group_rows

    if "seconds" in args and "robustness" not in args:
        raise OptionError("--seconds is for --robustness: give both, or neither")
    named = {"sensitive": args.sensitive} if "sensitive" in args else {}
    found = api.evaluate(args.bundle, args.data, **named)
    rates = group_rows(found)
    if rates:
        _print_rows(rates)
    _print_findings([e for e in found if "group" not in e.details], "nothing to measure")
    more: dict[str, Any] = {}
    if "robustness" in args:
        from metier.report.robustness import score_lines

        limit = {"seconds": args.seconds} if "seconds" in args else {}
        shaken = api.robustness(args.bundle, args.data, **limit)
        _print_rows(score_lines(shaken))
        _print_findings(shaken.findings, "nothing to damage or to attack")
        for note in shaken.notes:
            print(f"note: {note}", file=sys.stderr)
        found = [*found, *shaken.findings]
        more = {"robustness": shaken}
    if "json" in args:
        _print_json({"findings": found, **more})


def _audit(args: argparse.Namespace) -> None:
    from metier import api

    given = {"out": AUDIT, **_given(args)}
    with _progress() as progress:
        found = api.audit(args.bundle, args.data, progress=progress, **given)
    _print_findings(found.worries, "nothing that was measured speaks against it")
    for name, reason in found.left_out.items():
        print(f"warning: {name} was not measured: {reason}", file=sys.stderr)
    words = given["out"].with_suffix(".md")
    _console().print(f"\nThe page: {given['out']}, the same in words: {words}", markup=False)
    if "json" in args:
        _print_json({"page": given["out"], "words": words, "findings": found.findings})


def _compare(args: argparse.Namespace) -> None:
    from metier import api
    from metier.road.bundles import versus

    found = api.compare(args.a, args.b, args.data)
    _print_rows(versus.metric_lines(found))
    told = filter(None, (versus.metrics_told(found), found.verdict))
    _console().print("".join(f"\n{line}\n" for line in told), markup=False)
    _print_rows(versus.cost_lines(found))
    _console().print(f"\n{versus.rows_told(found)}", markup=False)
    if found.differing:
        _print_rows(versus.row_lines(found))
    if found.findings:
        _print_findings(found.findings, "")
    if "json" in args:
        _print_json(found)


def _explain(args: argparse.Namespace) -> None:
    from metier import api

    given = {"out": EXPLANATION, **_given(args)}
    with _progress() as progress:
        found = api.explain(args.bundle, args.data, progress=progress, **given)
    _print_findings(found.findings, "nothing was measured")
    _console().print(f"\nThe page: {given['out']}", markup=False)
    if "json" in args:
        _print_json({"page": str(given["out"]), **found.to_json()})


def _label(args: argparse.Namespace) -> None:
    from metier import api
    from metier.report.wording import shorten

    found = api.label(args.bundle, args.data, **_given(args))
    wide = found.frame.width > WIDE
    lines = found.frame[:, : 3 if wide else None].head(LABELS_SHOWN).iter_rows(named=True)
    _print_rows([{name: shorten(str(v), 60) for name, v in line.items()} for line in lines])
    rest = len(found.rows) - LABELS_SHOWN
    told = f"{len(found.rows)} of {found.pool:,} rows, the first to label first"
    more = "; --out writes all of them, whole" if rest > 0 or wide else ""
    _console().print(f"\n{told}{more}", markup=False)
    if found.findings:
        _print_findings(found.findings, "")
    if "json" in args:
        _print_json(
            {
                "rows": found.rows,
                "answers": found.answers,
                "margins": found.margins,
                "findings": found.findings,
            }
        )


def _export(args: argparse.Namespace) -> None:
    from metier import api

    def warn(told: str) -> None:
        print(f"warning: {told}", file=sys.stderr)

    print(api.export(args.bundle, **_given(args), warn=warn))


def _load(args: argparse.Namespace) -> None:
    from metier.runtime.session import load

    print(load(args.bundle, **_given(args)).digest)


def _serve(args: argparse.Namespace) -> int:
    if missing := next((name for name in SERVING if find_spec(name) is None), None):
        raise MissingExtraError(missing, "serve", "metier serve")
    from metier.serving.launch import serve
    from metier.serving.options import read_options

    return serve(read_options(args.bundle, _given(args), os.environ))


def _sources(args: argparse.Namespace) -> None:
    from metier import api

    rows = api.sources()
    _print_rows(rows)
    if "json" in args:
        _print_json({"sources": rows})


def _strategies(args: argparse.Namespace) -> None:
    from metier import api

    rows = api.strategies()
    _print_strategies(rows)
    if "json" in args:
        _print_json({"strategies": rows})


def _doctor(args: argparse.Namespace) -> None:
    from metier import doctor

    found = doctor.examine()
    _print_rows([asdict(symptom) for symptom in found])
    faults = [symptom for symptom in found if symptom.status == "broken"]
    _console().print(f"{len(faults)} broken" if faults else "nothing is broken")
    if "json" in args:
        _print_json({"symptoms": found, "broken": len(faults)})


COMMANDS: dict[str, Command] = {
    "specialize": _specialize,
    "multitask": _multitask,
    "meta": _meta,
    "compress": _compress,
    "check": _check,
    "rank": _rank,
    "predict": _predict,
    "evaluate": _evaluate,
    "audit": _audit,
    "compare": _compare,
    "explain": _explain,
    "label": _label,
    "export": _export,
    "load": _load,
    "serve": _serve,
    "sources": _sources,
    "strategies": _strategies,
    "doctor": _doctor,
}


OF_THE_LINE = {"command", "json", "config", "data", "bundle"}
"""What only the command line needs, or what goes to the api without a name."""


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """What goes to the api: all that was given but what only the command line needs."""
    given = {name: value for name, value in vars(args).items() if name not in OF_THE_LINE}
    if len(given.get("target", ())) == 1:
        given["target"] = given["target"][0]
    return given


def _print_json(value: Any) -> None:
    from metier.report.content import to_json

    print(json.dumps(to_json(value), ensure_ascii=False))


def _progress() -> Progress:
    """Live progress on standard error; plain lines when nobody watches."""
    from metier.report.terminal import Progress

    return Progress()


def _console() -> Console:
    """Standard output, plain and wide when nobody watches it, so that no cell is cut."""
    from rich.console import Console

    watched = sys.stdout.isatty()
    return Console(width=None if watched else 240, highlight=False, soft_wrap=not watched)


def _print_findings(found: Sequence[Finding], when_none: str) -> None:
    from rich.text import Text

    from metier.evidence.words import quoted

    console = _console()
    colours = {"info": "cyan", "warning": "yellow", "problem": "red"}
    for each in found:
        line = Text.assemble((f"{each.level:8}", colours[each.level]), quoted(each))
        if each.rows:
            shown = ", ".join(str(row) for row in each.rows[:10])
            rest = f" and {len(each.rows) - 10} more" if len(each.rows) > 10 else ""
            line.append(f"\n        rows {shown}{rest}", style="dim")
        console.print(line)
    if not found:
        console.print(when_none)


def _print_strategies(rows: Sequence[Mapping[str, Any]]) -> None:
    """Two lines a strategy: what it does, then what it is for and its parameters."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(Text(row["strategy"], style="bold"), Text(row["about"]))
        fits = f"{row['for']}; {row['takes']} -> {row['gives']}"
        more = f"{fits}; {row['parameters']}" if row["parameters"] else fits
        table.add_row("", Text(more, style="dim"))
    _console().print(table)


def _print_rows(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=None if title is None else Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        numeric = all(isinstance(row.get(name), int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_as_text(row.get(name))) for name in names))
    _console().print(table)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_as_text(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_as_text(each) for each in value)
    return str(value)
