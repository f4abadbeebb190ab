"""Claim: a specialist runs in a browser from a folder of static files, and answers as Python does.

One specialist a set, in fp32 and, for texts and images, in 8 bits; its web folder handed out by
Python's plainest server on this machine and opened in a fresh headless Chromium each time. The
folder is weighed, opening it is timed until the page is ready, and rows are timed one by one, in
turns with Python (onnxruntime, one thread, as the page has one).
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench import machine, options, processes, records, sets
from bench.peers import IMAGE_MODEL
from bench.sets import Rows
from tests.browser import Page, browse, served

CLAIM = "web"
SETS = ("sst2", "trash_photos", "german_credit")
STRATEGY = {"text": "probe", "image": "probe", "tabular": "boost"}
"""What costs the same in the browser as any other strategy of the source, and is made soonest."""
VALID = 400
"""Training rows that compressing looks at; how good the outcome is does not matter here."""
ROWS = 64
WARM_UP = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        key = {"set": name, "limit": args.limit}
        if records.find(records.read(CLAIM, args.results), key) is None:
            for found in _measure(name, args):
                records.append(CLAIM, {**key, **found}, 1, args.results)
                print(name, json.dumps(found), flush=True)


def _measure(name: str, args: argparse.Namespace) -> list[records.Record]:
    rows = sets.load(name, sets.find_data(args.data), limit=args.limit)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        folder = Path(scratch)
        bundles = {"fp32": _specialize(rows, folder, args)}
        if rows.about.modality != "tabular":
            bundles["int8"] = _quantize(rows, bundles["fp32"], folder, args)
        return [
            {"what": what, **_in_a_browser(bundle, rows, folder / what, args.repeats)}
            for what, bundle in bundles.items()
        ]


def _specialize(rows: Rows, folder: Path, args: argparse.Namespace) -> Path:
    train, _ = sets.write(rows, folder / "data")
    kind = rows.about.modality
    words = ["specialize", str(train), "--target", rows.target, "--strategy", STRATEGY[kind]]
    if kind != "tabular":
        image = kind == "image"
        source = str(sets.find_models(args.models) / IMAGE_MODEL) if image else "embedded"
        words += ["--source", source]
    _run([*words, "--trials", "1", "--out", str(folder / "run")], args.threads)
    return folder / "run"


def _quantize(rows: Rows, run: Path, folder: Path, args: argparse.Namespace) -> Path:
    valid = folder / "valid.csv"
    rows.train.sample(min(VALID, rows.train.height), seed=0).write_csv(valid)
    out = folder / "small"
    words = ["compress", str(run), "--data", str(valid), "--strategy", "quantize"]
    _run([*words, "--max-loss", "100", "--out", str(out)], args.threads, (0, 3))
    return out


def _run(words: Sequence[str], threads: int, good: Sequence[int] = (0,)) -> None:
    cost = processes.run(processes.metier(*words), threads)
    if cost.code not in good:
        raise SystemExit(f"metier {words[0]} failed: {cost.said}")


def _in_a_browser(run: Path, rows: Rows, scratch: Path, repeats: int) -> records.Record:
    import metier
    from metier.api import export

    folder = export(run, "web", scratch / "web")
    bundle = metier.load(run, threads=1)
    some = rows.test.select(rows.inputs).head(ROWS).to_dicts()
    load = machine.load()
    opened, theirs, ours, answers = [], [], [], []
    for repeat in range(repeats):
        aside = scratch / f"profile-{repeat}"
        aside.mkdir()
        with browse(aside) as page, served(folder) as url:
            opened.append(_open(page, url))
            for row in some[:WARM_UP]:
                _ask(page, row, rows)
            for row in some:
                found = _ask(page, row, rows)
                theirs.append(found["milliseconds"]["all"])
                began = time.perf_counter()
                wanted = bundle.predict([row])
                ours.append(1e3 * (time.perf_counter() - began))
                if repeat == 0:
                    answers.append((found, wanted))
    return {
        "bytes": _bytes(folder),
        "graph_bytes": _bytes(folder / "model.onnx"),
        "engine_bytes": _bytes(folder / "engine.bin"),
        "open_seconds": round(median(opened), 3),
        "browser_ms": round(median(theirs), 3),
        "browser_p95_ms": round(float(np.quantile(theirs, 0.95)), 3),
        "python_ms": round(median(ours), 3),
        "rows": len(some),
        "repeats": repeats,
        **_agreement(answers),
        "load_before": load,
    }


def _agreement(answers: Sequence[tuple[Mapping[str, Any], Any]]) -> dict[str, Any]:
    """How many answers are the same, and how far the probabilities are apart at most."""
    same = [found["answer"] == wanted.answers[0] for found, wanted in answers]
    apart = [
        float(np.abs(np.array(found["probabilities"]) - wanted.probabilities[0]).max())
        for found, wanted in answers
    ]
    return {"same_answers": round(float(np.mean(same)), 4), "apart": max(apart)}


def _open(page: Page, url: str) -> float:
    """Return the seconds from asking for the page to the first moment it could answer."""
    began = time.perf_counter()
    page.open(url)
    page.until("window.specialist !== undefined")
    page.run("window.specialist.then(() => true)")
    return time.perf_counter() - began


def _ask(page: Page, row: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    cells = dict(row)
    prepared = ""
    if rows.about.modality == "image":
        ((name, path),) = cells.items()
        content = base64.b64encode(Path(path).read_bytes()).decode()
        prepared = (
            f"row[{json.dumps(name)}] = new Blob([Uint8Array.from(atob('{content}'), "
            "(c) => c.charCodeAt(0))]);"
        )
        cells = {}
    found: dict[str, Any] = page.run(
        f"(async () => {{ const row = {json.dumps(cells)}; {prepared} "
        "return (await window.specialist).predict(row); })()"
    )
    return found


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("web", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--repeats", type=int, default=5, help="fresh browsers")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
