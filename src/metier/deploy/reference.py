"""What a served bundle compares its rows with, worked out when it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.runtime.reference import learn
from metier.runtime.session import Bundle
from metier.runtime.signals import (
    Eye,
    Signals,
    Watched,
    columns_read,
    joined,
    of_scores,
    vocabularies,
)
from metier.types import Floats, Table

MOST_ROWS = 5000


@dataclass(frozen=True)
class HeldOut:
    """Scores (n, outputs) of rows that the model behind them had not learned from, and how it
    decided."""

    scores: Floats
    decision: Decision


class Onlooker:
    """Sees what a bundle encodes while it is compared with its model: images are read once."""

    def __init__(self) -> None:
        self._seen: list[Signals] = []

    def beside(self, bundle: Bundle) -> Bundle:
        """Return the bundle, watched."""
        watched = Watched(bundle.preprocess, _eye(bundle), self._seen.append)
        return replace(bundle, preprocess=watched)

    def conclude(
        self,
        table: Table,
        columns: Sequence[InputColumn],
        spec: Mapping[str, Any],
        held_out: HeldOut,
    ) -> dict[str, Any]:
        """Return the reference as JSON: of all rows, or of those seen where there are images."""
        eye = Eye(columns_read(columns, spec), spec)
        if any(column.kind == "image" for column in eye.columns):
            inputs = joined(self._seen)
        else:
            rows = np.linspace(0, len(table) - 1, min(len(table), MOST_ROWS)).astype(np.int64)
            inputs = eye.columns_alone(table.take(np.unique(rows)).columns())
        named = Eye(tuple(column for column in eye.columns if column.kind == "category"), spec)
        whole = named.columns_alone(table.columns()).categories
        answers = of_scores(held_out.scores, held_out.decision)
        return learn(inputs, answers, vocabularies(spec), whole).to_json()


def _eye(bundle: Bundle) -> Eye:
    spec = bundle.manifest.preprocess
    return Eye(columns_read(bundle.manifest.columns, spec), spec)
