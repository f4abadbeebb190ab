"""The commands that make something."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from metier.commands.parts import (
    add_data,
    add_effort,
    add_json,
    add_sensitive,
    add_source,
    command,
    count,
    number,
    whole,
)


def add_specialize(commands: Any) -> None:
    """Add `metier specialize`."""
    parser = command(
        commands,
        "specialize",
        "make a specialist from a file of labelled examples",
        "Checks the data, tries recipes from cheap to dear on the best pretrained starts, proves "
        "the chosen one on rows it never saw, and writes a bundle and a report.",
    )
    add_data(parser)
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
        "--trials", metavar="N", type=count, help="exactly N trials instead: reproducible"
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
    option(
        "--cost",
        metavar="COSTS",
        help="what errors cost, such as fn=5,fp=1; their mean then decides",
    )
    option("--group", metavar="COL", help="rows with the same value stay on one side of a split")
    option("--time", metavar="COL", help="train on the past, prove on what came later")
    add_sensitive(parser)
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
        type=number,
        help="how often sets of labels or intervals have to hold the truth when `metier predict` "
        "is asked for none (default: 0.9)",
    )
    _add_fairness(parser)
    option("--sampler", metavar="NAME", help="grid, random, tpe, gp or hyperband (default: tpe)")
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    option("--config", metavar="FILE", type=Path, help="a TOML file of options; this line wins")
    option(
        "--resume",
        action="store_true",
        help="go on with a run that was stopped: in --out, else the last of these data",
    )
    option(
        "--no-examples",
        action="store_false",
        dest="examples",
        help="leave rows of the data out of the report",
    )
    add_json(parser)


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
        help="points of the metric, per cent of an error, that making it smaller may cost "
        "(default: 0.5)",
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


def add_compress(commands: Any) -> None:
    """Add `metier compress`."""
    parser = command(
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
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    add_json(parser)


def add_multitask(commands: Any) -> None:
    """Add `metier multitask`."""
    parser = command(
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
    option(
        "--metric",
        metavar="M",
        action="append",
        help="the metric that decides (one for all tasks, or repeat: one for each)",
    )
    option("--group", metavar="COL", help="rows with the same value stay on one side of a split")
    option("--out", metavar="DIR", type=Path, help="the result (default: runs/NAME-tasks)")
    add_effort(parser, "settings of both ways")
    add_source(parser)
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    option(
        "--resume",
        action="store_true",
        help="what the run in --out ended in; one that was stopped begins again",
    )
    add_json(parser)


def add_meta(commands: Any) -> None:
    """Add `metier meta`."""
    parser = command(
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
    option("--ways", metavar="N", type=count, help="classes of an episode (default: 5)")
    option("--shots", metavar="N", type=count, help="known rows of each class (default: 5)")
    option(
        "--method",
        metavar="M",
        help="prototypical, reptile or fomaml (default: prototypical)",
    )
    add_source(parser)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--budget", metavar="TIME", help="wall-clock for everything (default: 5m)")
    effort.add_argument("--steps", metavar="N", type=count, help="exactly N episodes instead")
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    option("--resume", action="store_true", help="what the run in --out ended in, if it did")
    add_json(parser)
