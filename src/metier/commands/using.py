"""The commands on a finished specialist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.commands.parts import (
    add_bundle,
    add_json,
    add_sensitive,
    amount,
    command,
    count,
    number,
    numbers,
    port,
    whole,
)


def add_predict(commands: Any) -> None:
    """Add `metier predict`."""
    parser = command(
        commands,
        "predict",
        "answer for new rows",
        "Writes one line a row, in the order of the input: `prediction`, then a "
        "`probability_CLASS` column a class; for a folder of images a `path` column in front.",
    )
    add_bundle(parser)
    parser.add_argument("data", metavar="DATA", type=Path, help="rows in any format it reads")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="a .csv or .parquet file (default: CSV, printed)"
    )
    parser.add_argument(
        "--coverage",
        metavar="SHARE",
        type=number,
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
        type=number,
        help="leave out instead what is too unsure for this share of errors, such as 0.05",
    )


def add_evaluate(commands: Any) -> None:
    """Add `metier evaluate`."""
    parser = command(commands, "evaluate", "measure a bundle on labelled rows", "With intervals.")
    add_bundle(parser)
    parser.add_argument("data", metavar="DATA", type=Path, help="labelled rows")
    add_sensitive(parser)
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also damage and attack the rows, and say how far the score falls",
    )
    parser.add_argument(
        "--seconds",
        metavar="N",
        type=amount,
        help="about how long --robustness may take (default: 120)",
    )
    add_json(parser)


def add_audit(commands: Any) -> None:
    """Add `metier audit`."""
    parser = command(
        commands,
        "audit",
        "write the page for whoever signs off a model",
        "On labelled rows: how often it is right, who is served worse, how it breaks, how sure it "
        "is, what it looks at and what it was never shown. The same in words goes beside the page.",
    )
    add_bundle(parser)
    option = parser.add_argument
    option("data", metavar="DATA", type=Path, help="labelled rows that it did not learn from")
    add_sensitive(parser)
    option(
        "--out",
        metavar="FILE",
        type=Path,
        help="the page, with its words as .md beside it (default: audit.html)",
    )
    option("--examples", action="store_true", help="let the page show rows of the data")
    option(
        "--budget",
        metavar="TIME",
        help="about the wall-clock for everything (default: 45s for tables, 150s for others)",
    )
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    add_json(parser)


def add_compare(commands: Any) -> None:
    """Add `metier compare`."""
    parser = command(
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
    add_json(parser)


def add_explain(commands: Any) -> None:
    """Add `metier explain`."""
    parser = command(
        commands,
        "explain",
        "show what answers come from, and how far to believe it",
        "Shades words, regions or columns by what they have to do with the answer, for single rows "
        "and over all. Each method is measured on these data: does the answer move when what it "
        "names is taken away, more than by chance?",
    )
    add_bundle(parser)
    option = parser.add_argument
    option("data", metavar="DATA", type=Path, help="rows, with or without labels")
    option("--rows", metavar="N,N", type=numbers, help="rows to show, from 0 (default: six)")
    option(
        "--method",
        metavar="M",
        help="auto, shap, lime, occlusion, gradients, trees or terms (default: auto, the most "
        "faithful in the time)",
    )
    option("--out", metavar="FILE", type=Path, help="the page (default: explain.html)")
    option("--train", metavar="FILE", type=Path, help="the rows it learned from, for the nearest")
    option("--budget", metavar="TIME", help="wall-clock time for everything (default: 2m)")
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    add_json(parser)


def add_label(commands: Any) -> None:
    """Add `metier label`."""
    parser = command(
        commands,
        "label",
        "name the rows of a pool that are worth a label next",
        "Chooses rows that the specialist is unsure of and that are unlike each other. With "
        "labelled rows it is played through whether that beats drawing rows by chance.",
    )
    add_bundle(parser)
    option = parser.add_argument
    option("data", metavar="POOL", type=Path, help="rows without labels")
    option("--n", metavar="N", type=count, help="how many rows (default: 50)")
    option("--by", metavar="WAY", help="margin, diversity or both (default: both)")
    option("--compare", metavar="FILE", type=Path, help="labelled rows, to compare with chance")
    option(
        "--out", metavar="FILE", type=Path, help="write the chosen rows to this .csv or .parquet"
    )
    option("--seed", metavar="N", type=whole, help="where random numbers start (default: 0)")
    add_json(parser)


def add_export(commands: Any) -> None:
    """Add `metier export`."""
    parser = command(
        commands,
        "export",
        "write a bundle in the shape that another program wants",
        "onnx: the graph, what reads its inputs, and ten lines that predict with onnxruntime, and "
        "for dates and counted terms with metier's reader of them. transformers: a folder for "
        "transformers.pipeline, where a class of that library gives the same answers. web: static "
        "files whose page answers in the browser.",
    )
    add_bundle(parser)
    parser.add_argument("--format", metavar="F", required=True, help="onnx, transformers or web")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the new folder (default: F beside the bundle)"
    )


def add_load(commands: Any) -> None:
    """Add `metier load`."""
    parser = command(
        commands,
        "load",
        "check a bundle against its hashes and print its digest",
    )
    add_bundle(parser)
    parser.add_argument("--expect", metavar="DIGEST", help="refuse a bundle of another digest")


def add_serve(commands: Any) -> None:
    """Add `metier serve`."""
    parser = command(
        commands,
        "serve",
        "answer requests over HTTP, with a page to try the bundle",
        "POST /predict, GET /health, /metadata, /metrics, /drift and /openapi.json; the page is at "
        "/. Stops on SIGTERM or Ctrl-C once all that it accepted is answered.",
    )
    add_bundle(parser)
    option = parser.add_argument
    option("--host", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    option("--port", metavar="N", type=port, help="the port; 0 takes a free one (default: 8000)")
    option("--workers", metavar="N", type=count, help="processes, each with its own model")
    option("--threads", metavar="N", type=count, help="threads of each model (default: the cores)")
    option(
        "--token",
        metavar="SECRET",
        help="what clients must bring; better in the environment, as METIER_TOKEN",
    )
    option("--max-rows", metavar="N", type=count, help="rows in one request (default: 256)")
    option("--max-body", metavar="MB", type=amount, help="size of one request (default: 16)")
    option("--queue", metavar="N", type=count, help="rows that may wait (default: 1024)")
    option(
        "--latency",
        metavar="MS",
        type=amount,
        help="answer small requests within this until saturated: batches are cut so (default: 100)",
    )
    option("--timeout", metavar="SECONDS", type=amount, help="give up after this (default: 30)")
