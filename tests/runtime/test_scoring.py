"""Which rows go through the graph together: every row once, and hardly any padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from metier.runtime.preprocess import Arrays, Columns, Encoded, Example
from metier.runtime.scoring import BATCH_COST, PADDING_IN_A_BATCH, score


class Lengths:
    """Reads numbers as rows of so many tokens; nought cannot be read."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def encode(self, columns: Columns) -> Encoded:
        cells = columns["length"]
        examples: list[Example | None] = [(np.ones(n, np.int64),) if n else None for n in cells]
        return Encoded(examples, {row: "empty" for row, n in enumerate(cells) if not n})

    def cost(self, example: Example) -> int:
        return len(example[0])

    def collate(self, examples: Sequence[Example]) -> Arrays:
        ids = np.zeros((len(examples), max(map(self.cost, examples))), dtype=np.int64)
        for row, (tokens,) in zip(ids, examples, strict=True):
            row[: len(tokens)] = tokens
        return {"input_ids": ids}

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def files(self) -> dict[str, bytes]:
        return {}


class Counting:
    """A graph whose score is how many tokens a row has, and which notes what it was given."""

    def __init__(self) -> None:
        self.given: list[Arrays] = []

    def run(self, wanted: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        self.given.append(dict(feeds))
        return [feeds["input_ids"].sum(axis=1, keepdims=True).astype(np.float32)]


def run(kind: str, lengths: Sequence[int]) -> list[Any]:
    """Score rows of these lengths, look at the scores, and return the batches."""
    graph = Counting()
    found = score(Lengths(kind), graph, 1, {"length": lengths})
    assert found.scores[:, 0].tolist() == pytest.approx([n or np.nan for n in lengths], nan_ok=True)
    assert list(found.reasons) == [row for row, n in enumerate(lengths) if not n]
    return [each["input_ids"] for each in graph.given]


def test_rows_of_like_length_go_together_and_little_is_padded() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 200, 300).tolist()
    batches = run("text", lengths)
    assert sum(map(len, batches)) == sum(n > 0 for n in lengths)
    for ids in batches:
        assert (ids == 0).sum() <= PADDING_IN_A_BATCH["text"] and ids.size <= BATCH_COST
    apart = sum(len(set(map(int, ids.sum(axis=1)))) for ids in batches)
    assert len(batches) < apart  # lengths that are close share a batch


def test_one_long_row_does_not_pad_the_short_ones() -> None:
    assert [ids.shape for ids in run("text", [8] * 20 + [60])] == [(20, 8), (1, 60)]


def test_what_pays_for_no_further_run_stays_together() -> None:
    assert [ids.shape for ids in run("tfidf", [8] * 20 + [60])] == [(21, 60)]
    assert [ids.shape for ids in run("text", [8, 9, 10, 8])] == [(4, 10)]
