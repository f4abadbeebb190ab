"""A compacted vocabulary learns what the whole table would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from metier.cache import Cache
from metier.training import loop
from metier.training.feed import Feed
from metier.training.schedule import Schedule
from metier.training.start import preprocess_of
from metier.training.vocabulary import compacted
from metier.types import Table
from tests import tiny

from .conftest import Ready

Make = Callable[..., Ready]
TABLE = "backbone.model.embeddings.word_embeddings.weight"
SPARE = slice(5, 25)
SCHEDULE = Schedule(epochs=3, rate=1e-3, rows=16, weight_decay=0.1, average=0.9)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_it_learns_what_the_whole_table_would(
    name: str, ready: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ready(name, watched=10)
    small.go(SCHEDULE)
    monkeypatch.setattr(loop, "compacted", lambda *_: nullcontext())
    whole = ready(name, watched=10)
    before = whole.state()[TABLE]
    whole.go(SCHEDULE)
    wanted = whole.state()
    for key, value in small.state().items():
        torch.testing.assert_close(value, wanted[key], atol=1e-6, rtol=0, msg=key)
    assert (wanted[TABLE] - before).abs().max() > 1e-3
    assert torch.equal(small.state()[TABLE][SPARE], before[SPARE])


def test_inside_the_table_is_small_and_afterwards_as_it_was(ready: Make) -> None:
    made = ready("bert")
    embedding: Any = made.net.backbone.model.get_input_embeddings()
    weight, padding = embedding.weight, embedding.padding_idx
    made.net.eval()
    inputs = made.feed.inputs(torch.arange(5).numpy())
    with torch.no_grad():
        wanted = made.net(inputs)
        with compacted(made.net, [made.feed]):
            assert len(embedding.weight) < len(weight) - 15
            torch.testing.assert_close(made.net(inputs), wanted, atol=0, rtol=0)
        torch.testing.assert_close(made.net(inputs), wanted, atol=0, rtol=0)
    assert embedding.weight is weight and embedding.padding_idx == padding


def test_a_table_that_another_layer_holds_too_stays_whole(ready: Make) -> None:
    made = ready("bert")
    encoder: Any = made.net.backbone.model
    table = encoder.get_input_embeddings()
    encoder.again = torch.nn.Embedding(*table.weight.shape)
    encoder.again.weight = table.weight
    with compacted(made.net, [made.feed]):
        assert encoder.get_input_embeddings().weight is encoder.again.weight


def test_padding_keeps_its_place_and_learns_nothing(ready: Make) -> None:
    made = ready("roberta")
    embedding: Any = made.net.backbone.model.get_input_embeddings()
    assert embedding.padding_idx == 1
    row = embedding.weight[1].detach().clone()
    with compacted(made.net, [made.feed]):
        assert torch.equal(embedding.weight[embedding.padding_idx], row)
    made.go(SCHEDULE)
    assert torch.equal(embedding.weight[1], row)


def test_a_fault_puts_the_table_back(ready: Make) -> None:
    made = ready("bert")
    embedding: Any = made.net.backbone.model.get_input_embeddings()
    weight = embedding.weight
    with pytest.raises(MemoryError), compacted(made.net, [made.feed]):
        raise MemoryError
    assert embedding.weight is weight
    made.net(made.feed.inputs(torch.arange(3).numpy()))


@pytest.mark.parametrize(("name", "boundary"), [("bert", 1), ("vit", 0), ("mobilenet", 0)])
def test_a_table_that_does_not_learn_stays(name: str, boundary: int, ready: Make) -> None:
    made = ready(name, boundary)
    parameters = list(made.net.parameters())
    with compacted(made.net, [made.feed]):
        assert all(a is b for a, b in zip(parameters, made.net.parameters(), strict=True))


def test_rows_that_nobody_announced_are_an_error_and_not_other_words(
    ready: Make, tiny_sources: dict[str, Any]
) -> None:
    made = ready("bert")
    table: Table = tiny.text_table(["unused3 unused4"])
    source = tiny_sources["bert"]
    other = Feed(made.net.backbone, preprocess_of(source, table), table, Cache())
    inputs = other.inputs(torch.arange(1).numpy())
    with compacted(made.net, [made.feed]), pytest.raises(IndexError):
        made.net(inputs)
    with compacted(made.net, [made.feed, other]):
        made.net(inputs)
