"""Exported tiny networks with random heads, for tests of what is done to graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

from metier.deploy.onnx import export_net
from metier.runtime.preprocess import Arrays, Preprocess
from metier.training.net import Net, branch
from metier.training.start import preprocess_of
from metier.types import Floats, Table


def exported(source: Any, table: Table, outputs: int = 3) -> tuple[onnx.ModelProto, Preprocess]:
    """The graph of a source with a random head, and how its rows are read."""
    net = branch(Net(source.load(), outputs), 0)
    random = np.random.default_rng(0)
    net.set_head(random.normal(size=net.head.weight.shape), random.normal(size=outputs))
    preprocess = preprocess_of(source, table)
    return export_net(net, preprocess), preprocess


def batches(preprocess: Preprocess, table: Table, size: int = 5) -> list[Arrays]:
    """The rows as batches."""
    found = preprocess.encode(table.columns()).examples
    examples = [each for each in found if each is not None]
    return [
        preprocess.collate(examples[start : start + size])
        for start in range(0, len(examples), size)
    ]


def run(graph: onnx.ModelProto, feeds: list[Arrays]) -> Floats:
    """The scores of all batches."""
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(["scores"], arrays)[0] for arrays in feeds])


def off(found: Floats, wanted: Floats) -> float:
    """The root mean squared difference as a share of the size of what is wanted."""
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)))
