"""Claim: metier's loop trains several times faster than the plain Trainer.

Both learn the same rows from the same weights, in batches of 32 padded to their longest, on the
same threads, in turns (`all-64`: metier's loop alone, in batches of 64). Neither side's set-up
counts: reading, tokenising, loading, the first steps, the first pass through what is frozen (told
apart as `first_pass_seconds`). Rates are of examples and of real tokens; the share of the peak
counts the products that real tokens need in the blocks that learn, against the rate of large
matrix products just before and after.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, options, peak, records, sets
from bench.peers import trainer as plain
from bench.sets import TEXT, Rows

CLAIM = "speed"
WARM = 4
"""Steps that do not count, on both sides."""
PARTS = ("all", "all-64", "top", "head")
HEAD_EPOCHS = 20
"""A pass over cached features is too short to time alone."""


@dataclass
class Laps:
    """The clock of one training: one lap a step, from its start to the start of the next."""

    lengths: list[list[int]] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def start_step(self) -> None:
        """Note that a step begins."""
        self.wall.append(time.perf_counter())
        self.processor.append(time.process_time())


@dataclass(frozen=True)
class Text:
    """The rows, the encoder that reads them, and how many of its blocks are its top."""

    rows: Rows
    encoder: peak.Encoder
    top: int

    def facts(self, laps: Laps, part: str) -> dict[str, float]:
        """Return the rates of all steps but the first and the last."""
        warm = min(WARM, len(laps.wall) - 2)
        seconds = laps.wall[-1] - laps.wall[warm]
        lengths = list(itertools.chain(*laps.lengths[warm : len(laps.wall) - 1]))
        blocks = {"top": self.top, "head": 0}.get(part, self.encoder.blocks)
        done = self.encoder.training_flops(lengths, blocks) / seconds
        return {
            "examples_per_second": round(len(lengths) / seconds, 2),
            "tokens_per_second": round(sum(lengths) / seconds, 1),
            "gflops": round(done / 1e9, 2),
            "seconds": round(seconds, 3),
            "processor_seconds": round(laps.processor[-1] - laps.processor[warm], 3),
        }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the repeats that are asked for and have not been run, both sides in turns."""
    args = _arguments(argv)
    import torch

    plain.be_quiet()
    torch.set_num_threads(args.threads)
    text = _prepare(args)
    arms = _arms(text, args.parts)
    for repeat in range(args.repeats):
        for name, arm in arms.items():
            method, _, part = name.partition("/")
            key = {"set": args.set, "method": method, "part": part, "repeat": repeat}
            key |= {"rows": args.rows, "threads": args.threads}
            if records.find(records.read(CLAIM, args.results), key) is None:
                load = machine.load()
                before = peak.matmul_rate(args.threads)
                found = arm(repeat)
                rate = (before + peak.matmul_rate(args.threads)) / 2e9
                found |= {
                    "peak_gflops": round(rate, 1),
                    "share_of_peak": round(found["gflops"] / rate, 4),
                }
                found = {**key, **found, "load_before": load}
                records.append(CLAIM, found, args.threads, args.results)
                told = f"{found['examples_per_second']} examples/s, {found['gflops']} GFLOP/s"
                print(f"{method} {part} repeat {repeat}: {told}", flush=True)


def _prepare(args: argparse.Namespace) -> Text:
    """Take a random part of the rows."""
    rows = sets.load(args.set, sets.find_data(args.data))
    order = np.random.default_rng(0).permutation(rows.train.height)[: args.rows]
    rows = Rows(rows.about, rows.train[order], rows.test)
    model, _ = plain.text_model(2)
    encoder = peak.Encoder.of(model.config)
    return Text(rows, encoder, round(encoder.blocks / 3))


Arm = Callable[[int], dict[str, float]]


def _arms(text: Text, parts: Sequence[str]) -> dict[str, Arm]:
    """Every way of training, by name; the two sides of a comparison next to each other."""
    own = _Own(text)
    arms: dict[str, Arm] = {}
    for part in parts:
        if part in ("all", "top"):
            arms[f"trainer/{part}"] = partial(_trainer, text, part)
        arms[f"metier/{part}"] = partial(own.train, part)
    return arms


def _trainer(text: Text, part: str, seed: int) -> dict[str, float]:
    """One epoch of the Trainer."""
    from transformers import DataCollatorWithPadding, TrainerCallback

    rows = text.rows
    model, tokenizer = plain.text_model(len(rows.labels))
    if part == "top":
        _freeze_below(model, text.encoder.blocks - text.top)
    data = plain.tokenised(tokenizer, rows.train[TEXT].to_list(), rows.codes())
    pad = DataCollatorWithPadding(tokenizer)
    laps = Laps()

    def collate(batch: list[dict[str, Any]]) -> Any:
        laps.lengths.append([len(each["input_ids"]) for each in batch])
        return pad(batch)

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            laps.start_step()

    with tempfile.TemporaryDirectory() as scratch:
        trainer = plain.make_trainer(
            model,
            data,
            collate,
            epochs=1,
            rate=plain.RATES["text"],
            seed=seed,
            scratch=Path(scratch),
            callbacks=[Clock()],
        )
        trainer.train()
    return text.facts(laps, part)


def _freeze_below(model: Any, block: int) -> None:
    """Freeze the embeddings and the blocks below one."""
    for module in (model.bert.embeddings, *model.bert.encoder.layer[:block]):
        for parameter in module.parameters():
            parameter.requires_grad_(False)


class _Own:
    """metier's side: the source, the encoded rows and the cache are made once, as in a run."""

    def __init__(self, text: Text) -> None:
        from metier.cache import Cache
        from metier.data.read import read
        from metier.data.roles import infer_roles
        from metier.data.table import build_table
        from metier.sources import open_source
        from metier.tasks import build
        from metier.types import Problem, Specialist

        self.text = text
        raw = read(text.rows.train)
        table, _ = build_table(raw, infer_roles(raw, target=text.rows.target))
        task = build("multiclass" if len(text.rows.labels) > 2 else "binary", table, None)
        self.start = Specialist(open_source("embedded", "text"), task)
        self.problem = Problem(task, table)
        self.cache = Cache()
        self.targets = task.encode(table)

    def train(self, part: str, seed: int) -> dict[str, float]:
        """One epoch of the loop (several when only the head learns), as fine-tuning sets it up."""
        from metier.strategies.finetune import Finetune
        from metier.training.loop import fit
        from metier.training.schedule import Schedule
        from metier.training.start import feed_for, fresh_net
        from metier.types import Run

        blocks, top = self.text.encoder.blocks, self.text.top
        boundary = {"top": 1 + blocks - top, "head": 2 + blocks}.get(part, 0)
        epochs = HEAD_EPOCHS if part == "head" else 1
        run = Run(cache=self.cache, seed=seed)
        model = fresh_net(self.start, self.problem, boundary)
        feed = feed_for(model, self.problem.train, run)
        began = time.perf_counter()
        feed.prepare(boundary)
        first = time.perf_counter() - began
        laps = Laps()
        objective = _clocked(self.problem.task, laps)
        settings = Finetune(epochs=epochs, patience=0, rows=64 if part == "all-64" else 32)
        schedule = Schedule.of(settings, head_rate=settings.rate * 10)
        fit(model.net, feed, self.targets, objective, schedule, run)
        return {**self.text.facts(laps, part), "first_pass_seconds": round(first, 3)}


def _clocked(task: Any, laps: Laps) -> Any:
    """Return the usual objective, which notes the start of each step."""
    from metier.training.objectives import Supervised

    loss = Supervised(task)

    class Clocked:
        enters = None
        feeds = ()

        def __call__(self, net: Any, batch: Any) -> Any:
            laps.start_step()
            mask = batch.inputs.get("attention_mask")
            rows = len(batch.targets)
            laps.lengths.append([0] * rows if mask is None else mask.sum(1).tolist())
            return loss(net, batch)

    return Clocked()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("speed", __doc__, limit=False)
    option = parser.add_argument
    texts = [name for name, about in sets.SETS.items() if about.modality == "text"]
    option("--set", choices=texts, default="banking77")
    option("--rows", type=int, default=2000, help="training rows to learn from")
    option("--repeats", type=int, default=5)
    option("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
