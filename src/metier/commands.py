"""What each command takes on the command line.

An option that is not given is absent from the result: defaults are declared once, in the api.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add every command to the subparsers of the command line, in the order of the help."""
    _add_specialize(commands)
    _add_multitask(commands)
    _add_meta(commands)
    _add_compress(commands)
    _add_check(commands)
    _add_rank(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_audit(commands)
    _add_compare(commands)
    _add_explain(commands)
    _add_label(commands)
    _add_export(commands)
    _add_load(commands)
    _add_serve(commands)
    _add_sources(commands)
    _add_strategies(commands)
    _add_doctor(commands)


def _add(commands: Any, name: str, about: str, more: str = "") -> Any:
    """Add a command whose options are absent from the result unless they are given."""
    parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}. {more}".strip(),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    return parser


def _add_data(parser: Any) -> None:
    about = "a CSV, TSV, JSON Lines, Parquet or Arrow file, or a folder of class folders of images"
    parser.add_argument("data", metavar="DATA", type=Path, help=about)
    parser.add_argument(
        "--target",
        metavar="COL",
        action="append",
        help="the column to predict; repeat it for several 0/1 columns of labels "
        "(a folder of class folders needs none)",
    )


def _add_json(parser: Any) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )


def _add_specialize(commands: Any) -> None:
    parser = _add(
        commands,
        "specialize",
        "make a specialist from a file of labelled examples",
        "Checks the data, tries recipes from cheap to dear on the best pretrained starts, proves "
        "the chosen one on rows it never saw, and writes a bundle and a report.",
    )
    _add_data(parser)
    option = parser.add_argument
    option("--test", metavar="FILE", type=Path, help="measure the proof on this file")
    option("--out", metavar="DIR", type=Path, help="the run folder (default: runs/NAME)")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--budget",
        metavar="TIME",
        help="wall-clock time for everything, such as 90s, 5m, 1h (default: 5m)",
    )
    effort.add_argument(
        "--trials", metavar="N", type=_count, help="exactly N trials instead: reproducible"
    )
    option(
        "--source",
        metavar="S",
        action="append",
        dest="sources",
        help="a pretrained start: a name from `metier sources`, a model directory, a hub id or the "
        "folder of an earlier run (repeat for several)",
    )
    option(
        "--strategy",
        metavar="T",
        action="append",
        dest="strategies",
        help="a strategy from `metier strategies` (repeat for several; default: the ladder)",
    )
    option("--task", metavar="K", help="binary, multiclass, multilabel or regression")
    option("--metric", metavar="M", help="the metric that decides, such as accuracy or f1_macro")
    option("--cost", metavar="COSTS", help="what errors cost, such as fn=5,fp=1")
    option("--group", metavar="COL", help="rows with the same value stay on one side of a split")
    option("--time", metavar="COL", help="train on the past, prove on what came later")
    _add_sensitive(parser)
    _add_unlabeled(parser)
    option(
        "--prefer",
        choices=("best", "small"),
        help="small: the cheapest that cannot be told from the best (default: best)",
    )
    option(
        "--refit",
        choices=("all", "none"),
        help="refit the chosen recipe on all rows, the held-out ones too (default: all)",
    )
    _add_limits(parser)
    option(
        "--coverage",
        metavar="SHARE",
        type=_number,
        help="how often sets of labels or intervals have to hold the truth when `metier predict` "
        "is asked for none (default: 0.9)",
    )
    _add_fairness(parser)
    option("--sampler", metavar="NAME", help="grid, random, tpe, gp or hyperband (default: tpe)")
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    option("--config", metavar="FILE", type=Path, help="a TOML file of options; this line wins")
    option("--resume", action="store_true", help="go on with a run that was stopped")
    option(
        "--no-examples",
        action="store_false",
        dest="examples",
        help="leave rows of the data out of the report",
    )
    _add_json(parser)


def _add_unlabeled(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "--unlabeled",
        metavar="FILE",
        type=Path,
        help="rows without labels, of the same kind or of the domain that the specialist is for",
    )
    option("--domain", metavar="COL", help="which domain a row is of (default: domain)")
    option(
        "--target-domain",
        metavar="NAME",
        help="the domain that the specialist is for: its labels are never learned from",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--max-size", metavar="SIZE", help="the whole bundle may have this size, such as 12MB")
    option("--max-latency", metavar="TIME", help="one row may take this long here, such as 3ms")
    option(
        "--max-loss",
        metavar="POINTS",
        type=float,
        help="points of the metric that making it smaller may cost (default: 0.5)",
    )


def _add_fairness(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "--max-disparity",
        metavar="SHARE",
        type=float,
        help="groups of a sensitive column may lie this far apart, such as 0.05; exits with 3 when "
        "nothing keeps to it",
    )
    option(
        "--disparity",
        choices=("parity", "odds"),
        help="what that limits: how often groups are answered positive, or how often rightly and "
        "in vain (default: odds)",
    )
    option(
        "--allow-group-thresholds",
        action="store_true",
        help="groups may get thresholds of their own; predicting then needs the sensitive columns",
    )


def _add_multitask(commands: Any) -> None:
    parser = _add(
        commands,
        "multitask",
        "learn several tasks at once, each in a network of its own or in one that it shares",
        "Tasks are several --target columns of one file, or several files. Each is learned alone "
        "and together with the others; for each the better is chosen, a tie going to the shared "
        "network, proven once, and written as a bundle to a folder of its name.",
    )
    parser.add_argument("data", metavar="DATA", nargs="+", type=Path, help="one file, or several")
    option = parser.add_argument
    option(
        "--target",
        metavar="COL",
        action="append",
        help="a task of one file (repeat); of several files one for all, or one for each in order",
    )
    option(
        "--test",
        metavar="FILE",
        action="append",
        type=Path,
        help="measure the proof on this file (repeat: one for each DATA)",
    )
    option("--out", metavar="DIR", type=Path, help="the result (default: runs/NAME-tasks)")
    _add_effort(parser, "settings of both ways")
    _add_source(parser)
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    _add_json(parser)


def _add_meta(commands: Any) -> None:
    parser = _add(
        commands,
        "meta",
        "learn a start that adapts from few rows, out of several small tasks",
        "Episodes are drawn from the classes of the data; part of the classes is kept and judges "
        "the new start against the old one. The result is a model directory for --source.",
    )
    parser.add_argument("data", metavar="DATA", nargs="+", type=Path, help="one file, or several")
    option = parser.add_argument
    option("--out", metavar="DIR", type=Path, required=True, help="the new source")
    option(
        "--target",
        metavar="COL",
        action="append",
        help="the column of the classes (of several files one for all, or repeat)",
    )
    option("--ways", metavar="N", type=_count, help="classes of an episode (default: 5)")
    option("--shots", metavar="N", type=_count, help="known rows of each class (default: 5)")
    option(
        "--method",
        metavar="M",
        help="prototypical, reptile or fomaml (default: prototypical)",
    )
    _add_source(parser)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--budget", metavar="TIME", help="wall-clock for everything (default: 5m)")
    effort.add_argument("--steps", metavar="N", type=_count, help="exactly N episodes instead")
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    _add_json(parser)


def _add_effort(parser: Any, what: str) -> None:
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--budget", metavar="TIME", help="wall-clock for everything (default: 5m)")
    effort.add_argument(
        "--trials", metavar="N", type=_count, help=f"exactly N {what} instead: reproducible"
    )


def _add_source(parser: Any) -> None:
    parser.add_argument(
        "--source",
        metavar="S",
        help="the pretrained start: a name from `metier sources`, a model directory, a hub id or "
        "the folder of an earlier run",
    )


def _add_compress(commands: Any) -> None:
    parser = _add(
        commands,
        "compress",
        "make a finished specialist smaller and faster, under limits that are measured",
        "Tries chains of distilling, pruning, trimming and quantising, measures each beside the "
        "specialist on this machine, rejects what is slower or worse, and hands over the best "
        "within the limits. Exits with 3 when nothing meets them.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a run folder")
    option = parser.add_argument
    option(
        "--data",
        metavar="VALID",
        type=Path,
        required=True,
        help="labelled rows that the specialist did not learn from",
    )
    option("--out", metavar="DIR", type=Path, help="the result (default: the run's name + -small)")
    _add_limits(parser)
    option(
        "--strategy",
        metavar="T",
        action="append",
        dest="strategies",
        help="try chains of these strategies only (repeat for several)",
    )
    option(
        "--train",
        metavar="FILE",
        type=Path,
        help="labelled rows to learn from, such as the specialist's own; VALID then only judges",
    )
    option("--unlabeled", metavar="FILE", type=Path, help="more rows, without labels, to distil on")
    option("--budget", metavar="TIME", help="wall-clock time for everything (default: 5m)")
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    _add_json(parser)


def _add_check(commands: Any) -> None:
    parser = _add(
        commands,
        "check",
        "find what would spoil a result before any training",
        "Duplicates, leakage, likely label errors, tiny classes, missing values, broken files.",
    )
    _add_data(parser)
    parser.add_argument("--test", metavar="FILE", type=Path, help="the file of the test rows")
    parser.add_argument("--task", metavar="K", help="what kind of answer is wanted")
    _add_json(parser)


def _add_rank(commands: Any) -> None:
    parser = _add(
        commands,
        "rank",
        "score pretrained starts on the data",
        "Scores come from one forward pass over a sample. They shortlist; only a race decides.",
    )
    _add_data(parser)
    parser.add_argument(
        "--source", metavar="S", action="append", dest="sources", help="a start (repeat)"
    )
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        help="score the specialists of all runs below this folder beside them",
    )
    _add_json(parser)


def _add_predict(commands: Any) -> None:
    parser = _add(
        commands,
        "predict",
        "answer for new rows",
        "Writes one line a row, in the order of the input: `prediction`, then a "
        "`probability_CLASS` column a class; for a folder of images a `path` column in front.",
    )
    _add_bundle(parser)
    parser.add_argument("data", metavar="DATA", type=Path, help="rows in any format it reads")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="a .csv or .parquet file (default: CSV, printed)"
    )
    parser.add_argument(
        "--coverage",
        metavar="SHARE",
        type=_number,
        help="add a `set` of labels, or `low` and `high`, that hold the truth so often: 0.9",
    )
    parser.add_argument(
        "--abstain",
        action="store_true",
        help="leave the answer empty where there is doubt, and say why in `reason`",
    )
    parser.add_argument(
        "--max-error",
        metavar="SHARE",
        type=_number,
        help="leave out instead what is too unsure for this share of errors, such as 0.05",
    )


def _add_evaluate(commands: Any) -> None:
    parser = _add(commands, "evaluate", "measure a bundle on labelled rows", "With intervals.")
    _add_bundle(parser)
    parser.add_argument("data", metavar="DATA", type=Path, help="labelled rows")
    _add_sensitive(parser)
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also damage and attack the rows, and say how far the score falls",
    )
    parser.add_argument(
        "--seconds",
        metavar="N",
        type=_amount,
        help="about how long --robustness may take (default: 120)",
    )
    _add_json(parser)


def _add_audit(commands: Any) -> None:
    parser = _add(
        commands,
        "audit",
        "write the page for whoever signs off a model",
        "On labelled rows: how often it is right, who is served worse, how it breaks, how sure it "
        "is, what it looks at and what it was never shown. The same in words goes beside the page.",
    )
    _add_bundle(parser)
    option = parser.add_argument
    option("data", metavar="DATA", type=Path, help="labelled rows that it did not learn from")
    _add_sensitive(parser)
    option("--out", metavar="FILE", type=Path, help="the page (default: audit.html)")
    option("--examples", action="store_true", help="let the page show rows of the data")
    option(
        "--budget",
        metavar="TIME",
        help="about the wall-clock for everything (default: 45s for tables, 150s for others)",
    )
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    _add_json(parser)


def _add_sensitive(parser: Any) -> None:
    parser.add_argument(
        "--sensitive",
        metavar="COL",
        action="append",
        help="measure who is served worse by this column, which is never learned from (repeat for "
        "several; age:25,60 cuts a number, which is else cut at its quartiles)",
    )


def _add_compare(commands: Any) -> None:
    parser = _add(
        commands,
        "compare",
        "compare two bundles on the same labelled rows",
        "What to know before B replaces A: every metric of both with its interval, the paired "
        "difference, the rows where they differ, and what each costs.",
    )
    parser.add_argument("a", metavar="A", type=Path, help="the run folder or bundle in use")
    parser.add_argument("b", metavar="B", type=Path, help="the one that would replace it")
    parser.add_argument(
        "--data", metavar="TEST", type=Path, required=True, help="rows that neither learned from"
    )
    _add_json(parser)


def _add_explain(commands: Any) -> None:
    parser = _add(
        commands,
        "explain",
        "show what answers come from, and how far to believe it",
        "Shades words, regions or columns by what they have to do with the answer, for single rows "
        "and over all. Each method is measured on these data: does the answer move when what it "
        "names is taken away, more than by chance?",
    )
    _add_bundle(parser)
    option = parser.add_argument
    option("data", metavar="DATA", type=Path, help="rows, with or without labels")
    option("--rows", metavar="N,N", type=_numbers, help="rows to show, from 0 (default: six)")
    option(
        "--method",
        metavar="M",
        help="auto, shap, lime, occlusion, gradients, trees or terms (default: auto, the most "
        "faithful in the time)",
    )
    option("--out", metavar="FILE", type=Path, help="the page (default: explain.html)")
    option("--train", metavar="FILE", type=Path, help="the rows it learned from, for the nearest")
    option("--budget", metavar="TIME", help="wall-clock time for everything (default: 2m)")
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    _add_json(parser)


def _add_label(commands: Any) -> None:
    parser = _add(
        commands,
        "label",
        "name the rows of a pool that are worth a label next",
        "Chooses rows that the specialist is unsure of and that are unlike each other. With "
        "labelled rows it is played through whether that beats drawing rows by chance.",
    )
    _add_bundle(parser)
    option = parser.add_argument
    option("data", metavar="POOL", type=Path, help="rows without labels")
    option("--n", metavar="N", type=_count, help="how many rows (default: 50)")
    option("--by", metavar="WAY", help="margin, diversity or both (default: both)")
    option("--compare", metavar="FILE", type=Path, help="labelled rows, to compare with chance")
    option(
        "--out", metavar="FILE", type=Path, help="write the chosen rows to this .csv or .parquet"
    )
    option("--seed", metavar="N", type=int, help="where random numbers start (default: 0)")
    _add_json(parser)


def _add_export(commands: Any) -> None:
    parser = _add(
        commands,
        "export",
        "write a bundle in the shape that another program wants",
        "onnx: the graph, what reads its inputs, and ten lines that predict with onnxruntime "
        "alone. transformers: a folder for transformers.pipeline, where a class of that library "
        "gives the same answers. web: static files whose page answers in the browser.",
    )
    _add_bundle(parser)
    parser.add_argument("--format", metavar="F", required=True, help="onnx, transformers or web")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the new folder (default: F beside the bundle)"
    )


def _add_load(commands: Any) -> None:
    parser = _add(
        commands,
        "load",
        "check a bundle against its hashes and print its digest",
    )
    _add_bundle(parser)
    parser.add_argument("--expect", metavar="DIGEST", help="refuse a bundle of another digest")


def _add_serve(commands: Any) -> None:
    parser = _add(
        commands,
        "serve",
        "answer requests over HTTP, with a page to try the bundle",
        "POST /predict, GET /health, /metadata, /metrics, /drift and /openapi.json; the page is at "
        "/. Stops on SIGTERM or Ctrl-C once all that it accepted is answered.",
    )
    _add_bundle(parser)
    option = parser.add_argument
    option("--host", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    option("--port", metavar="N", type=_port, help="the port; 0 takes a free one (default: 8000)")
    option("--workers", metavar="N", type=_count, help="processes, each with its own model")
    option("--threads", metavar="N", type=_count, help="threads of each model (default: the cores)")
    option(
        "--token",
        metavar="SECRET",
        help="what clients must bring; better in the environment, as METIER_TOKEN",
    )
    option("--max-rows", metavar="N", type=_count, help="rows in one request (default: 256)")
    option("--max-body", metavar="MB", type=_amount, help="size of one request (default: 16)")
    option("--queue", metavar="N", type=_count, help="rows that may wait (default: 1024)")
    option(
        "--latency",
        metavar="MS",
        type=_amount,
        help="answer small requests within this until saturated: batches are cut so (default: 100)",
    )
    option("--timeout", metavar="SECONDS", type=_amount, help="give up after this (default: 30)")


def _add_bundle(parser: Any) -> None:
    about = "a run folder or its specialist/"
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help=about)


def _add_sources(commands: Any) -> None:
    _add_json(_add(commands, "sources", "list the pretrained starts"))


def _add_strategies(commands: Any) -> None:
    _add_json(_add(commands, "strategies", "list the strategies and parameters"))


def _add_doctor(commands: Any) -> None:
    _add_json(_add(commands, "doctor", "say what is installed and what is missing"))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of row numbers such as 0,5,7")
    return [int(part) for part in parts]


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return amount
