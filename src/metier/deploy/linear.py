"""A linear model: a preprocessor joined with one layer (see `layers`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx

from metier.cache import Cache
from metier.deploy.arrays import blocks, matrix
from metier.deploy.layers import Layer
from metier.runtime.preprocess import Preprocess
from metier.types import Floats, Form, Table


@dataclass(frozen=True)
class LinearModel:
    """A linear model: a preprocessor and a layer."""

    preprocess: Preprocess
    layer: Layer
    form: ClassVar[Form] = "linear"

    @property
    def parameters(self) -> int:
        return sum(tensor.size for tensor in self.layer.tensors().values())

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs); NaN where a row cannot be read. Read images are kept in `cache`."""
        if self.preprocess.kind == "histograms":
            return self.layer.scores({"features": matrix(self.preprocess, table, cache)})
        found = np.full((len(table), self.layer.outputs), np.nan, dtype=np.float32)
        for rows, arrays in blocks(self.preprocess, table):
            found[rows] = self.layer.scores(arrays)
        return found

    def graph(self) -> onnx.ModelProto:
        """The model as ONNX."""
        return self.layer.graph()

    def save(self, folder: Path) -> None:
        """Write `linear.safetensors` and `linear.json`."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {k: np.ascontiguousarray(v) for k, v in self.layer.tensors().items()}
        save_file(tensors, folder / "linear.safetensors")
        about = {
            "layer": type(self.layer).__name__.lower(),
            "settings": self.layer.settings(),
            "preprocess": self.preprocess.spec(),
        }
        (folder / "linear.json").write_text(json.dumps(about, ensure_ascii=False, indent=1))
