"""Outlier channels moved from activations into weights, where rounding does less harm.

In a transformer a few channels of a few tokens are many times larger than all other numbers that a
matrix is multiplied with. Rounded with one scale, they leave the others few of the 256 levels. So
each such channel is divided by how far it stands out, and its row of the matrix multiplied by the
same: exact in floats (Xiao et al., 2023, "SmoothQuant", here for the outliers alone).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from metier.deploy.calibration import values_of
from metier.deploy.rewriting import Wiring, copy_of, replace
from metier.runtime.preprocess import Arrays

ORDINARY = 0.95
"""Share of the channels that are not outliers."""
STANDS_OUT = 1.5
"""How far the largest channel must stand out to be worth another step."""


def tamed(graph: onnx.ModelProto, nodes: Sequence[str], feeds: Sequence[Arrays]) -> onnx.ModelProto:
    """Return a graph of the same scores whose matrix products read values without outliers.

    Args:
        graph: a graph of floats.
        nodes: names of the products with fixed weights that are going to be rounded.
        feeds: batches of named inputs that show the outliers; with none the graph is as it was.
    """
    products = [node for node in graph.graph.node if node.name in set(nodes)]
    largest = _largest(graph, sorted({node.input[0] for node in products}), feeds)
    wiring = Wiring(graph.graph)
    instead: dict[str, list[NodeProto]] = {}
    weights: dict[str, NDArray[np.float32]] = {}
    for node in products:
        weight = wiring.number(node.input[1])
        factors = _factors(largest[node.input[0]]) if node.input[0] in largest else None
        if weight is None or factors is None or weight.ndim != 2:
            continue
        name = f"{node.name}.tamed"
        weights[f"{name}.by"] = 1.0 / factors
        weights[f"{name}.weight"] = weight * factors[:, None]
        kept = NodeProto()
        kept.CopyFrom(node)
        kept.input[0], kept.input[1] = name, f"{name}.weight"
        by = helper.make_node("Mul", [node.input[0], f"{name}.by"], [name], name)
        instead[node.output[0]] = [by, kept]
    found = copy_of(graph)
    replace(found, instead, weights=weights)
    return found


def _largest(
    graph: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Arrays]
) -> dict[str, NDArray[np.float32]]:
    """The largest size of each channel (the last dimension) of the named values."""
    found: dict[str, NDArray[np.float32]] = {}
    for name, values in values_of(graph, names, feeds):
        sizes = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
        found[name] = np.maximum(found[name], sizes) if name in found else sizes
    return found


def _factors(largest: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """How far each channel stands out, 1 for ordinary ones; None when none does by much."""
    ordinary = float(np.quantile(largest, ORDINARY))
    if ordinary <= 0.0 or largest.max() < STANDS_OUT * ordinary:
        return None
    return np.asarray(np.maximum(largest / ordinary, 1.0), dtype=np.float32)
