"""Ranking sources: what is measured, who is listed, and who goes on to the race."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from metier.cache import Cache
from metier.errors import DataError, OptionError, SourceError
from metier.runtime.text import Text
from metier.search.shortlist import Ranked, Ranking, draw, open_all, order, rank, shortlist
from metier.sources import open_source
from metier.sources.backbone import Backbone
from metier.sources.score import SCORES
from metier.tasks import build
from metier.types import Modality, Roles, Source, Table

WORDS = {word: i for i, word in enumerate(["?", "up", "down", "left", "the", "a", "is", "on"])}


class Words(nn.Module):
    """A vector a word, and nothing else."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(vectors, freeze=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, return_dict: bool) -> Any:
        return BaseModelOutput(last_hidden_state=self.embedding(input_ids))


@dataclass(frozen=True)
class FakeSource:
    """A source that tells the words of the classes apart as far as `signal` goes."""

    name: str
    signal: float = 1.0
    width: int = 8
    fault: Exception | None = None
    modality: ClassVar[Modality] = "text"

    @property
    def digest(self) -> str:
        return self.name

    def preprocess(self, columns: Sequence[str]) -> Text:
        tokenizer = Tokenizer(WordLevel(WORDS, unk_token="?"))
        tokenizer.pre_tokenizer = Whitespace()
        return Text(tuple(columns), tokenizer.to_str().encode(), 16)

    def load(self) -> Backbone:
        if self.fault is not None:
            raise self.fault
        random = torch.Generator().manual_seed(0)
        vectors = 0.3 * torch.randn((len(WORDS), self.width), generator=random)
        vectors[1:4] = vectors[1] + 0.0
        vectors[[1, 2, 3], [0, 1, 2]] += self.signal
        ids = torch.tensor([[1, 2], [3, 0]])
        probe = {"input_ids": ids, "attention_mask": torch.tensor([[1, 1], [1, 0]])}
        return Backbone(Words(vectors), "mean", False, probe)


def table(n: int = 90) -> Table:
    random = np.random.default_rng(0)
    labels = np.array(["up", "down", "left"])[np.arange(n) % 3]
    fillers = np.array(["the", "a", "is", "on"])
    texts = [" ".join([label, *random.choice(fillers, 4)]) for label in labels]
    frame = pl.DataFrame({"text": texts, "label": labels})
    return Table(frame, Roles(inputs={"text": "text"}, target=("label",)))


def ranked(*sources: Source, **options: Any) -> Ranking:
    rows = table()
    return rank(rows, build("multiclass", rows), sources, Cache(), **options)


GOOD, FAIR, POOR = FakeSource("good", 2.0), FakeSource("fair", 0.6), FakeSource("poor", 0.0)


def test_the_source_that_tells_classes_apart_comes_first():
    found = ranked(POOR, GOOD, FAIR)
    assert [each.source for each in found.sources] == ["good", "fair", "poor"]
    assert found.n == 90
    best = found.sources[0]
    assert set(best.scores) == set(SCORES)
    assert (best.width, best.parameters) == (8, 64)
    assert best.seconds > 0
    assert best.memory > 10
    assert best.mean_rank == 1.1  # one score is as good for the second


def test_at_most_the_sample_is_scored():
    found = ranked(GOOD, sample=30)
    assert found.n == 30


@pytest.mark.parametrize(
    "fault",
    [
        SourceError("source 'lost': no weights"),
        RuntimeError("size mismatch\nand much more"),
        MemoryError(),
    ],
)
def test_a_source_that_fails_is_listed_and_the_others_go_on(fault: Exception):
    found = ranked(FakeSource("lost", fault=fault), GOOD, default="lost")
    assert [each.source for each in found.sources] == ["good", "lost"]
    lost = found.sources[1]
    assert lost.reason
    assert "\n" not in lost.reason
    assert not lost.shortlisted
    assert shortlist(found, "lost") == ["good"]


def test_features_that_are_no_numbers_are_a_failure():
    found = ranked(FakeSource("endless", float("inf")), GOOD)
    assert "not finite" in found.sources[1].reason


def test_a_fault_of_the_data_is_not_blamed_on_a_source():
    rows = table()
    task = build("multiclass", rows)
    other = Table(rows.frame.with_columns(label=pl.lit("sideways")), rows.roles)
    with pytest.raises(DataError, match="sideways"):
        rank(other, task, [GOOD], Cache())


def test_the_shortlist_is_the_top_three_and_the_default():
    sources = [FakeSource(f"s{i}", signal) for i, signal in enumerate([2.0, 1.0, 0.6, 0.3, 0.0])]
    found = ranked(*sources, default="s4")
    names = [each.source for each in found.sources]
    assert names[0] == "s0"
    marked = [each.source for each in found.sources if each.shortlisted]
    assert marked == shortlist(found, "s4")
    assert set(marked) == {*names[:3], "s4"}
    assert shortlist(found, names[0]) == names[:3]


def test_without_any_usable_source_the_reasons_are_given():
    found = ranked(FakeSource("lost", fault=SourceError("source 'lost': no weights")))
    with pytest.raises(SourceError, match="no weights"):
        shortlist(found, "lost")


def test_names_that_cannot_be_opened_are_listed_too():
    sources, failed = open_all(["nowhere-at-all", "./gone"], "text")
    assert sources == []
    found = ranked(GOOD, failed=failed)
    assert [each.source for each in found.sources] == ["good", "nowhere-at-all", "./gone"]
    assert "no such directory" in found.sources[1].reason


def test_learners_for_tables_are_refused():
    with pytest.raises(OptionError, match="no features to score"):
        ranked(open_source("lightgbm", "tabular"))


def test_the_same_seed_gives_the_same_scores():
    one, two = (ranked(FAIR, POOR, sample=40, seed=3) for _ in range(2))
    assert [e.scores for e in one.sources] == [e.scores for e in two.sources]


def test_rows_are_a_table_and_json():
    found = ranked(GOOD, FAIR)
    assert list(found.rows[0])[:4] == ["source", "width", "parameters", "logme"]
    assert "reason" not in found.rows[0]
    assert json.loads(json.dumps(found.to_json()))["sources"] == found.rows
    with_failure = ranked(GOOD, failed={"lost": "gone"})
    assert [row["reason"] for row in with_failure.rows] == ["", "gone"]


def test_equal_scores_share_a_rank_and_the_smaller_goes_first():
    measured = [
        Ranked("big", 4, 900, {"x": 1.0, "y": 3.0}),
        Ranked("small", 4, 100, {"x": 1.0, "y": 3.0}),
        Ranked("last", 4, 50, {"x": 0.0, "y": 2.0}),
    ]
    found = order(measured, 10)
    assert [each.source for each in found.sources] == ["small", "big", "last"]
    assert [each.mean_rank for each in found.sources] == [1.5, 1.5, 3.0]


@pytest.mark.parametrize("sample", [10, 100, 333])
def test_every_class_is_drawn_in_its_share(sample: int):
    targets = np.repeat(np.arange(4), [700, 200, 90, 10])
    rows = draw(targets, sample, seed=1)
    assert len(rows) == len(np.unique(rows)) <= sample
    assert (np.diff(rows) > 0).all()
    counts = np.bincount(targets[rows], minlength=4)
    assert counts.min() >= 1
    assert np.abs(counts - np.array([0.7, 0.2, 0.09, 0.01]) * sample).max() <= 1
    assert not np.array_equal(rows, draw(targets, sample, seed=2))


def test_numbers_are_drawn_from_their_whole_range():
    targets = np.random.default_rng(0).exponential(size=1000).astype(np.float32)
    drawn = targets[draw(targets, 100, seed=0)]
    edges = np.quantile(targets, np.arange(1, 10) / 10)
    assert np.bincount(np.searchsorted(edges, drawn), minlength=10).tolist() == [10] * 10


def test_rare_labels_are_drawn():
    targets = np.zeros((1000, 3), dtype=np.float32)
    targets[:, 0] = 1
    targets[:20, 1] = 1
    targets[20:22, 2] = 1
    assert targets[draw(targets, 100, seed=0)].sum(axis=0).min() >= 1


def test_more_classes_than_places():
    assert len(draw(np.arange(50).repeat(2), 20, seed=0)) == 20


def test_few_rows_are_all_drawn():
    assert draw(np.arange(5), 10, seed=0).tolist() == [0, 1, 2, 3, 4]
