"""The data sets that claims are measured on: the same rows for every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from bench.records import ROOT

Modality = Literal["text", "image", "tabular"]
TEXT, IMAGE = "text", "image"
"""Names of the input column of texts, and of the column of image paths."""
LETTERS = 400
"""Letters of a review that are read where many fits are compared: its first 70 words or so."""
FEW = 2000
"""Training rows below which rows are few: the Trainer then gets 10 epochs instead of 3."""


@dataclass(frozen=True)
class DataSet:
    """One set: its folder below the data root, its target, and how many rows a class it keeps.

    With `per_class`, the seed draws the training rows; it never touches the test rows.
    """

    name: str
    modality: Modality
    folder: str
    target: str = "label"
    metric: Literal["accuracy", "rmse"] = "accuracy"
    per_class: int | None = None


SETS = {
    each.name: each
    for each in (
        DataSet("banking77-10", "text", "banking77", per_class=10),
        DataSet("banking77", "text", "banking77"),
        DataSet("sst2", "text", "sst2"),
        DataSet("medical_abstracts", "text", "medical_abstracts"),
        DataSet("financial_phrasebank", "text", "financial_phrasebank"),
        DataSet("adult_income", "tabular", "adult_income", "income"),
        DataSet("german_credit", "tabular", "german_credit", "credit_risk"),
        DataSet("pima_diabetes", "tabular", "pima_diabetes", "outcome"),
        DataSet("wine_quality", "tabular", "wine_quality", "quality", "rmse"),
        DataSet("cifar10", "image", "cifar10"),
        DataSet("hymenoptera", "image", "hymenoptera"),
        DataSet("trash_photos", "image", "trash_photos"),
    )
}


@dataclass(frozen=True)
class Rows:
    """Training and test rows of a set; labels are strings, regression targets numbers."""

    about: DataSet
    train: pl.DataFrame
    test: pl.DataFrame

    @property
    def target(self) -> str:
        return self.about.target

    @property
    def labels(self) -> list[str]:
        """Label names in order; empty for regression."""
        if self.about.metric == "rmse":
            return []
        return sorted(self.train[self.target].unique().to_list())

    @property
    def inputs(self) -> list[str]:
        return [name for name in self.train.columns if name != self.target]

    def codes(self) -> list[int]:
        """Return the training labels as their positions in `labels`."""
        known = {label: code for code, label in enumerate(self.labels)}
        return [known[label] for label in self.train[self.target].to_list()]


def find_data(given: Path | None = None) -> Path:
    """Return the folder of the data sets: the one given, or `shared/data` beside the repository."""
    return _existing(given, ROOT.parent / "shared" / "data", "--data")


def find_models(given: Path | None = None) -> Path:
    """Return the folder of image models: the one given, or `shared/models` beside the checkout."""
    return _existing(given, ROOT.parent / "shared" / "models", "--models")


def load(name: str, data: Path, seed: int = 0, limit: int | None = None) -> Rows:
    """Return the rows of a set. `limit` cuts both parts to a few classes and rows, to check a
    script: its scores mean nothing."""
    about = SETS[name]
    train, test = (_read(about, data / about.folder, part) for part in ("train", "test"))
    if about.per_class is not None:
        train = _per_class(train, about.target, about.per_class, seed)
    if limit is not None:
        train, test = _limited(about, train, limit), _limited(about, test, limit)
    return Rows(about, train, test)


def shortened(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose texts end after so many letters."""
    return frame.with_columns(pl.col(TEXT).str.slice(0, LETTERS))


def write(rows: Rows, folder: Path) -> tuple[Path, Path]:
    """Write both parts as CSV, for who reads files."""
    folder.mkdir(parents=True, exist_ok=True)
    train, test = folder / "train.csv", folder / "test.csv"
    rows.train.write_csv(train)
    rows.test.write_csv(test)
    return train, test


def _existing(given: Path | None, usual: Path, option: str) -> Path:
    folder = given or usual
    if not folder.is_dir():
        raise SystemExit(f"no folder {folder}: name it with {option}")
    return folder


def _read(about: DataSet, folder: Path, part: str) -> pl.DataFrame:
    if about.modality == "image":
        found = sorted(p for p in (folder / part).glob("*/*") if p.is_file())
        names = [p.parent.name for p in found]
        return pl.DataFrame({IMAGE: [str(p.resolve()) for p in found], about.target: names})
    frame = pl.read_csv(folder / f"{part}.csv", infer_schema_length=None)
    dtype = pl.Float64 if about.metric == "rmse" else pl.String
    return frame.with_columns(pl.col(about.target).cast(dtype))


def _per_class(frame: pl.DataFrame, target: str, count: int, seed: int) -> pl.DataFrame:
    order = np.random.default_rng(seed).permutation(frame.height)
    drawn = frame[order].group_by(target, maintain_order=True).head(count)
    return drawn.select(frame.columns)


def _limited(about: DataSet, frame: pl.DataFrame, limit: int) -> pl.DataFrame:
    if about.metric == "rmse":
        return frame.head(limit)
    labels = sorted(frame[about.target].unique().to_list())[: max(2, limit // 25)]
    kept = frame.filter(pl.col(about.target).is_in(labels))
    share = max(1, limit // len(labels))
    return kept.group_by(about.target, maintain_order=True).head(share).select(frame.columns)


Predict = Callable[[pl.DataFrame], np.ndarray]
"""From rows to one answer each: label strings, or values."""
