"""The ways of solving a task that are compared: one file each, all with the same shape.

A peer is `fit(rows, settings) -> Fitted`. It may look at `rows.train` only; what it costs is
measured around it, the import of its own libraries included, so peers import inside `fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from bench.sets import FEW, DataSet, Modality, Predict, Rows

IMAGE_MODEL = "mobilenet-v2-imagenet"
"""The image network that every method starts from."""


@dataclass(frozen=True)
class Settings:
    """What a peer is told besides the rows: seed, threads, a folder to write in, and for metier the
    seconds it may take."""

    seed: int
    threads: int
    scratch: Path
    models: Path | None = None
    budget: float | None = None

    @property
    def image_model(self) -> Path:
        """The directory of the image network."""
        if self.models is None:
            raise SystemExit("images need the models: name their folder with --models")
        return self.models / IMAGE_MODEL


@dataclass(frozen=True)
class Fitted:
    """What a peer learned: how it predicts, and what is worth noting about it."""

    predict: Predict
    notes: Mapping[str, Any] = field(default_factory=dict)


Fit = Callable[[Rows, Settings], Fitted]


@dataclass(frozen=True)
class Peer:
    """A method by its address, the inputs it is for, and whether it is for few rows only."""

    address: str
    modalities: tuple[Modality, ...]
    few_rows_only: bool = False

    def load(self) -> Fit:
        """Import the method."""
        module, _, name = self.address.partition(":")
        return cast("Fit", getattr(import_module(module), name))

    def suits(self, about: DataSet) -> bool:
        """Whether the method is measured on a set."""
        few = about.per_class is not None
        return about.modality in self.modalities and (few or not self.few_rows_only)


OURS = ("metier", "metier-half")
"""metier within the Trainer's own wall-clock, and within half of the best peer's."""
BUDGETED = (*OURS, "flaml")
"""Methods that are told how long they may take."""
METHODS = {
    "tfidf+lr": Peer("bench.peers.terms:fit", ("text",)),
    "frozen+lr": Peer("bench.peers.frozen:fit", ("text", "image")),
    "trainer": Peer("bench.peers.trainer:fit", ("text", "image")),
    "setfit": Peer("bench.peers.fewshot:fit", ("text",), few_rows_only=True),
    "histgb": Peer("bench.peers.boosters:fit_histgb", ("tabular",)),
    "lightgbm": Peer("bench.peers.boosters:fit_lightgbm", ("tabular",)),
    "flaml": Peer("bench.peers.boosters:fit_flaml", ("tabular",)),
    "metier": Peer("bench.peers.own:fit", ("text", "image", "tabular")),
    "metier-half": Peer("bench.peers.own:fit", ("text", "image", "tabular")),
}

__all__ = ["BUDGETED", "FEW", "METHODS", "OURS", "Fit", "Fitted", "Peer", "Settings"]
