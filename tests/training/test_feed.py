"""Training on activations computed once is training on the whole pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from metier.cache import Cache
from metier.errors import DataError, Pruned
from metier.sources.text import open_text
from metier.tasks import build
from metier.training.feed import Feed, prefix_digest
from metier.training.loop import fit
from metier.training.net import Net, branch, score
from metier.training.objectives import Supervised
from metier.training.schedule import Schedule
from metier.training.start import preprocess_of
from metier.types import Roles, Run, Table
from tests import tiny

Tables = Callable[..., Table]
SOURCES = ["bert", "long", "vit", "mobilenet"]


def own_net(source: Any, outputs: int = 3) -> Net:
    """A net of one's own, with a head that knows something."""
    torch.manual_seed(1)
    net = branch(Net(source.load(), outputs), 0)
    net.set_head(np.random.default_rng(0).normal(size=net.head.weight.shape), np.zeros(outputs))
    return net


def feed_of(net: Net, source: Any, table: Table, cache: Cache | None = None) -> Feed:
    return Feed(net.backbone, preprocess_of(source, table), table, cache or Cache())


def learn_once(net: Net, feed: Feed, rows: Any, at: int, boundary: int) -> dict[str, torch.Tensor]:
    """Gradients of a loss above a boundary, entered at `at`, and the scores themselves."""
    net.zero_grad(set_to_none=True)
    net.learn_from(boundary)
    assert feed.prepare(at) == at
    net.train_above(boundary)
    torch.manual_seed(0)  # the same dropout
    inputs = {} if at == net.backbone.depth else feed.inputs(rows, light=at > 0)
    scores = net(inputs, feed.hidden(rows, at), at)
    (scores**2).mean().backward()
    found = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    return {**found, "scores": scores.detach()}


@pytest.mark.parametrize("name", SOURCES)
def test_every_boundary_gives_the_uncached_scores_and_gradients(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    net = own_net(source)
    feed = feed_of(net, source, tiny_table(source, 12))
    rows = np.array([7, 0, 3, 9, 4])
    assert net.backbone.depth >= 5
    for boundary in range(1, net.backbone.depth + 1):
        whole = learn_once(net, feed, rows, 0, boundary)
        cached = learn_once(net, feed, rows, boundary, boundary)
        assert whole.keys() == cached.keys()
        for key, value in whole.items():
            scale = max(1.0, float(value.abs().max()))
            torch.testing.assert_close(cached[key], value, atol=1e-5 * scale, rtol=0, msg=key)
        assert any(float(v.abs().max()) > 1e-3 for k, v in whole.items() if k != "scores")


@pytest.mark.parametrize("name", SOURCES)
def test_company_and_order_of_rows_do_not_matter(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    net = own_net(source)
    table = tiny_table(source, 20)
    together = feed_of(net, source, table)
    order = np.random.default_rng(0).permutation(20)
    backwards = feed_of(net, source, table.take(order))
    alone = [feed_of(net, source, table.take([row])).features()[0] for row in range(6)]
    np.testing.assert_allclose(backwards.features(), together.features()[order], atol=1e-5)
    np.testing.assert_allclose(alone, together.features()[:6], atol=5e-5)
    middle = 1 + len(net.backbone.blocks) // 2
    whole = score(net, together, 0)
    np.testing.assert_allclose(score(net, backwards, middle), whole[order], atol=2e-5)
    assert np.ptp(whole, axis=0).max() > 1e-3


def test_the_same_row_twice_is_computed_once(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 10)
    cache = Cache()
    net = own_net(source)
    features = feed_of(net, source, table, cache).features()
    size = {p.name: p.stat().st_size for p in cache.folder.glob("*.bin")}
    twice = feed_of(net, source, table.take([3, 3, 9, 0]), cache).features()
    np.testing.assert_array_equal(twice, features[[3, 3, 9, 0]])
    assert {p.name: p.stat().st_size for p in cache.folder.glob("*.bin")} == size


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
def test_without_room_the_whole_pass_is_taken(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    net = own_net(source)
    table = tiny_table(source, 20)
    plenty = feed_of(net, source, table)
    room = 4096 if name == "bert" else 20 * 3 * 48 * 48 + 100
    tight = feed_of(net, source, table, Cache(quota=room))
    assert plenty.prepare(2) == 2 and tight.prepare(2) == 0
    np.testing.assert_allclose(score(net, tight, 2), score(net, plenty, 2), atol=1e-5)
    assert sum(p.stat().st_size for p in tight._cache.folder.glob("*.bin")) <= room


def test_unlike_prefixes_never_share_activations(tiny_sources: dict[str, Any]) -> None:
    source = tiny_sources["bert"]
    one, two = own_net(source).backbone, own_net(source).backbone
    depth = one.depth
    assert [prefix_digest(one, at) for at in range(1, depth + 1)] == [
        prefix_digest(two, at) for at in range(1, depth + 1)
    ]
    with torch.no_grad():
        next(two.blocks[1].parameters()).mul_(1.001)
    assert prefix_digest(one, 2) == prefix_digest(two, 2)
    for at in range(3, depth + 1):
        assert prefix_digest(one, at) != prefix_digest(two, at)


def test_the_same_weights_with_other_settings_are_another_prefix(tmp_path: Path) -> None:
    found = []
    for heads in (2, 4):
        folder = tiny.save_bert(tmp_path / str(heads), num_attention_heads=heads)
        found.append(open_text(str(folder)).load())
    for one, two in zip(found[0].parameters(), found[1].parameters(), strict=True):
        assert torch.equal(one, two)
    assert prefix_digest(found[0], 3) != prefix_digest(found[1], 3)


def test_other_tokenisations_and_columns_are_other_activations(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources["long"], 8)
    cache = Cache()
    features = []
    for name in ("bert", "long"):
        net = own_net(tiny_sources[name])
        features.append(feed_of(net, tiny_sources[name], table, cache).features())
    assert np.abs(features[0] - features[1]).max() > 1e-3, "cut and windowed texts differ"


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
def test_what_a_fit_changed_is_another_prefix(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Fused optimiser steps and batch norms leave no trace in the versions of tensors."""
    source = tiny_sources[name]
    net = own_net(source)
    table = tiny_table(source, 12)
    feed = feed_of(net, source, table)
    before = {at: prefix_digest(net.backbone, at) for at in range(1, net.backbone.depth + 1)}
    boundary = net.backbone.depth - 2
    net.learn_from(boundary)
    task = build("multiclass", table)
    schedule = Schedule(epochs=1, rate=1e-2)
    fit(net, feed, task.encode(table), Supervised(task), schedule, Run(Cache()))
    for at, digest in before.items():
        assert (prefix_digest(net.backbone, at) == digest) == (at <= boundary)


def test_no_pass_is_begun_after_the_deadline(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 10)
    net = own_net(source)
    late = Feed(
        net.backbone, preprocess_of(source, table), table, Cache(), deadline=time.monotonic() - 1
    )
    with pytest.raises(Pruned):
        late.prepare(2)


def test_a_row_that_cannot_be_read_is_named(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources["vit"], 5)
    frame = table.frame.with_columns(image=pl.Series([*table.frame["image"][:4], "gone.png"]))
    with pytest.raises(DataError, match="row 4"):
        feed_of(own_net(tiny_sources["vit"]), tiny_sources["vit"], replace(table, frame=frame))


def test_images_are_read_again_when_their_bytes_change(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source, cache = tiny_sources["vit"], Cache()
    net = own_net(source)
    one = tiny.labelled_images(tmp_path, 3, "binary", seed=1)
    first = feed_of(net, source, one, cache).features()
    other = tiny.labelled_images(tmp_path, 3, "binary", seed=2)  # the same names
    second = feed_of(net, source, other, cache).features()
    assert np.abs(first - second).max() > 1e-3


def test_tokens_and_costs_are_those_of_the_rows(tiny_sources: dict[str, Any]) -> None:
    source = tiny_sources["bert"]
    table = Table(pl.DataFrame({"text": ["card card", "", "help"]}), Roles({"text": "text"}))
    feed = feed_of(own_net(source), source, table)
    assert feed.costs.tolist() == [4, 2, 3]
    assert feed.tokens().tolist() == [2, 3, 25, 32]
    assert np.flatnonzero(feed.counts()).tolist() == [2, 3, 25, 32]


class Shared(nn.Module):
    """A network of one number a row that lies where the last net that shares it took it."""

    depth, pooling, normalise, model = 1, "mean", False, None

    def __init__(self) -> None:
        super().__init__()
        self.place = "cuda"

    def to(self, device: Any) -> Any:
        self.place = device
        return self

    def level_of(self, name: str) -> int:
        return 0

    def activations(self, inputs: dict[str, torch.Tensor], at: int) -> torch.Tensor:
        assert self.place == inputs["input_ids"].device.type
        return inputs["input_ids"].float().mean(1, keepdim=True)


def test_a_network_that_another_net_took_away_is_fetched_back(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources["bert"], 6)
    reads = preprocess_of(tiny_sources["bert"], table)
    shared: Any = Shared()
    assert Feed(shared, reads, table, Cache()).features().shape == (6, 1)
