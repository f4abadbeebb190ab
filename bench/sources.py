"""Claim: scores from one forward pass put the best source among the top three, at little cost.

On each set of images every source is scored as `metier rank` does, on the training rows alone, and
then fine-tuned (head first, top third of the blocks, a fixed number of epochs) with three seeds,
each on its own four fifths of the training rows; the other fifth gives its validation accuracy. The
true order is that of the mean test accuracy. Nothing is chosen by test rows: a source is picked by
a score, or by validation among the shortlist, and the test rows say what that pick cost.

The cost of fine-tuning all sources is measured for the fits above. That of fine-tuning every layer
is worked out from the seconds that a pass over timed rows took.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, options, records, sets
from bench.records import Record
from bench.sourcestable import summarise, to_markdown

CLAIM = "sources"
SETS = {"trash_photos": None, "hymenoptera": None, "food_photos": None, "cifar10": 60}
"""The sets, and how many training rows a class they keep (None: all)."""
SEEDS = (0, 1, 2)
EPOCHS = 4
FULL_ROWS = 64
"""Rows of the timed pass over all layers."""


@dataclass(frozen=True)
class Photos:
    """A set of images: training and test rows as tables, and their task."""

    name: str
    train: Any
    test: Any
    task: Any


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the cells that are asked for and missing, then sum up what there is."""
    args = _arguments(argv)
    folder = args.results
    if not args.table:
        import torch

        torch.set_num_threads(args.threads)
        models, data = sets.find_models(args.models), sets.find_data(args.data)
        names = args.sources or sorted(
            p.parent.name for p in models.glob("mobilenet-*/config.json")
        )
        _warm_up(models / names[0])
        for name in args.sets or SETS:
            photos = _read(name, data, args.limit)
            for source in names:
                _measure(photos, models / source, args)
        for source in names:
            _measure_full(source, models, data, args)
    summary = {**summarise(records.read(CLAIM, folder)), "environments": _environments(folder)}
    (folder / f"{CLAIM}.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(to_markdown(summary) or "no set is complete yet")


def _environments(folder: Path) -> dict[str, Any]:
    known = records.environments(folder)
    return {key: known[key] for key in {r["environment"] for r in records.read(CLAIM, folder)}}


def _warm_up(model: Path) -> None:
    """Import what loading needs, which would otherwise count for the first source alone."""
    from metier.sources import open_source

    source: Any = open_source(str(model), "image")
    source.load(pretrained=False)


def _measure(photos: Photos, model: Path, args: argparse.Namespace) -> None:
    key = {"kind": "cell", "set": photos.name, "source": model.name}
    if records.find(records.read(CLAIM, args.results), key) is not None:
        return
    record: Record = {
        **key,
        "limit": args.limit,
        "epochs": EPOCHS,
        "train": len(photos.train),
        "test": len(photos.test),
    }
    record |= {"load": machine.load(), **_score(photos, model), **_finetune(photos, model)}
    records.append(CLAIM, record, args.threads, args.results)
    shown = f"{np.mean(record['valid']):.3f} valid, {np.mean(record['accuracy']):.3f} test"
    print(f"{photos.name:14} {model.name:32} {shown}, {sum(record['seconds']):.0f} s", flush=True)


def _score(photos: Photos, model: Path) -> Record:
    """Score one source as `metier rank` does, with nothing cached."""
    from metier.cache import Cache
    from metier.search.shortlist import SAMPLE, draw, measure
    from metier.sources import open_source

    rows = photos.train.take(draw(photos.task.encode(photos.train), SAMPLE, 0))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(open_source(str(model), "image"), rows, photos.task, Cache(Path(folder)))
    if found.reason:
        raise SystemExit(found.reason)
    return {
        "scores": {name: round(value, 6) for name, value in found.scores.items()},
        "score_seconds": round(found.seconds, 3),
        "memory_mb": round(found.memory),
        "width": found.width,
        "parameters": found.parameters,
    }


def _finetune(photos: Photos, model: Path) -> Record:
    """Fine-tune with every seed, each on its own four fifths of the training rows.

    The cache is kept between the seeds, so only the first one's seconds hold the pass through what
    is frozen.
    """
    from metier.cache import Cache
    from metier.sources import open_source
    from metier.strategies.finetune import Finetune
    from metier.types import Problem, Run, Specialist

    strategy = Finetune(train="top", epochs=EPOCHS, patience=0)
    start = Specialist(open_source(str(model), "image"), photos.task)
    targets, truth = photos.task.encode(photos.train), photos.task.encode(photos.test)
    seconds, valid, accuracy = [], [], []
    right = np.zeros(len(truth), dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        for seed in SEEDS:
            held = _fifth(targets, seed)
            fitted = np.setdiff1d(np.arange(len(targets)), held)
            run = Run(cache=cache, seed=seed)
            began = time.monotonic()
            made = strategy(start, Problem(photos.task, photos.train.take(fitted)), run)
            seconds.append(round(time.monotonic() - began, 3))
            guessed = made.scores(photos.train.take(held), cache).argmax(axis=1)
            valid.append(round(float((guessed == targets[held]).mean()), 5))
            hits = made.scores(photos.test, cache).argmax(axis=1) == truth
            accuracy.append(round(float(hits.mean()), 5))
            right += hits
    return {
        "seconds": seconds,
        "valid": valid,
        "accuracy": accuracy,
        "right": "".join(str(count) for count in right),
    }


def _fifth(targets: np.ndarray, seed: int) -> np.ndarray:
    """Return a fifth of the rows, of every class in its share."""
    random = np.random.default_rng((seed, 5))
    shuffled = random.permutation(len(targets))
    order = shuffled[np.argsort(targets[shuffled], kind="stable")]
    return np.sort(order[int(random.integers(5)) :: 5])


def _measure_full(source: str, models: Path, data: Path, args: argparse.Namespace) -> None:
    """Time a pass over rows in which every layer learns.

    All images are scaled to one size first, so that a row costs the same in every set.
    """
    key = {"kind": "full", "source": source}
    if records.find(records.read(CLAIM, args.results), key) is not None:
        return
    photos = _read("hymenoptera", data, FULL_ROWS)
    short = _full_seconds(photos, models / source, 1)
    longer = _full_seconds(photos, models / source, 3)
    each = max(longer - short, 0.0) / (2 * len(photos.train))
    record = {**key, "seconds_per_row": round(each, 6), "load": machine.load()}
    records.append(CLAIM, record, args.threads, args.results)
    print(f"every layer    {source:32} {1e3 * each:.0f} ms a row and epoch", flush=True)


def _full_seconds(photos: Photos, model: Path, epochs: int) -> float:
    from metier.cache import Cache
    from metier.sources import open_source
    from metier.strategies.finetune import Finetune
    from metier.types import Problem, Run, Specialist

    strategy = Finetune(train="all", epochs=epochs, patience=0, head_first=False)
    start = Specialist(open_source(str(model), "image"), photos.task)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        strategy(start, Problem(photos.task, photos.train), Run(cache=Cache(Path(folder))))
        return time.monotonic() - began


def _read(name: str, data: Path, limit: int | None) -> Photos:
    from metier.data.read import read
    from metier.tasks import build
    from metier.types import Roles, Table

    roles = Roles(inputs={"image": "image"}, target=("label",))
    found = {}
    for part, kept in (("train", SETS[name]), ("test", None)):
        raw = read(data / name / part)
        frame = raw.frame
        classes = frame["label"].n_unique()
        most = kept if limit is None else max(5, limit // classes)
        if most is not None:
            frame = frame.group_by("label", maintain_order=True).head(most).select(frame.columns)
        found[part] = Table(frame, roles, raw.base)
    return Photos(name, found["train"], found["test"], build("multiclass", found["train"]))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("sources", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, help="all, unless named")
    option("--sources", nargs="+", help="names of folders of models; all, unless named")
    option("--table", action="store_true", help="only sum up what was measured")
    args = parser.parse_args(argv)
    if args.limit is not None and args.results == records.RESULTS:
        parser.error("--limit needs --results DIR: its scores would mix with the real ones")
    args.results.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    main()
