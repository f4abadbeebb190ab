"""Claim: with 2 to 16 labels a class, `contrast` is better than SetFit in half of its time.

Per class the seed draws the training rows; all methods get the same ones, the same source
(all-MiniLM-L6-v2) and the same fixed thousand of the test rows (all of them where there are fewer).
Its time is from the rows in memory to the fitted model; the loading of the source and of libraries
is left out for all. `contrast` reads the names of the labels, which the others cannot:
`contrast-unnamed` does not, and knows no more than they do. Run it on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench import machine, options, records, sets
from bench.sets import TEXT, Rows
from metier.errors import DataError

CLAIM = "fewshot"
SETS = ("banking77", "medical_abstracts")
SHOTS = (2, 4, 8, 16)
METHODS = ("probe", "contrast", "contrast-unnamed", "setfit")
SEEDS = {2: 10, 4: 10, 8: 3, 16: 3}
"""How many draws of the rows there are for each number of shots."""
TESTED = 1000
PAIRS = 20
"""Pairs a row that SetFit learns from (R = 20 in its paper)."""
Fit = Callable[[], sets.Predict]


@dataclass(frozen=True)
class Cell:
    """One method on one draw of rows."""

    set: str
    shots: int
    method: str
    seed: int
    limit: int | None = None

    @property
    def key(self) -> dict[str, Any]:
        """What names the cell in the results."""
        return {"set": f"{self.set}-{self.shots}", "method": self.method, "seed": self.seed,
                "limit": self.limit}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cells that are asked for and have not been measured; the exit code."""
    try:
        _measure(_arguments(argv))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(args: argparse.Namespace) -> None:
    data = sets.find_data(args.data)
    for cell in cells(args.sets, args.shots, args.methods, args.seeds, args.limit):
        if records.find(records.read(CLAIM, args.results), cell.key) is None:
            load = machine.load()
            found = {**cell.key, "load_before": load, **measure(cell, data, args)}
            records.append(CLAIM, found, args.threads, args.results)
            print(
                f"{found['set']} {cell.method} seed {cell.seed}: {found['score']:.4f} of "
                f"{found['n']} in {found['seconds']:.1f} s",
                flush=True,
            )


def cells(
    names: Sequence[str],
    shots: Sequence[int],
    methods: Sequence[str],
    seeds: int | None,
    limit: int | None = None,
) -> list[Cell]:
    """Return all cells, the seeds that are few first, so that a part of them is a fair part."""
    most = max(seeds or SEEDS.get(k, 3) for k in shots)
    return [
        Cell(name, k, method, seed, limit)
        for seed in range(most)
        for name in names
        for k in shots
        if seed < (seeds or SEEDS.get(k, 3))
        for method in methods
    ]


def measure(cell: Cell, data: Path, args: argparse.Namespace) -> records.Record:
    """Fit one method on one draw; keep what it predicts and return its accuracy and seconds."""
    import torch

    torch.set_num_threads(args.threads)
    rows = draw(sets.load(cell.set, data), cell.shots, cell.seed, cell.limit)
    fit = (_setfit if cell.method == "setfit" else _metier)(rows, cell)
    began, busy = time.perf_counter(), time.process_time()
    predict = fit()
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    predicted = predict(rows.test)
    truth = rows.test[rows.target].to_numpy()
    path = records.predictions_path(kept_as(cell.key), args.results)
    records.write_predictions(path, truth, predicted, rows.labels)
    return {
        "score": float((predicted == truth).mean()),
        "n": len(truth),
        "train": rows.train.height,
        "seconds": round(seconds, 2),
        "busy_seconds": round(busy, 2),
    }


def kept_as(key: records.Record) -> records.Record:
    """Return the key under which predictions are kept, beside those of other claims."""
    return {**key, "set": f"{CLAIM}.{key['set']}"}


def draw(rows: Rows, shots: int, seed: int, limit: int | None = None) -> Rows:
    """Return the rows of a draw, and the test rows that every draw has.

    Raises DataError when a class has fewer rows than shots.
    """
    train, test = rows.train, rows.test
    if limit is not None:
        kept = rows.labels[: max(2, limit // 25)]
        train, test = (f.filter(pl.col(rows.target).is_in(kept)) for f in (train, test))
    order = np.random.default_rng((seed, shots)).permutation(train.height)
    drawn = train[order].group_by(rows.target, maintain_order=True).head(shots)
    counts = drawn.group_by(rows.target).len().sort("len")
    label, fewest = counts.row(0)
    if fewest < shots:
        raise DataError(
            f"{rows.about.name}: {label!r} has {fewest} rows, and {shots} were asked for: "
            "give fewer --shots"
        )
    some = np.sort(np.random.default_rng(0).permutation(test.height)[: limit or TESTED])
    return Rows(rows.about, drawn.select(train.columns), test[some])


def _metier(rows: Rows, cell: Cell) -> Fit:
    from metier.cache import Cache
    from metier.registry import find
    from metier.sources import open_source
    from metier.tasks import build
    from metier.types import Problem, Roles, Run, Specialist, Table

    settings = {"names": False} if cell.method == "contrast-unnamed" else {}
    strategy = find("strategies", cell.method.partition("-")[0])(**settings)
    source: Any = open_source("embedded", "text")
    source.load()

    def fit() -> sets.Predict:
        table = Table(rows.train, Roles({TEXT: "text"}, (rows.target,)))
        task = build("binary" if len(rows.labels) == 2 else "multiclass", table)
        made = strategy(
            Specialist(source, task), Problem(task, table), Run(Cache(), seed=cell.seed)
        )

        def predict(frame: pl.DataFrame) -> np.ndarray:
            scores = made.scores(Table(frame, table.roles))
            return np.asarray(np.asarray(task.labels)[scores.argmax(axis=1)])

        return predict

    return fit


def _setfit(rows: Rows, cell: Cell) -> Fit:
    """The library's defaults (one epoch, batches of 16) with the 20 pairs a row of the paper."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    from metier.sources.directory import locate

    model = SetFitModel.from_pretrained(str(locate("embedded")), labels=rows.labels, device="cpu")

    def fit() -> sets.Predict:
        data = Dataset.from_dict({"text": rows.train[TEXT].to_list(), "label": rows.codes()})
        with tempfile.TemporaryDirectory(prefix="metier-bench-") as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_iterations=PAIRS,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                show_progress_bar=False,
                seed=cell.seed,
            )
            Trainer(model=model, args=arguments, train_dataset=data).train()
        return lambda frame: np.asarray(
            model.predict(frame[TEXT].to_list(), show_progress_bar=False)
        )

    return fit


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("fewshot", __doc__, threads=1)
    option = parser.add_argument
    option("--sets", nargs="+", choices=SETS, default=SETS)
    option("--shots", nargs="+", type=int, default=list(SHOTS), help="labels a class")
    option("--methods", nargs="+", choices=METHODS, default=METHODS)
    option("--seeds", type=int, help="draws for each number of shots, instead of 10, 10, 3 and 3")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
