"""Claim: a compressed specialist costs a quarter of the `transformers` pipeline, for half a point.

One specialist a set, fine-tuned by metier; what `metier compress` makes of it under several wishes,
judged on rows held out of its training and recovering on those that it learned from; and the
`transformers` pipeline in fp32: of the very same network for images, of the same encoder with as
many labels for texts (no class of `transformers` pools by the mean before its head, so that
pipeline is timed and weighed, not scored). All are timed in turns in one process. Losses are
paired, on the test rows, which nothing else looks at.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from bench import machine, options, processes, records, sets
from bench.peers import IMAGE_MODEL
from bench.peers import trainer as plain
from bench.sets import IMAGE, TEXT, Rows

CLAIM = "compress"
SETS = ("sst2", "banking77", "trash_photos")
VALID = 0.25
"""Share of the training rows that the specialist does not learn from: `compress` gets them."""
WISHES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "text": {
        "int8": ("--strategy", "quantize"),
        "trim + int8": ("--strategy", "trim", "--strategy", "quantize"),
        "12 MB": ("--max-size", "12MB", "--max-loss", "1.5"),
    },
    "image": {"int8": ("--strategy", "quantize"), "any": ()},
}
"""What is wished for, as the words of the command."""
TIMED, TOGETHER = 64, 512
"""Rows that are timed one by one, and rows that come together."""
ROUNDS = 5

Answer = Callable[[Sequence[str]], object]


def main(argv: Sequence[str] | None = None) -> None:
    """Make, compress and measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        key = {"set": name, "threads": args.threads, "limit": args.limit}
        if records.find(records.read(CLAIM, args.results), key) is None:
            for found in _measure(name, args):
                records.append(CLAIM, {**key, **found}, args.threads, args.results)
                print(name, json.dumps(found), flush=True)


def _measure(name: str, args: argparse.Namespace) -> list[records.Record]:
    rows = sets.load(name, sets.find_data(args.data), limit=args.limit)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        folder = Path(scratch)
        train, valid = _divide(rows, folder)
        run = _specialize(rows, train, folder / "run", args)
        bundles = {"fp32": run / "specialist"}
        told: dict[str, Any] = {"fp32": {}}
        for wish, words in WISHES[rows.about.modality].items():
            out = folder / f"small-{len(bundles)}"
            told[wish] = _compress(run, valid, out, words, args)
            bundles[wish] = out / "specialist"
        directory = _pipeline_directory(rows, run, folder / "pipeline", args)
        load = machine.load()
        timed = _timed(rows, bundles, directory, args)
        scored = _scored(rows, bundles)
    return [
        {"what": what, **timed[what], **scored.get(what, {}), **told.get(what, {}), "load": load}
        for what in timed
    ]


def _divide(rows: Rows, folder: Path) -> tuple[Path, Path]:
    """Write the rows to learn from, and those that `compress` gets."""
    order = np.random.default_rng(0).permutation(rows.train.height)
    cut = round(VALID * len(order))
    folder.mkdir(exist_ok=True)
    for part, chosen in (("valid", order[:cut]), ("train", order[cut:])):
        rows.train[np.sort(chosen)].write_csv(folder / f"{part}.csv")
    return folder / "train.csv", folder / "valid.csv"


def _specialize(rows: Rows, train: Path, out: Path, args: argparse.Namespace) -> Path:
    source = "embedded"
    if rows.about.modality == "image":
        source = str(sets.find_models(args.models) / IMAGE_MODEL)
    words = ["specialize", str(train), "--target", rows.target, "--source", source]
    words += ["--strategy", "finetune", "--trials", "1", "--out", str(out)]
    _run(words, args, (0,))
    return out


def _compress(
    run: Path, valid: Path, out: Path, words: Sequence[str], args: argparse.Namespace
) -> dict[str, Any]:
    """Compress, and tell what was taken; limits that are not met are told, not hidden."""
    train = valid.with_name("train.csv")
    common = ["compress", str(run), "--data", str(valid), "--train", str(train), "--out", str(out)]
    answered = _run([*common, *words, "--budget", args.budget, "--json"], args, (0, 3))
    found = json.loads(answered.strip().splitlines()[-1])
    return {"chain": found["chosen"], "met": found["met"]}


def _run(words: Sequence[str], args: argparse.Namespace, good: Sequence[int]) -> str:
    cost = processes.run(processes.metier(*words), args.threads)
    if cost.code not in good:
        raise SystemExit(f"metier {words[0]} failed: {cost.said}")
    return cost.answered


def _pipeline_directory(rows: Rows, run: Path, folder: Path, args: argparse.Namespace) -> Path:
    if rows.about.modality == "image":
        _run(["export", str(run), "--format", "transformers", "--out", str(folder)], args, (0,))
        return folder
    model, tokenizer = plain.text_model(len(rows.labels))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _timed(
    rows: Rows, bundles: Mapping[str, Path], directory: Path, args: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Time one row at a time, and many together, everybody in turns."""
    import torch

    from metier.runtime.session import load

    torch.set_num_threads(args.threads)
    ways: dict[str, Answer] = {"pipeline": _pipeline(rows, directory)}
    for what, path in bundles.items():
        ways[what] = load(path, threads=args.threads).predict
    column = TEXT if rows.about.modality == "text" else IMAGE
    texts = rows.test[column].to_list()
    single: dict[str, list[float]] = {what: [] for what in ways}
    rates: dict[str, list[float]] = {what: [] for what in ways}
    for _ in range(ROUNDS):
        for text in texts[:TIMED]:
            for what, answer in ways.items():
                single[what].append(_seconds(answer, [text]))
        for what, answer in ways.items():
            some = texts[:TOGETHER]
            rates[what].append(len(some) / _seconds(answer, some))
    size = {"pipeline": directory, **bundles}
    return {
        what: {
            "bytes": sum(p.stat().st_size for p in size[what].rglob("*") if p.is_file()),
            "latency_ms": round(1e3 * median(single[what]), 3),
            "p95_ms": round(1e3 * float(np.quantile(single[what], 0.95)), 3),
            "rows_per_second": round(median(rates[what]), 1),
        }
        for what in ways
    }


def _seconds(answer: Answer, rows: Sequence[str]) -> float:
    began = time.perf_counter()
    answer(rows)
    return time.perf_counter() - began


def _pipeline(rows: Rows, directory: Path) -> Answer:
    """The pipeline, told to take what it is given as one batch (of 32 at most)."""
    from transformers import pipeline

    plain.be_quiet()
    kind = "text-classification" if rows.about.modality == "text" else "image-classification"
    more = {"truncation": True} if rows.about.modality == "text" else {}
    build: Any = pipeline  # it is typed for tasks that are written out
    made = build(kind, model=str(directory), device="cpu")

    def answer(given: Sequence[str]) -> object:
        return made(list(given), batch_size=min(len(given), plain.BATCH), **more)

    return answer


def _scored(rows: Rows, bundles: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Accuracy on the test rows, and the paired loss against the bundle in fp32."""
    from metier.evidence.compare import paired
    from metier.runtime.session import load

    column = TEXT if rows.about.modality == "text" else IMAGE
    given = {column: rows.test[column].to_list()}
    found: dict[str, dict[str, Any]] = {}
    before: Any = None
    for what, path in bundles.items():
        bundle = load(path)
        known = {label: code for code, label in enumerate(bundle.labels)}
        truth = np.array([known[v] for v in rows.test[rows.target].cast(pl.String).to_list()])
        scores, rule = bundle.scores(given), bundle.manifest.decision
        before = before or (scores, rule)
        each = paired("accuracy", truth, before[0], scores, before[1], rule)
        lost = {k: round(100 * v, 3) for k, v in (("loss", each.difference), ("low", each.low))}
        found[what] = {"accuracy": each.b, **lost, "high": round(100 * each.high, 3), "n": each.n}
    return found


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("compress", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--budget", default="10m", help="of each compression")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
