"""Objectives that learn from attacked rows: what they change, and what they leave as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.evidence.robustness.pixels import Pixels
from metier.tasks import build
from metier.training.attacks.adversaries import EmbeddingSteps, FreePixels, Hardened, PixelSteps
from metier.training.attacks.wordswaps import WordSwaps, gains_of
from metier.training.neighbours import NONE, embedding_of, neighbours
from metier.training.net import NetModel
from metier.training.objectives import Batch, Supervised
from metier.training.start import feed_for, fresh_net
from metier.types import Problem, Run, Specialist, Table

Tables = Callable[..., Table]


@dataclass(frozen=True)
class Given:
    model: NetModel
    batch: Batch
    loss: Supervised


def given(source: Any, tiny_table: Tables, at: int = 0, kind: Any = "multiclass") -> Given:
    """A net with a head of random weights, and a batch of its rows."""
    table = tiny_table(source, 16, kind)
    task = build(kind, table)
    problem = Problem(task, table)
    model = fresh_net(Specialist(source, task), problem, 1)
    random = np.random.default_rng(0)
    width = model.net.head.in_features
    model.net.set_head(random.normal(size=(task.outputs, width)), np.zeros(task.outputs))
    feed = feed_for(model, table, Run(Cache()))
    feed.prepare(at)
    rows = np.arange(len(table))
    targets = torch.as_tensor(task.encode(table))
    batch = Batch(feed.inputs(rows), feed.hidden(rows, at), at, targets, feed.digests)
    return Given(model, batch, Supervised(task))


def loss_of(each: Given, batch: Batch) -> float:
    net = each.model.net.eval()
    with torch.no_grad():
        return float(each.loss(net, batch))


def pixel_steps(each: Given, **more: Any) -> PixelSteps:
    image: Any = each.model.preprocess
    settings = {"radius": 8 / 255, "steps": 3, "step": 0.5, **more}
    return PixelSteps(Pixels.of(image), **settings)


@pytest.mark.parametrize("name", ["vit", "mobilenet"])
def test_pixels_move_within_the_radius_and_hurt(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources[name], tiny_table)
    attack = pixel_steps(each)
    torch.manual_seed(0)
    each.model.net.eval()
    found = attack(each.model.net, each.batch, each.loss)
    before, after = (b.inputs["pixel_values"] for b in (each.batch, found))
    unit = torch.tensor(attack.pixels.unit)[:, None, None]
    assert float(((after - before) / unit).abs().max()) <= 8 / 255 + 1e-6
    seen = (after - torch.tensor(attack.pixels.zero)[:, None, None]) / unit
    assert float(seen.min()) >= -1e-6 and float(seen.max()) <= 1 + 1e-6
    assert loss_of(each, found) > loss_of(each, each.batch)
    assert all(p.grad is None for p in each.model.net.parameters()), "only the pixels were climbed"


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.0), (0.1, 0.2), (0.5, 1.0), (1.0, 1.0)])
def test_a_radius_grows_over_a_share_of_the_steps(
    done: float, share: float, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources["vit"], tiny_table)
    attack = pixel_steps(each, grow=0.5)
    batch = replace(each.batch, done=done)
    found = attack(each.model.net.eval(), batch, each.loss)
    unit = torch.tensor(attack.pixels.unit)[:, None, None]
    moved = (found.inputs["pixel_values"] - batch.inputs["pixel_values"]) / unit
    assert float(moved.abs().max()) == pytest.approx(share * 8 / 255, abs=1e-6)

    words = given(tiny_sources["bert"], tiny_table)
    batch = replace(words.batch, done=done)
    net = words.model.net.eval()
    clean = net.backbone.activations(batch.inputs, 1).detach()
    changed = EmbeddingSteps(0.2, 2, 0.7, grow=0.5)(net, batch, words.loss).hidden
    assert changed is not None
    far = (changed.detach() - clean).flatten(1).norm(dim=1)
    mask = batch.inputs["attention_mask"].unsqueeze(-1)
    most = share * 0.2 * (clean * mask).flatten(1).norm(dim=1)
    assert bool((far <= most + 1e-5).all()) and bool((far > 0).any()) == (share > 0)


@pytest.mark.parametrize("at", [0, 1])
def test_embeddings_move_within_their_share_and_hurt(
    at: int, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources["bert"], tiny_table, at)
    attack = EmbeddingSteps(radius=0.2, steps=2, step=0.7)
    net = each.model.net.eval()
    found = attack(net, each.batch, each.loss)
    clean = each.batch.hidden
    if clean is None:
        clean = net.backbone.activations(each.batch.inputs, 1).detach()
    assert found.hidden is not None and found.at == 1
    moved = (found.hidden.detach() - clean).flatten(1).norm(dim=1)
    mask = each.batch.inputs["attention_mask"].unsqueeze(-1)
    assert bool((moved <= 0.2 * (clean * mask).flatten(1).norm(dim=1) + 1e-5).all())
    assert bool(((found.hidden.detach() - clean) * (1 - mask) == 0).all()), "padding stays"
    assert loss_of(each, found) > loss_of(each, each.batch)


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("name", ["bert", "roberta", "long"])
def test_words_are_replaced_by_neighbours_only(
    name: str, guided: bool, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources[name], tiny_table)
    text: Any = each.model.preprocess
    net = each.model.net.eval()
    ids = each.batch.inputs["input_ids"]
    known = neighbours(text, net.backbone, np.unique(ids.numpy()), most=3, least=-1.0)
    torch.manual_seed(0)
    found = WordSwaps(known, 0.4, guided)(net, each.batch, each.loss)
    after = found.inputs["input_ids"]
    changed = (after != ids).nonzero().tolist()
    assert changed
    for row, place in changed:
        assert int(after[row, place]) in known.ids[ids[row, place]].tolist()
        assert bool(known.words(ids)[row, place])
    words = (known.words(ids) & (each.batch.inputs["attention_mask"] > 0)).sum(1)
    most = (0.4 * words).ceil().clamp(min=1)
    assert bool(((after != ids).sum(1) <= most).all())
    if guided:
        assert loss_of(each, found) > loss_of(each, each.batch)


def test_the_gain_of_a_word_is_that_in_the_table_as_it_is_now(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Neighbours were found in the source's table; training may have moved them since."""
    each = given(tiny_sources["bert"], tiny_table)
    text: Any = each.model.preprocess
    net = each.model.net.eval()
    ids = each.batch.inputs["input_ids"]
    known = neighbours(text, net.backbone, np.unique(ids.numpy()), most=2, least=-1.0)
    table: Any = embedding_of(net.backbone)
    with torch.no_grad():
        table.weight.mul_(-2.0)
    embedded = table(ids)
    gradient = torch.randn(embedded.shape, generator=torch.Generator().manual_seed(0))
    found = gains_of(known, net, ids, embedded, gradient)
    row, place = (known.ids[ids][..., 0] != NONE).nonzero()[0].tolist()
    other = table.weight[known.ids[ids[row, place], 0]]
    wanted = float(((other - embedded[row, place]) * gradient[row, place]).sum().detach())
    assert float(found[row, place, 0]) == pytest.approx(wanted, rel=1e-4)


def test_neighbours_are_whole_words_near_each_other(tiny_sources: dict[str, Any]) -> None:
    source = tiny_sources["bert"]
    text = source.preprocess(["text"])
    backbone = source.load()
    table = torch.nn.functional.normalize(backbone.model.get_input_embeddings().weight, dim=1)
    used = np.arange(len(table))
    known = neighbours(text, backbone, used, most=4, least=0.05)
    words = set(known.ids.unique().tolist()) - {NONE}
    assert words and all(word >= 5 for word in words), "no special token"
    for word in range(len(table)):
        near = [i for i in known.ids[word].tolist() if i != NONE]
        cosines = [float(table[word] @ table[i]) for i in near]
        assert word not in near and cosines == sorted(cosines, reverse=True)
        assert all(c >= 0.05 - 1e-6 for c in cosines)
    assert known.texts(text)


def test_the_loss_is_mixed_as_the_weight_says(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources["vit"], tiny_table)
    net = each.model.net
    attack = pixel_steps(each)
    values = {}
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        values[weight] = float(Hardened(each.loss, attack, weight)(net, each.batch).detach())
    assert values[0.0] < values[0.5] < values[1.0]
    np.testing.assert_allclose(values[0.5], (values[0.0] + values[1.0]) / 2, rtol=1e-5)
    torch.manual_seed(0)
    apart = float(Hardened(each.loss, attack, 1.0, agreement=2.0)(net, each.batch).detach())
    assert apart > values[1.0]


def test_attacked_rows_count_as_in_the_loss_that_is_wrapped(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources["vit"], tiny_table)
    attack, targets = pixel_steps(each), each.batch.targets
    loss: Any = each.loss
    weighed = replace(loss, weights=torch.linspace(0.2, 3.0, each.model.net.head.out_features))
    assert Hardened(loss, attack, agreement=1.0).counted(targets) == len(targets)
    assert Hardened(weighed, attack).counted(targets) == weighed.counted(targets) != len(targets)
    assert Hardened(weighed, attack, agreement=1.0).counted(targets) is None

    class Whole:
        """A loss that is no mean of rows."""

        enters: None = None
        feeds: tuple[()] = ()

        def __call__(self, net: Any, batch: Any) -> torch.Tensor:
            raise NotImplementedError

    assert Hardened(Whole(), attack).counted(targets) is None


def test_it_enters_where_it_and_what_it_wraps_must(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources["bert"], tiny_table)
    moved = EmbeddingSteps(0.1, 1, 1.0)
    swaps: Any = replace(moved, enters=0)
    assert Hardened(each.loss, moved).enters == 1
    assert Hardened(Hardened(each.loss, moved), swaps).enters == 0
    assert Hardened(Hardened(each.loss, swaps), moved).enters == 0


def test_the_free_variant_replays_batches_and_carries_its_movement_on(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    each = given(tiny_sources["vit"], tiny_table)
    seen: list[int] = []

    @dataclass(frozen=True)
    class Seen:
        inner: Supervised
        enters: None = None
        feeds: tuple[()] = ()

        def __call__(self, net: Any, batch: Batch) -> torch.Tensor:
            seen.append(int(batch.digests[0] % 1000))
            return self.inner(net, batch)

    attack = pixel_steps(each)
    free = FreePixels(Seen(each.loss), attack.pixels, 8 / 255, replays=3)
    net = each.model.net.eval()
    losses = []
    for step in range(6):
        rows = slice(0, 8) if step < 3 else slice(8, 15)
        part = replace(
            each.batch,
            inputs={"pixel_values": each.batch.inputs["pixel_values"][rows]},
            targets=each.batch.targets[rows],
            digests=np.full(8 if step < 3 else 7, step, dtype=np.uint64),
        )
        loss = free(net, part)
        losses.append(float(loss.detach()))
        loss.backward()
        assert free.moved is not None and float(free.moved.abs().max()) <= 8 / 255 + 1e-6
    assert seen == [0, 0, 0, 3, 3, 3], "each batch is stepped on three times"
    assert losses[1] > losses[0], "the movement of the first step hurts in the second"
    assert len(free.moved) == 7
