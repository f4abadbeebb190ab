"""LightGBM boosters as ONNX, with every comparison kept exact.

LightGBM compares doubles and ONNX trees compare float32. A float32 value is at most a double
threshold exactly when it is at most the largest float32 not above that threshold, so thresholds
are rounded down and no row changes its leaf. Trees become one `TreeEnsemble` operator
(ai.onnx.ml version 5), whose set membership says a categorical split in one node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from metier.deploy.boostertext import Lines, damaged, sections
from metier.errors import SourceError

OPSETS = (("", 17), ("ai.onnx.ml", 5))
_LEQ, _MEMBER = 0, 6
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1
NUMBERS = re.compile(r"[-+.0-9a-z ]*")
"""The characters of numbers that Python and LightGBM read alike."""
BESIDE_LEAVES = ("leaf_weight", "leaf_count")
BESIDE_SPLITS = ("split_gain", "internal_value", "internal_weight", "internal_count")


@dataclass(frozen=True)
class Tree:
    """One tree: a split a row, children below zero are leaves (`~child` is the leaf's number)."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    decision: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaves: NDArray[np.float64]
    members: Mapping[int, tuple[int, ...]]
    """Codes that go left, for each categorical split."""


@dataclass(frozen=True)
class Forest:
    """The trees of one booster; tree `i` adds to output `i % outputs`.

    `objective` is what it learned, with its parameters, as LightGBM writes it; "" where it does not
    say. `averages` tells that its scores are means over rounds (a random forest), not sums.
    """

    trees: tuple[Tree, ...]
    outputs: int
    features: int
    objective: str = ""
    averages: bool = False

    @property
    def size(self) -> int:
        """Splits and leaves together."""
        return sum(len(t.feature) + len(t.leaves) for t in self.trees)


@dataclass(frozen=True)
class Part:
    """A forest within a graph: `weight` scales its leaves, `first` is where its outputs begin."""

    forest: Forest
    weight: float = 1.0
    first: int = 0


def read_forest(text: str) -> Forest:
    """Read LightGBM's text format; what this reads can be given to LightGBM too.

    Raises SourceError for text that is no booster or is damaged, and for linear trees and boosters
    trained with `zero_as_missing`, which ONNX trees cannot say.
    """
    settings, blocks = sections(text)
    try:
        outputs = _whole(settings, "num_tree_per_iteration")
        features = _whole(settings, "max_feature_idx") + 1
        if outputs < 1 or _whole(settings, "num_class") != outputs:
            raise ValueError("it has not as many trees an iteration as classes")
        trees = tuple(_read_tree(block, features) for block in blocks)
    except KeyError as error:
        raise damaged(f"it has no {error.args[0]}") from None
    except (ValueError, OverflowError) as error:
        raise damaged(str(error)) from None
    averages = "average_output" in text.partition("\nTree=")[0].splitlines()
    return Forest(trees, outputs, features, settings.get("objective", ""), averages)


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each double.

    >>> float(round_down(np.array([0.1]))[0]) <= 0.1
    True
    """
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    above = near.astype(np.float64) > values
    near[above] = np.nextafter(near[above], np.float32(-np.inf))
    return near


def trees_graph(
    parts: Sequence[Part],
    features: int,
    outputs: int,
    offset: Sequence[float] = (),
    name: str = "numbers",
) -> onnx.ModelProto:
    """Build a graph from `name` float32 (n, features) to `scores` float32 (n, outputs).

    Args:
        parts: forests whose weighted leaves are summed.
        features: columns of the input.
        outputs: columns of the scores.
        offset: added to the scores, one value an output; empty for none.
        name: the name of the input.
    """
    flat = _Flat()
    constant = np.zeros(outputs, dtype=np.float64)
    constant[: len(offset)] += np.asarray(offset, dtype=np.float64)
    for part in parts:
        for i, tree in enumerate(part.forest.trees):
            target = part.first + i % part.forest.outputs
            if len(tree.feature) == 0:
                constant[target] += part.weight * tree.leaves[0]
            else:
                flat.add(tree, part.weight, target)
    flat.close()
    nodes = [
        helper.make_node(
            "TreeEnsemble", [name], ["sums"], domain="ai.onnx.ml", **flat.attributes(outputs)
        ),
        helper.make_node("Add", ["sums", "constant"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", outputs])],
        [numpy_helper.from_array(constant.astype(np.float32), "constant")],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@dataclass
class _Flat:
    """The columns of `TreeEnsemble`, filled tree by tree."""

    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[NDArray[np.float32]] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    are_leaves: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    members: list[float] = field(default_factory=list)
    leaves: list[NDArray[np.float64]] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def add(self, tree: Tree, weight: float, target: int) -> None:
        """Append one tree that has at least one split."""
        node, leaf = len(self.features), len(self.targets)
        categorical = (tree.decision & _CATEGORICAL) > 0
        self.roots.append(node)
        self.features += tree.feature.tolist()
        self.modes += np.where(categorical, _MEMBER, _LEQ).tolist()
        self.splits.append(np.where(categorical, np.float32(0), round_down(tree.threshold)))
        self.tracks += _missing_goes_left(tree).astype(int).tolist()
        for side, child in enumerate((tree.left, tree.right)):
            is_leaf = child < 0
            self.children[side].extend(np.where(is_leaf, leaf + ~child, node + child).tolist())
            self.are_leaves[side].extend(is_leaf.astype(int).tolist())
        for split in np.flatnonzero(categorical).tolist():
            self.members += [*map(float, tree.members[split]), float("nan")]
        self.leaves.append(tree.leaves * weight)
        self.targets += [target] * len(tree.leaves)

    def close(self) -> None:
        """Make sure that there is a tree, since the operator wants one."""
        if not self.roots:
            stump = [np.zeros(1, np.int64)] * 2
            child = np.array([-1]), np.array([-1])
            self.add(Tree(stump[0], np.zeros(1), stump[1], *child, np.zeros(1), {}), 1.0, 0)

    def attributes(self, outputs: int) -> dict[str, Any]:
        """Return the attributes of the operator."""
        found: dict[str, Any] = {
            "n_targets": outputs,
            "aggregate_function": 1,
            "post_transform": 0,
            "tree_roots": self.roots,
            "nodes_featureids": self.features,
            "nodes_modes": numpy_helper.from_array(np.array(self.modes, dtype=np.uint8)),
            "nodes_splits": numpy_helper.from_array(np.concatenate(self.splits)),
            "nodes_missing_value_tracks_true": self.tracks,
            "nodes_truenodeids": self.children[0],
            "nodes_falsenodeids": self.children[1],
            "nodes_trueleafs": self.are_leaves[0],
            "nodes_falseleafs": self.are_leaves[1],
            "leaf_targetids": self.targets,
            "leaf_weights": numpy_helper.from_array(np.concatenate(self.leaves).astype(np.float32)),
        }
        if self.members:
            members = np.array(self.members, dtype=np.float32)
            found["membership_values"] = numpy_helper.from_array(members)
        return found


def _missing_goes_left(tree: Tree) -> NDArray[np.bool_]:
    """Say where NaN goes: right in a set; where training had none, to the side of 0."""
    unseen = ((tree.decision >> 2) & 3) == _MISSING_NONE
    numeric = (tree.decision & _CATEGORICAL) == 0
    default = (tree.decision & _DEFAULT_LEFT) > 0
    return np.asarray(numeric & np.where(unseen, tree.threshold >= 0, default))


def _read_tree(lines: Lines, features: int) -> Tree:
    decision = _numbers(lines, "decision_type", np.int64)
    if lines.get("is_linear", "0") != "0":
        raise SourceError(
            "a booster with linear trees cannot be used: train with linear_tree=false"
        )
    if (((decision >> 2) & 3) == _MISSING_ZERO).any():
        raise SourceError(
            "a booster that reads 0 as missing cannot be used: train with zero_as_missing=false"
        )
    tree = Tree(
        feature=_numbers(lines, "split_feature", np.int64),
        threshold=_numbers(lines, "threshold", np.float64),
        decision=decision,
        left=_numbers(lines, "left_child", np.int64),
        right=_numbers(lines, "right_child", np.int64),
        leaves=_numbers(lines, "leaf_value", np.float64),
        members={},
    )
    _refuse_open_ends(tree, _whole(lines, "num_leaves"), features)
    _refuse_unlike(lines, len(tree.leaves))
    splits = np.flatnonzero(decision & _CATEGORICAL)
    bounds, words = (
        _numbers(lines, f"cat_{name}", np.int64) for name in ("boundaries", "threshold")
    )
    _refuse_open_sets(_whole(lines, "num_cat"), bounds, words, tree.threshold[splits])
    return replace(tree, members=_read_members(splits, tree.threshold, bounds, words))


def _whole(lines: Lines, key: str) -> int:
    found = lines[key]
    if not (found.isascii() and found.isdigit()):
        raise ValueError(f"{key} is no whole number")
    return int(found)


def _numbers(lines: Lines, key: str, kind: type) -> NDArray[Any]:
    words = lines.get(key, "")
    if not NUMBERS.fullmatch(words):
        raise ValueError(f"{key} holds what is no number")
    return np.array(words.split(), dtype=kind)


def _refuse_open_ends(tree: Tree, leaves: int, features: int) -> None:
    """Refuse a tree of which a split leads out of it or back, or asks for no feature."""
    sides = (tree.left, tree.right)
    each = (tree.feature, tree.threshold, tree.decision, *sides)
    if len(tree.leaves) != leaves or any(len(values) != leaves - 1 for values in each):
        raise ValueError("a tree has not as many splits as its leaves need")
    for side in sides:
        onwards = (side > np.arange(leaves - 1)) & (side < leaves - 1)
        if not (onwards | (side < 0) & (~side < leaves)).all():
            raise ValueError("a split leads out of its tree")
    if ((tree.feature < 0) | (tree.feature >= features)).any() or (tree.decision >> 4).any():
        raise ValueError("a split asks for what is not there")


def _refuse_unlike(lines: Lines, leaves: int) -> None:
    """Refuse a tree of which LightGBM cannot read what is not needed here: it ends the process."""
    told = {"shrinkage": 1}
    if leaves > 1:
        told |= dict.fromkeys(BESIDE_LEAVES, leaves) | dict.fromkeys(BESIDE_SPLITS, leaves - 1)
    for name, count in told.items():
        if name in lines and len(_numbers(lines, name, np.float64)) != count:
            raise ValueError(f"{name} has not as many numbers as its tree asks for")


def _refuse_open_sets(
    count: int, bounds: NDArray[np.int64], words: NDArray[np.int64], chosen: NDArray[np.float64]
) -> None:
    """Refuse sets of codes, chosen by their numbers, that reach beyond the words that hold them."""
    if count == 0 == len(chosen):
        return
    whole = len(bounds) == count + 1 and bounds[0] == 0 and bounds[-1] == len(words)
    if not whole or (np.diff(bounds) < 0).any() or not ((chosen >= 0) & (chosen < count)).all():
        raise ValueError("a set of codes reaches beyond its tree")


def _read_members(
    splits: NDArray[np.int64],
    threshold: NDArray[np.float64],
    bounds: NDArray[np.int64],
    words: NDArray[np.int64],
) -> dict[int, tuple[int, ...]]:
    """Unpack the bit sets of codes that go left."""
    found = {}
    for split in splits.tolist():
        which = int(threshold[split])
        bits = words[bounds[which] : bounds[which + 1]]
        found[split] = tuple(
            32 * i + bit
            for i, word in enumerate(bits.tolist())
            for bit in range(32)
            if word >> bit & 1
        )
    return found
