"""A glass box as a model: a sum of curves, one a column or a pair of columns (the form `additive`).

Each term is a table: the bin that a number falls into, or the two bins of a pair, says what is
added to the scores (Lou et al., 2013, "Accurate intelligible models with pairwise interactions").
A step function is a tree, so the graph is the same one operator that boosters use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from metier.cache import Cache
from metier.deploy.arrays import matrix
from metier.deploy.trees import Forest, Part, Tree, trees_graph
from metier.runtime.columns import FLOAT32_MAX, Numbers
from metier.types import Floats, Form, Table

Array = NDArray[np.float64]
TERMS = "metier.terms"
"""The name under which the terms stand in the graph, so that a bundle can show them."""
FILE = "additive.json"
_NAN_IS_MISSING = 8
"""LightGBM's mark of a numeric split whose missing values go right."""


@dataclass(frozen=True)
class Term:
    """What a column, or a pair of them, adds to the scores.

    Args:
        features: the places in a row of numbers, one or two.
        edges: for each, the highest value (float32) of every bin but the last, ascending.
        scores: (bins, outputs), or (bins, bins, outputs) for a pair. Bin 0 is for missing values.
        errors: their standard errors, shaped alike: how far the bags that were averaged differ.
        importance: the mean size over the training rows.
    """

    features: tuple[int, ...]
    edges: tuple[Floats, ...]
    scores: Array
    errors: Array
    importance: float

    def bins(self, numbers: Floats) -> tuple[NDArray[np.int64], ...]:
        """Return the bins of rows (n, features of the row)."""
        found = []
        for feature, edges in zip(self.features, self.edges, strict=True):
            values = numbers[:, feature]
            place = 1 + np.searchsorted(edges, values, side="left")
            found.append(np.where(np.isnan(values), 0, place).astype(np.int64))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return the term as JSON."""
        return {
            "features": list(self.features),
            "edges": [_short(edges, 9) for edges in self.edges],
            "scores": _short(self.scores, 9),
            "errors": _short(self.errors, 4),
            "importance": self.importance,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Term:
        """Build a term from `to_json()`. Raises KeyError, TypeError or ValueError."""
        return cls(
            features=tuple(int(feature) for feature in data["features"]),
            edges=tuple(np.asarray(edges, dtype=np.float32) for edges in data["edges"]),
            scores=np.asarray(data["scores"], dtype=np.float64),
            errors=np.asarray(data["errors"], dtype=np.float64),
            importance=float(data["importance"]),
        )


@dataclass(frozen=True)
class Additive:
    """A sum of terms over the numbers of a table.

    Args:
        preprocess: from columns to `numbers` float32 (n, features).
        terms: what is summed.
        offset: (outputs,), what the sum is added to.
    """

    preprocess: Numbers
    terms: tuple[Term, ...]
    offset: tuple[float, ...]
    form: ClassVar[Form] = "additive"

    @property
    def outputs(self) -> int:
        return len(self.offset)

    @property
    def parameters(self) -> int:
        """Scores of all terms together."""
        return sum(term.scores.size for term in self.terms)

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs)."""
        if len(table) == 0:
            return np.zeros((0, self.outputs), dtype=np.float32)
        found = self.contributions(matrix(self.preprocess, table)).sum(axis=1)
        return np.asarray(found + np.asarray(self.offset), dtype=np.float32)

    def contributions(self, numbers: Floats) -> Array:
        """Return what each term adds for encoded rows, (n, terms, outputs)."""
        found = np.zeros((len(numbers), len(self.terms), self.outputs))
        for i, term in enumerate(self.terms):
            found[:, i] = term.scores[term.bins(numbers)]
        return found

    def graph(self) -> onnx.ModelProto:
        """The terms as one tree ensemble, with their tables beside it for people to look at."""
        features = len(self.preprocess.names)
        parts = [
            Part(Forest((_tree(term, output),), 1, features), 1.0, output)
            for term in self.terms
            for output in range(self.outputs)
            if term.scores[..., output].any()
        ]
        model = trees_graph(parts, features, self.outputs, self.offset)
        onnx.helper.set_model_props(model, {TERMS: json.dumps(self._about())})
        return model

    def save(self, folder: Path) -> None:
        """Write `additive.json`: the preprocessing and the tables."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {"preprocess": self.preprocess.spec(), **self._about()}
        (folder / FILE).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    def _about(self) -> dict[str, Any]:
        return {"offset": list(self.offset), "terms": [term.to_json() for term in self.terms]}


def restore(preprocess: Numbers, about: Mapping[str, Any]) -> Additive:
    """Build a model from the JSON of its tables. Raises KeyError, TypeError or ValueError."""
    terms = tuple(Term.from_json(term) for term in about["terms"])
    return Additive(preprocess, terms, tuple(float(value) for value in about["offset"]))


def read_terms(session: Any, preprocess: Any) -> Additive | None:
    """Return the glass box that an open graph holds; None for a graph of anything else."""
    about = session.get_modelmeta().custom_metadata_map.get(TERMS)
    if about is None or not isinstance(preprocess, Numbers):
        return None
    return restore(preprocess, json.loads(about))


def edges_below(cuts: Array) -> Floats:
    """Return the highest float32 below each cut: what is at a cut belongs to the bin above it.

    >>> bool(edges_below(np.array([1.0]))[0] < 1.0)
    True
    """
    with np.errstate(over="ignore"):
        near = cuts.astype(np.float32)
    below = near.astype(np.float64) < cuts
    return np.where(below, near, np.nextafter(near, np.float32(-np.inf))).astype(np.float32)


def _tree(term: Term, output: int) -> Tree:
    """One score of a term as a tree: halving the bins of the first column, then of the second."""
    growing = _Growing(term, term.scores[..., output])
    growing.column(0, ())
    feature, threshold, left, right = zip(*growing.nodes, strict=True)
    return Tree(
        feature=np.array(feature, dtype=np.int64),
        threshold=np.array(threshold, dtype=np.float64),
        decision=np.full(len(feature), _NAN_IS_MISSING, dtype=np.int64),
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        leaves=np.array(growing.leaves, dtype=np.float64),
        members={},
    )


class _Growing:
    """A tree while it grows: nodes as (feature, threshold, left, right), root first."""

    def __init__(self, term: Term, scores: Array) -> None:
        self._term, self._scores = term, scores
        self.nodes: list[tuple[int, float, int, int]] = []
        self.leaves: list[float] = []

    def column(self, which: int, chosen: tuple[int, ...]) -> int:
        """Add what tells the bins of a column apart; return its node, or `~leaf`."""
        if which == len(self._term.features):
            self.leaves.append(float(self._scores[chosen]))
            return ~(len(self.leaves) - 1)
        node = self._split(which, FLOAT32_MAX)
        left = self._halve(which, chosen, 1, 1 + len(self._term.edges[which]))
        right = self.column(which + 1, (*chosen, 0))
        return self._join(node, left, right)

    def _halve(self, which: int, chosen: tuple[int, ...], first: int, last: int) -> int:
        if first == last:
            return self.column(which + 1, (*chosen, first))
        middle = (first + last) // 2
        node = self._split(which, float(self._term.edges[which][middle - 1]))
        left = self._halve(which, chosen, first, middle)
        right = self._halve(which, chosen, middle + 1, last)
        return self._join(node, left, right)

    def _split(self, which: int, threshold: float) -> int:
        self.nodes.append((self._term.features[which], threshold, 0, 0))
        return len(self.nodes) - 1

    def _join(self, node: int, left: int, right: int) -> int:
        feature, threshold, _, _ = self.nodes[node]
        self.nodes[node] = (feature, threshold, left, right)
        return node


def _short(values: NDArray[Any], digits: int) -> Any:
    """Return an array as lists of numbers with so many digits; 9 name every float32."""
    flat = np.array([float(f"{value:.{digits}g}") for value in values.ravel()])
    return flat.reshape(values.shape).tolist()


def terms_by_importance(model: Additive) -> Sequence[Term]:
    """Return the terms, the most important first."""
    return sorted(model.terms, key=lambda term: -term.importance)
