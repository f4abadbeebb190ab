"""LightGBM's text with fewer trees and fewer leaves.

A split with nothing but leaves below it becomes a leaf when its gain is small, and so on upwards
(Breiman et al., 1984). The new leaf says the mean of those that it stands for, weighed by their
sums of second derivatives: what it would have said without the split, but for the regularisation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import SourceError

START = re.compile(r"^Tree=\d+\n", re.MULTILINE)
END = "end of trees"
TOLD = re.compile(r"^feature_importances:.*?(?=^parameters:)", re.MULTILINE | re.DOTALL)
SIZES = re.compile(r"^tree_sizes=.*$", re.MULTILINE)
KEPT = ("split_feature", "split_gain", "decision_type", "internal_value", "internal_weight")
"""What is copied for the splits that stay."""
CATEGORICAL = 1
Whole = NDArray[np.int64]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Grown:
    """One tree as LightGBM wrote it: the lines of its block, name to words."""

    lines: dict[str, list[str]]

    @cached_property
    def gains(self) -> Doubles:
        """What each split gained at training."""
        return self._numbers("split_gain")

    @cached_property
    def values(self) -> Doubles:
        """What each leaf says."""
        return self._numbers("leaf_value")

    def _numbers(self, name: str) -> NDArray[Any]:
        return np.array(self.lines.get(name, []), dtype=np.float64)

    @cached_property
    def _children(self) -> Whole:
        """(splits, 2): a split, or `~leaf`."""
        sides = [self._numbers(name) for name in ("left_child", "right_child")]
        return np.stack(sides, axis=1).astype(np.int64)

    def without(self, gain: float) -> tuple[Grown, Whole]:
        """Return the tree without its small splits, and (leaves,) the new number of each leaf.

        A split is small when it gained no more than this, and nothing below it gained more.
        """
        gone = self._small(gain)
        if not gone.any():
            return self, np.arange(len(self.values))
        owners = self._owners(gone)
        keys, new = np.unique(owners[: len(self.values)], return_inverse=True)
        places = np.cumsum(~gone) - 1
        numbers = {int(key): i for i, key in enumerate(keys)}

        def renumbered(child: int) -> int:
            if child < 0:
                return ~int(new[~child])
            if gone[child]:
                return ~numbers[int(owners[len(self.values) + child])]
            return int(places[child])

        splits = np.flatnonzero(~gone)
        left, right = ([renumbered(int(c)) for c in side] for side in self._children[splits].T)
        lines = {**self.lines, **self._of_leaves(new), **self._of_splits(splits)}
        lines |= {"left_child": [str(c) for c in left], "right_child": [str(c) for c in right]}
        return Grown(lines), np.asarray(new, dtype=np.int64)

    def _small(self, gain: float) -> NDArray[np.bool_]:
        gone = np.zeros(len(self.gains), dtype=np.bool_)
        for split in range(len(gone) - 1, -1, -1):  # children come after their parents
            below = all(child < 0 or gone[child] for child in self._children[split])
            gone[split] = below and self.gains[split] <= gain
        return gone

    def _owners(self, gone: NDArray[np.bool_]) -> Whole:
        """For each leaf and then each split: itself, or the topmost split that takes it in."""
        leaves = len(self.values)
        owners = np.arange(leaves + len(gone))
        for split in np.flatnonzero(gone):
            for child in self._children[split]:
                owners[~child if child < 0 else leaves + child] = owners[leaves + split]
        return owners

    def _of_leaves(self, new: Whole) -> dict[str, list[str]]:
        weights = self._numbers("leaf_weight")
        if len(weights) != len(new) or not (weights > 0).all():
            weights = np.ones(len(new))
        total = np.bincount(new, weights)
        merged = np.bincount(new, weights * self.values) / total
        for leaf in np.flatnonzero(np.bincount(new)[new] == 1):
            merged[new[leaf]] = self.values[leaf]  # to the last digit
        counts = np.bincount(new, self._numbers("leaf_count")).astype(np.int64)
        return {
            "num_leaves": [str(len(total))],
            "leaf_value": [f"{value:.17g}" for value in merged],
            "leaf_weight": [f"{weight:.17g}" for weight in total],
            "leaf_count": [str(count) for count in counts],
        }

    def _of_splits(self, splits: Whole) -> dict[str, list[str]]:
        names = [name for name in (*KEPT, "internal_count", "threshold") if name in self.lines]
        found = {name: [self.lines[name][i] for i in splits] for name in names}
        return {**found, **self._sets(splits, found["threshold"])}

    def _sets(self, splits: Whole, thresholds: list[str]) -> dict[str, list[str]]:
        """The bit sets of the categorical splits that stay, in the order of their new numbers."""
        kinds = self._numbers("decision_type").astype(np.int64)
        bounds = self._numbers("cat_boundaries").astype(np.int64)
        words, ends = [], [0]
        for place, split in enumerate(splits):
            if kinds[split] & CATEGORICAL:
                which = int(float(thresholds[place]))
                words += self.lines["cat_threshold"][bounds[which] : bounds[which + 1]]
                thresholds[place] = str(len(ends) - 1)
                ends.append(len(words))
        if len(ends) == 1:
            return {"num_cat": ["0"], "cat_boundaries": [], "cat_threshold": []}
        return {
            "num_cat": [str(len(ends) - 1)],
            "cat_boundaries": [str(end) for end in ends],
            "cat_threshold": words,
        }

    def text(self) -> str:
        """The lines of the block."""
        empty = ("cat_boundaries", "cat_threshold")
        shown = ((n, words) for n, words in self.lines.items() if words or n not in empty)
        return "".join(f"{name}={' '.join(words)}\n" for name, words in shown)


def read_trees(text: str) -> list[Grown]:
    """Return the trees of LightGBM's text. Raises SourceError for text that holds none."""
    body, end, _ = text.partition(f"\n{END}")
    if not end:
        raise SourceError("this is not a LightGBM model in text form: save it with save_model()")
    blocks = START.split(body)[1:]
    return [Grown(_lines(block)) for block in blocks]


def with_trees(text: str, trees: Sequence[Grown]) -> str:
    """Return LightGBM's text with other trees; what it tells of the old ones is left out."""
    head = START.split(text, maxsplit=1)[0]
    tail = TOLD.sub("", text[text.index(f"\n{END}") + 1 :])
    blocks = [f"Tree={i}\n{tree.text()}\n\n" for i, tree in enumerate(trees)]
    sizes = " ".join(str(len(block.encode())) for block in blocks)
    return f"{SIZES.sub(f'tree_sizes={sizes}', head)}{''.join(blocks)}{tail}"


def _lines(block: str) -> dict[str, list[str]]:
    pairs = (line.partition("=")[::2] for line in block.splitlines() if "=" in line)
    return {name: words.split() for name, words in pairs}
