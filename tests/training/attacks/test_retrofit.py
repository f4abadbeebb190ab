"""Neighbouring words drawn together: who moves, how far, and what stays shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metier.sources.factored import Factored
from metier.tasks import build
from metier.training.attacks.retrofit import drawn_together
from metier.training.neighbours import NONE, Neighbours, embedding_of, neighbours
from metier.training.start import fresh_net
from metier.types import Problem, Specialist, Table

Tables = Callable[..., Table]
NEVER = np.zeros(0, dtype=np.int64)


def begun(source: Any, tiny_table: Tables) -> tuple[Specialist, Neighbours]:
    table = tiny_table(source, 16, "binary")
    task = build("binary", table)
    start = Specialist(source, task)
    model = fresh_net(start, Problem(task, table))
    text: Any = model.preprocess
    everything = np.arange(len(embedding_of(model.net.backbone).weight))
    return start, neighbours(text, model.net.backbone, everything, most=2, least=0.1)


def apart(table: torch.Tensor, known: Neighbours) -> float:
    word, place = (known.ids != NONE).nonzero(as_tuple=True)
    return float((table[word] - table[known.ids[word, place]]).norm(dim=1).mean())


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_neighbours_come_closer_the_harder_they_are_pulled(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, known = begun(tiny_sources[name], tiny_table)
    loaded: Any = start.source
    before = embedding_of(loaded.load()).weight.detach().clone()
    found = []
    for pull in (0.5, 2.0, 8.0):
        drawn: Any = drawn_together(start, known, pull, NEVER).source
        after = embedding_of(drawn.load()).weight
        found.append(apart(after, known))
        moved = (after != before).any(dim=1)
        paired = known.ids[known.ids != NONE].unique()
        assert bool(moved.any()) and set(moved.nonzero()[:, 0].tolist()) <= set(
            [*paired.tolist(), *(known.ids[:, 0] != NONE).nonzero()[:, 0].tolist()]
        )
    assert apart(before, known) > found[0] > found[1] > found[2]
    assert torch.equal(embedding_of(loaded.load()).weight, before), "the source stays as it was"


def test_words_meet_near_those_that_are_read_most_often(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Two words that have only each other, and a chain of three: none swings past the others."""
    start, known = begun(tiny_sources["bert"], tiny_table)
    few = torch.full_like(known.ids, NONE)
    few[5, 0], few[7, 0], few[8, 0] = 6, 8, 9
    loaded: Any = start.source
    before = embedding_of(loaded.load()).weight.detach()[5:10]
    counts = np.zeros(9, dtype=np.int64)
    counts[5:] = 8, 0, 2, 5
    drawn: Any = drawn_together(start, Neighbours(few, known.continues), 100.0, counts).source
    after = embedding_of(drawn.load()).weight.detach()[5:10]
    weight = torch.eye(5)
    for word, other in ((0, 1), (2, 3), (3, 4)):
        weight[word, other] = weight[other, word] = 1.0
    weight *= torch.tensor([9.0, 1.0, 3.0, 6.0, 1.0])
    held = 101.0 * torch.eye(5) - 100.0 * weight / weight.sum(1, keepdim=True)
    torch.testing.assert_close(after, torch.linalg.solve(held, before), atol=1e-4, rtol=1e-3)
    assert (after[0] - after[1]).norm() < 0.01 * (before[0] - before[1]).norm()
    assert (after[0] - before[0]).norm() < 0.2 * (after[1] - before[1]).norm()


def test_everything_but_the_words_is_shared(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, known = begun(tiny_sources["bert"], tiny_table)
    source: Any = start.source
    drawn: Any = drawn_together(start, known, 2.0, NEVER).source
    own = dict(source.load().named_parameters())
    apart_ = [n for n, p in drawn.load().named_parameters() if p.data_ptr() != own[n].data_ptr()]
    assert len(apart_) == 1 and "word_embeddings" in apart_[0]
    assert drawn.digest != source.digest


def test_a_net_is_drawn_together_as_its_source_is(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Also where the table is a product of two: the mean of products is that of the rows."""
    start, known = begun(tiny_sources["bert"], tiny_table)
    table = tiny_table(start.source, 16, "binary")
    model = fresh_net(start, Problem(start.task, table), 0)
    drawn: Any = drawn_together(start, known, 2.0, NEVER).source
    wanted = embedding_of(drawn.load()).weight
    learned = drawn_together(replace(start, model=model), known, 2.0, NEVER).model
    found: Any = learned
    assert found.untouched == 0 and found.net is not model.net
    torch.testing.assert_close(embedding_of(found.net.backbone).weight, wanted)

    encoder: Any = model.net.backbone.model
    whole = encoder.get_input_embeddings().weight.detach()
    product = Factored(len(whole), whole.shape[1], whole.shape[1], 0)
    with torch.no_grad():
        product.rows.weight.copy_(whole)
        product.widen.weight.copy_(torch.eye(whole.shape[1]))
    encoder.set_input_embeddings(product)
    halves: Any = drawn_together(replace(start, model=model), known, 2.0, NEVER).model
    everything = torch.arange(len(whole))
    torch.testing.assert_close(embedding_of(halves.net.backbone)(everything), wanted)
