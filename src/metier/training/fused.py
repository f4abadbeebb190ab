"""A network's frozen features beside the columns of a table, under a model of tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import polars as pl
from onnx import helper, numpy_helper

from metier.cache import Cache
from metier.errors import ChainError
from metier.runtime.both import Both
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.preprocess import Preprocess
from metier.training.feed import Feed
from metier.training.net import NetModel
from metier.types import Floats, Form, Kind, Model, Table

MARK = "feature"
"""What the names of feature columns begin with."""


def beside(table: Table, features: Floats) -> Table:
    """Return the table with features (n, width) as number columns before its own.

    Text and image columns stay in the frame and are no inputs any more.
    """
    start = MARK
    while any(name.startswith(f"{start} ") for name in table.frame.columns):
        start += "_"
    names = [f"{start} {i}" for i in range(features.shape[1])]
    inputs: dict[str, Kind] = dict.fromkeys(names, "number")
    inputs |= {n: k for n, k in table.roles.inputs.items() if k not in ("text", "image")}
    more = [pl.Series(name, column) for name, column in zip(names, features.T, strict=True)]
    return replace(
        table,
        frame=table.frame.with_columns(more),
        roles=replace(table.roles, inputs=inputs),
    )


@dataclass(frozen=True)
class Fused:
    """A model of tables that reads a network's features first, then the table's columns."""

    net: NetModel
    inner: Model
    form: ClassVar[Form] = "booster"

    @property
    def preprocess(self) -> Preprocess:
        """What the network reads, and the numbers of the columns where there are any."""
        _, columns = self._specs()
        return Both((self.net.preprocess, Numbers(columns))) if columns else self.net.preprocess

    @property
    def parameters(self) -> int:
        backbone = sum(p.numel() for p in self.net.net.backbone.parameters())
        return backbone + self.inner.parameters

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs). Raises DataError for a row that cannot be read."""
        device = str(self.net.net.head.weight.device)
        feed = Feed(self.net.net.backbone, self.net.preprocess, table, cache or Cache(), device)
        return self.inner.scores(beside(table, feed.features()), cache)

    def graph(self) -> onnx.ModelProto:
        """The network and the model of tables as one graph."""
        from metier.deploy.onnx import export_net

        features, columns = self._specs()
        below = export_net(self.net.net.to("cpu").backbone, self.net.preprocess, "features")
        center = np.array([spec.mean for spec in features], dtype=np.float32)
        scale = np.array([spec.scale for spec in features], dtype=np.float32)
        return join_graphs(below, self.inner.graph(), center, scale, len(Numbers(columns).names))

    def save(self, folder: Path) -> None:
        """Write the network, and what reads its features into the folder `table`."""
        self.net.save(folder)
        self.inner.save(folder / "table")
        about = {"features": self.net.net.backbone.width}
        (folder / "fused.json").write_text(json.dumps(about), encoding="utf-8")

    def _specs(self) -> tuple[tuple[ColumnSpec, ...], tuple[ColumnSpec, ...]]:
        """The columns of the inner model that are features, and those that are the table's."""
        if not isinstance(self.inner.preprocess, Numbers):
            raise ChainError("only a model of numbers can be fused: use boost or linear inside")
        columns, width = self.inner.preprocess.columns, self.net.net.backbone.width
        return columns[:width], columns[width:]


def join_graphs(
    below: onnx.ModelProto,
    above: onnx.ModelProto,
    center: Floats,
    scale: Floats,
    columns: int,
) -> onnx.ModelProto:
    """Put the output `features` of one graph and `columns` further numbers into another's input.

    Args:
        below: a graph with the output `features` (rows, width).
        above: a graph from `numbers` (rows, width + columns) to `scores`.
        center: (width,) taken away from the features.
        scale: (width,) divides them.
        columns: width of the joined graph's input `numbers`; without any there is no such input.
    """
    above = onnx.compose.add_prefix(above, "table/")
    joined = onnx.ModelProto()
    joined.CopyFrom(below)
    graph = joined.graph
    nodes = [
        helper.make_node("Sub", ["features", "table/center"], ["table/centered"]),
        helper.make_node("Div", ["table/centered", "table/scale"], ["table/features"]),
        helper.make_node(
            "Concat",
            ["table/features", "numbers"] if columns else ["table/features"],
            ["table/numbers"],
            axis=1,
        ),
        *above.graph.node,
        helper.make_node("Identity", ["table/scores"], ["scores"]),
    ]
    graph.node.extend(nodes)
    graph.initializer.extend(
        [
            numpy_helper.from_array(center, "table/center"),
            numpy_helper.from_array(scale, "table/scale"),
            *above.graph.initializer,
        ]
    )
    if columns:
        shape: list[str | int | None] = ["rows", columns]
        graph.input.append(helper.make_tensor_value_info("numbers", onnx.TensorProto.FLOAT, shape))
    outputs = above.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["rows", outputs])
    )
    # What the upper graphs use of the standard operators means the same in every later version.
    known = {opset.domain for opset in joined.opset_import}
    joined.opset_import.extend(o for o in above.opset_import if o.domain not in known)
    return joined
