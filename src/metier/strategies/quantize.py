"""8-bit weights and 8-bit arithmetic for what was trained."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import onnx

from metier.deploy import quantization
from metier.deploy.finished import finished
from metier.errors import ChainError, Pruned
from metier.runtime.preprocess import Arrays, Preprocess
from metier.space import Choice, tune
from metier.types import Form, Modality, Problem, Run, Specialist, Step, batches_of

ROWS_IN_A_BATCH = 8


@dataclass(frozen=True)
class Quantize:
    """Round weights, and what they are multiplied with, to 8 bits.

    Args:
        mode: "dynamic" rounds activations as they come, "static" to ranges found on calibration
            rows, "weights" not at all; "auto" takes "static" for networks of convolutions and
            "dynamic" for all others.
        embedding: hold the tables of words and positions in 8 bits too.
        rows: calibration rows of "static", taken from the training rows.
    """

    mode: Literal["auto", "dynamic", "static", "weights"] = tune(
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
        mode = self._mode(graph)
        if mode == "dynamic":
            made = quantization.dynamic(graph, embedding=self.embedding)
        elif mode == "weights":
            made = quantization.weights(graph, embedding=self.embedding)
        else:
            feeds = self._feeds(model.preprocess, problem, run.seed)
            made = quantization.static(graph, feeds, embedding=self.embedding)
        notes = {"mode": mode, "bytes_before": graph.ByteSize(), "bytes": made.ByteSize()}
        step = Step("quantize", asdict(self), time.monotonic() - began, notes)
        return start.then(finished(made, model), step)

    def _mode(self, graph: onnx.ModelProto) -> str:
        if self.mode != "auto":
            return self.mode
        return "static" if quantization.of_convolutions(graph) else "dynamic"

    def _feeds(self, preprocess: Preprocess, problem: Problem, seed: int) -> list[Arrays]:
        """Batches of like rows, so that padding does not take part in the ranges."""
        order = np.random.default_rng(seed).permutation(len(problem.train))[: self.rows]
        encoded = preprocess.encode(problem.train.take(np.sort(order)).columns())
        examples: list[Any] = [example for example in encoded.examples if example is not None]
        examples.sort(key=preprocess.cost)
        return [
            preprocess.collate(examples[part])
            for part in batches_of(len(examples), ROWS_IN_A_BATCH)
        ]
