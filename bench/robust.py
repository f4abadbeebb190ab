"""Claim: what adversarial training gains under attack over plain fine-tuning, and what it costs.

Images: cifar10 enlarged to 96 px by the source's own preprocessing, a MobileNet, PGD-20 within an
L-infinity radius of 4/255 of those pixels, from two starts. Texts: sst2 and word substitution, with
neighbours in the untouched source's embeddings. Both methods learn from the same rows and are
attacked on the same test rows, each through its own gradients; differences are paired.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, options, records, sets
from bench.sets import IMAGE, TEXT, Rows

CLAIM = "robust"
SETS = ("cifar10", "sst2")
METHODS = ("plain", "adversarial")
IMAGE_MODEL = "mobilenet-v1-imagenet"
SIDE = 96
"""Pixels of the pictures that the network is given."""
RADIUS, STEPS, RESTARTS = 4 / 255, 20, 2
TOGETHER = 25


@dataclass(frozen=True)
class Measured:
    """Which test rows are right, clean and attacked, and what it took."""

    clean: np.ndarray
    robust: np.ndarray
    learned_s: float
    attacked_s: float


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the sets that are asked for and have not been measured."""
    args = _arguments(argv)
    for name in args.sets:
        key = {"set": name, "seed": args.seed, "rows": args.rows, "limit": args.limit}
        if records.find(records.read(CLAIM, args.results), key) is None:
            for found in _measure(name, args):
                records.append(CLAIM, {**key, **found}, args.threads, args.results)
                print(name, json.dumps(found), flush=True)


def _measure(name: str, args: argparse.Namespace) -> list[records.Record]:
    import torch

    torch.set_num_threads(args.threads)
    load = machine.load()
    rows = _cut(sets.load(name, sets.find_data(args.data), limit=args.limit), args)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as scratch:
        source = _source(rows, Path(scratch), args)
        found = {method: _one(method, rows, source, Path(scratch), args) for method in METHODS}
    told = [
        {
            "what": method,
            **_share("clean", each.clean),
            **_share("robust", each.robust),
            "learned_s": round(each.learned_s, 1),
            "attacked_s": round(each.attacked_s, 1),
            "train": rows.train.height,
            "load": load,
        }
        for method, each in found.items()
    ]
    gap = {
        **_gap("gain", found["adversarial"].robust, found["plain"].robust),
        **_gap("cost", found["plain"].clean, found["adversarial"].clean),
    }
    return [*told, {"what": "adversarial against plain", **gap, "load": load}]


def _cut(rows: Rows, args: argparse.Namespace) -> Rows:
    """Draw the rows to learn from and to attack."""
    random = np.random.default_rng(args.seed)
    parts = []
    for frame, most in ((rows.train, args.train), (rows.test, args.rows)):
        order = random.permutation(frame.height)[:most]
        parts.append(frame[np.sort(order)])
    return Rows(rows.about, *parts)


def _source(rows: Rows, folder: Path, args: argparse.Namespace) -> Any:
    """The pretrained source; of images, a copy that reads pictures of `SIDE` pixels."""
    from metier.sources import open_source

    if rows.about.modality == "text":
        return open_source("embedded", "text")
    copied = folder / args.image_model
    shutil.copytree(
        sets.find_models(args.models) / args.image_model, copied, copy_function=shutil.copyfile
    )
    path = copied / "preprocessor_config.json"
    path.chmod(0o644)
    asked = json.loads(path.read_text(encoding="utf-8"))
    asked |= {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False}
    path.write_text(json.dumps(asked), encoding="utf-8")
    return open_source(str(copied), "image")


def _one(method: str, rows: Rows, source: Any, folder: Path, args: argparse.Namespace) -> Measured:
    from metier.cache import Cache
    from metier.tasks import build
    from metier.types import Problem, Run, Specialist

    kind: Any = "text" if rows.about.modality == "text" else "image"
    train, test = (_table(frame, rows.target, kind) for frame in (rows.train, rows.test))
    task = build("binary" if len(rows.labels) == 2 else "multiclass", train)
    began = time.monotonic()
    strategy = _strategy(method, kind)
    made = strategy(
        Specialist(source, task), Problem(task, train), Run(Cache(folder / "cache"), seed=args.seed)
    )
    learned = time.monotonic()
    truth = task.encode(test)
    clean = made.scores(test).argmax(axis=1) == truth
    attack = _attack_texts if kind == "text" else _attack_images
    robust = attack(made, source, test, truth, args)
    return Measured(clean, robust & clean, learned - began, time.monotonic() - learned)


def _table(frame: Any, target: str, kind: Any) -> Any:
    from metier.types import Roles, Table

    column = TEXT if kind == "text" else IMAGE
    return Table(frame.select(column, target), Roles({column: kind}, (target,)))


def _strategy(method: str, kind: str) -> Any:
    """What each method is, with its own defaults; both train the same layers."""
    from metier.strategies.adversarial import WORDS, Adversarial
    from metier.strategies.finetune import Finetune

    if method == "adversarial":
        return Adversarial()
    return Finetune(train="all", rate=5e-4) if kind == "image" else Finetune(**WORDS)


def _attack_images(
    made: Any, source: Any, test: Any, truth: np.ndarray, args: argparse.Namespace
) -> np.ndarray:
    import torch

    from metier.evidence.robustness.aims import Aim
    from metier.evidence.robustness.pixels import Pixels
    from metier.runtime.postprocess import Decision
    from metier.training.attacks.pgd import Budget, answering, pgd

    pixels = Pixels.of(made.model.preprocess)
    seen = torch.from_numpy(pixels.read(made.model.preprocess, test.columns()[IMAGE]))
    answer = answering(made.model.net.eval(), pixels)
    rule = Decision("multiclass", made.task.labels)
    right = []
    for start in range(0, len(seen), TOGETHER):
        aim = Aim(truth[start : start + TOGETHER], rule)
        moved = pgd(
            answer,
            seen[start : start + TOGETHER],
            aim,
            Budget(RADIUS, STEPS, restarts=RESTARTS),
            args.seed,
        )
        with torch.no_grad():
            right.append(~aim.wrong(answer(moved.pixels).numpy()))
    return np.concatenate(right)


def _attack_texts(
    made: Any, source: Any, test: Any, truth: np.ndarray, args: argparse.Namespace
) -> np.ndarray:
    from metier.evidence.robustness.aims import Aim
    from metier.runtime.postprocess import Decision
    from metier.training.attacks.substitution import substitute
    from metier.training.neighbours import neighbours

    text, net = made.model.preprocess, made.model.net
    examples = text.encode(test.columns()).examples
    used = np.unique(np.concatenate([window for each in examples for window in each]))
    known = neighbours(text, source.load(), used)
    rule = Decision("binary", made.task.labels)
    answer: Callable[[Any], Any] = _answering_texts(net, text)
    right = []
    for start in range(0, len(examples), TOGETHER):
        aim = Aim(truth[start : start + TOGETHER], rule)
        moved = substitute(net, text, known, examples[start : start + TOGETHER], aim)
        right.append(~aim.wrong(answer(moved)))
    return np.concatenate(right)


def _answering_texts(net: Any, text: Any) -> Callable[[Any], Any]:
    import torch

    def answer(examples: Any) -> Any:
        arrays = text.collate(list(examples))
        with torch.no_grad():
            return net({k: torch.from_numpy(v) for k, v in arrays.items()}).numpy()

    return answer


def _share(name: str, right: np.ndarray) -> dict[str, float]:
    from metier.evidence.bootstrap import wilson

    low, high = wilson(float(right.sum()), len(right), 0.95)
    found = {name: right.mean(), f"{name}_low": low, f"{name}_high": high}
    return {**{k: round(float(v), 4) for k, v in found.items()}, "n": len(right)}


def _gap(name: str, more: np.ndarray, less: np.ndarray) -> dict[str, float]:
    """The difference of two shares of the same rows, in points, with its interval."""
    from metier.evidence.compare import paired
    from metier.runtime.postprocess import Decision

    rule = Decision("binary", ("wrong", "right"))
    first, second = (np.stack([~each, each], axis=1).astype(float) for each in (more, less))
    found = paired("accuracy", np.ones(len(more), dtype=int), first, second, rule, rule)
    each = {name: found.difference, f"{name}_low": found.low, f"{name}_high": found.high}
    return {k: round(100 * v, 2) for k, v in each.items()}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("robust", __doc__, models=True)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=list(SETS))
    option("--rows", type=int, default=300, help="test rows that are attacked")
    option("--train", type=int, default=3000, help="rows that are learned from at most")
    option("--image-model", default=IMAGE_MODEL, help="the folder of the image network")
    option("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
