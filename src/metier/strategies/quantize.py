"""8-bit weights and 8-bit arithmetic for what was trained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import onnx

from metier.deploy import quantization
from metier.deploy.finished import finished
from metier.deploy.fusion import fused
from metier.errors import ChainError, Pruned
from metier.runtime.preprocess import Arrays, Preprocess
from metier.space import Choice, tune
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Table, batches_of

ROWS_IN_A_BATCH = 8


@dataclass(frozen=True)
class Quantize:
    """Round weights, and what they are multiplied with, to 8 bits; join steps first.

    Args:
        mode: "dynamic" rounds activations as they come, "static" to ranges found on calibration
            rows, "weights" block by block (those of convolutions not at all), the closest; "none"
            rounds nothing and only joins steps; "auto" takes "static" for networks of convolutions
            and "dynamic" for all others.
        embedding: hold the tables of words and positions in 8 bits too.
        rows: training rows that show what is rounded: the ranges of "static", the outliers that
            are tamed for "dynamic", the means that convolutions are to keep.
    """

    mode: Literal["auto", "dynamic", "static", "weights", "none"] = tune(
        "auto", Choice(("dynamic", "static", "weights"))
    )
    embedding: bool = tune(True, Choice((True, False)))
    rows: int = 128
    accepts: ClassVar[tuple[Form, ...]] = ("net", "graph")
    gives: ClassVar[Form] = "graph"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        if run.deadline is not None and began > run.deadline:
            raise Pruned("out of time")
        model = start.model
        if model is None:
            raise ChainError("quantize takes what has learned something: put it behind a strategy")
        graph = model.graph()
        if quantization.is_quantized(graph):
            raise ChainError("quantize takes a graph once: this one has 8-bit numbers already")
        order = np.random.default_rng(run.seed).permutation(len(problem.train))[: self.rows]
        rows = problem.train.take(np.sort(order))
        feeds = batches(model.preprocess, rows)
        mode = self._mode(graph)
        simple = fused(graph, [*feeds[:1], *longest(model.preprocess, rows)])
        made = self._rounded(mode, simple, feeds)
        notes = {"mode": mode, "bytes_before": graph.ByteSize(), "bytes": made.ByteSize()}
        step = Step("quantize", asdict(self), time.monotonic() - began, notes)
        return start.then(finished(made, model), step)

    def _mode(self, graph: onnx.ModelProto) -> str:
        if self.mode != "auto":
            return self.mode
        return "static" if quantization.of_convolutions(graph) else "dynamic"

    def _rounded(
        self, mode: str, graph: onnx.ModelProto, feeds: Sequence[Arrays]
    ) -> onnx.ModelProto:
        if mode == "dynamic":
            return quantization.dynamic(graph, feeds, embedding=self.embedding)
        if mode == "weights":
            return quantization.weights(graph, feeds, embedding=self.embedding)
        if mode == "static":
            return quantization.static(graph, feeds, embedding=self.embedding)
        return graph


def batches(preprocess: Preprocess, table: Table) -> list[Arrays]:
    """Return rows as batches of like ones, so that padding takes little part in the ranges."""
    found = preprocess.encode(table.columns()).examples
    examples: list[Any] = [example for example in found if example is not None]
    examples.sort(key=preprocess.cost)
    return [
        preprocess.collate(examples[part]) for part in batches_of(len(examples), ROWS_IN_A_BATCH)
    ]


def longest(preprocess: Preprocess, table: Table) -> list[Arrays]:
    """Return a batch of a text as long as the network reads and a short one; nothing for images.

    What sees only what is near, or before, differs from full attention on long texts first.
    """
    if preprocess.kind != "text":
        return []
    columns = {
        name: [" ".join(map(str, values)) * 8, str(values[0])]
        for name, values in table.columns().items()
    }
    examples = [each for each in preprocess.encode(columns).examples if each is not None]
    return [preprocess.collate(examples)]
