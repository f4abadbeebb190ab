"""A finished graph as a model: the form `graph`, which is run and not trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import onnx

from metier.cache import Cache
from metier.runtime.preprocess import Preprocess
from metier.runtime.scoring import open_session, score
from metier.types import Floats, Form, Model, Table


@dataclass(frozen=True)
class Finished:
    """A graph that predicts as it will in its bundle: quantised, fused, or as it was exported.

    It scores through the very code that a bundle scores with, batches included, so that what was
    judged is what is handed over.

    Args:
        content: the graph as ONNX bytes, with one output `scores` (rows, outputs).
        preprocess: from columns to the inputs of the graph.
        parameters: how many weights the model has, however few bits each takes.
        origin: what the graph was made from; further training begins there.
    """

    content: bytes
    preprocess: Preprocess
    parameters: int
    origin: Model | None = None
    form: ClassVar[Form] = "graph"

    @cached_property
    def _session(self) -> Any:
        return open_session(self.content)

    @property
    def outputs(self) -> int:
        """How many scores a row has."""
        return int(self._session.get_outputs()[0].shape[1])

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs); NaN where a row cannot be read."""
        return score(self.preprocess, self._session, self.outputs, table.columns()).scores

    def graph(self) -> onnx.ModelProto:
        """The graph, a copy of one's own."""
        return onnx.load_model_from_string(self.content)

    def save(self, folder: Path) -> None:
        """Write the weights of the origin; a graph alone has nothing to train further."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.origin is not None:
            self.origin.save(folder)


def finished(graph: onnx.ModelProto, origin: Model) -> Finished:
    """Return a graph made from a model as a model.

    The origin of a finished graph's graph is the model that can be trained.
    """
    start = origin.origin if isinstance(origin, Finished) and origin.origin is not None else origin
    return Finished(graph.SerializeToString(), origin.preprocess, origin.parameters, start)
