"""Branches share what is frozen; a model scores the same with and without a cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from metier.cache import Cache
from metier.errors import ChainError, DataError
from metier.strategies.finetune import Finetune
from metier.strategies.lora import Lora
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.net import Net, NetModel, branch
from metier.training.start import fresh_net, preprocess_of
from metier.types import Problem, Run, Specialist, Table

Tables = Callable[..., Table]


@pytest.mark.parametrize("name", ["bert", "vit", "mobilenet"])
def test_a_branch_shares_the_frozen_and_copies_the_rest(
    name: str, tiny_sources: dict[str, Any]
) -> None:
    net = Net(tiny_sources[name].load(), 3)
    for boundary in (0, 2, net.backbone.depth):
        copied = branch(net, boundary)
        pairs = zip(
            (*net.backbone.named_parameters(), *net.backbone.named_buffers()),
            (*copied.backbone.named_parameters(), *copied.backbone.named_buffers()),
            strict=True,
        )
        for (key, one), (_, two) in pairs:
            assert torch.equal(one, two)
            shared = one.data_ptr() == two.data_ptr()
            assert shared == (net.backbone.level_of(key) < boundary), key
        assert copied.head.weight.data_ptr() != net.head.weight.data_ptr()
        assert copied.backbone.blocks[0] is not net.backbone.blocks[0]


def test_modules_below_the_boundary_do_not_train(tiny_sources: dict[str, Any]) -> None:
    net = Net(tiny_sources["bert"].load(), 2)
    for boundary in range(net.backbone.depth + 1):
        net.train_above(boundary)
        blocks = [block.training for block in net.backbone.blocks]
        assert blocks == [1 + k >= boundary for k in range(len(blocks))]
        assert all(module.training == (boundary == 0) for module in net.backbone.stem)
        assert net.training and net.dropout.training


def test_a_fresh_net_leaves_the_source_alone(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 20)
    task = build("multiclass", table)
    model = fresh_net(Specialist(source, task), Problem(task, table), 3)
    assert model.untouched == 3 and model.net.backbone is not source.load()
    learning = {n for n, p in model.net.named_parameters() if p.requires_grad}
    assert {n.split(".layer.")[-1][0] for n in learning if ".layer." in n} == {"2"}
    assert {"head.weight", "head.bias"} <= learning
    assert not model.net.head.weight.any(), "it begins at zero, whatever was drawn before"
    again = fresh_net(Specialist(source, task, model), Problem(task, table), 1)
    assert again.untouched == 1


def test_only_nets_can_be_trained_further(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    class Linear:
        form = "linear"

    source = tiny_sources["bert"]
    table = tiny_table(source, 20)
    task = build("multiclass", table)
    other: Any = Linear()
    with pytest.raises(ChainError, match="linear"):
        fresh_net(Specialist(source, task, other), Problem(task, table))
    with pytest.raises(DataError, match="reads image"):
        preprocess_of(tiny_sources["vit"], table)


Step = Finetune | Lora | Probe
CHAINS: dict[str, list[Step]] = {
    "probe, finetune, probe": [
        Probe(),
        Finetune(train="top", epochs=2, average=0.0, rate=1e-3, patience=0),
        Probe(),
    ],
    "probe, all, probe": [Probe(), Finetune(train="all", epochs=2, average=0.0), Probe()],
    "lora, probe": [Lora(epochs=2, rate=1e-2), Probe()],
    "finetune, finetune": [Finetune(train="top", epochs=1), Finetune(train="all", epochs=1)],
}


@pytest.mark.parametrize(
    ("name", "named"),
    [
        *(("bert", chain) for chain in CHAINS),
        ("mobilenet", "probe, finetune, probe"),
        ("mobilenet", "lora, probe"),
    ],
)
def test_chains_score_the_same_with_and_without_a_cache(
    name: str, named: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source, chain = tiny_sources[name], CHAINS[named]
    table = tiny_table(source, 50)
    task = build("multiclass", table)
    problem = Problem(task, table)
    shared = Cache()
    specialist, apart = Specialist(source, task), Specialist(source, task)
    for strategy in chain:
        specialist = strategy(specialist, problem, Run(shared))
        apart = strategy(apart, problem, Run(Cache()))
        kept = specialist.scores(table, shared)
        np.testing.assert_allclose(kept, specialist.scores(table), atol=1e-4)
        np.testing.assert_allclose(kept, apart.scores(table), atol=1e-3)
        assert isinstance(specialist.model, NetModel)
        features = specialist.model.net.backbone
        assert 0 <= specialist.model.untouched <= features.depth
    before = Probe()(Specialist(source, task), problem, Run(shared)).scores(table, shared)
    assert np.abs(before - kept).max() > 1e-3, "the source's own features are another matter"
    assert [step.strategy for step in specialist.lineage] == [
        type(strategy).__name__.lower() for strategy in chain
    ]


def test_saved_weights_are_those_that_transformers_reads(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    task = build("multiclass", table)
    tuned = Finetune(train="all", epochs=1)(
        Specialist(source, task), Problem(task, table), Run(Cache())
    )
    assert isinstance(tuned.model, NetModel)
    tuned.model.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors", "head.safetensors", "tokenizer.json"} <= names
    assert not {path.suffix for path in tmp_path.iterdir()} & {".bin", ".pt", ".pkl", ".pth"}
    encoder = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    own = tuned.model.net.backbone.model.state_dict()
    assert own.keys() <= encoder.state_dict().keys()
    for key, value in own.items():
        assert torch.equal(encoder.state_dict()[key], value), key
    head = load_file(tmp_path / "head.safetensors")
    assert torch.equal(head["weight"], tuned.model.net.head.weight)
    assert json.loads((tmp_path / "config.json").read_text())["hidden_size"] == 32
    assert tuned.model.parameters == sum(v.numel() for v in own.values()) + 32 * 3 + 3


def test_a_net_whose_frozen_weights_were_taken_elsewhere_brings_them_back(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    rows = tiny_table(source, 20, "binary")
    task = build("binary", rows)
    model: Any = Probe()(Specialist(source, task), Problem(task, rows), Run(Cache())).model
    wanted, moves = model.scores(rows), []

    class Shared(Net):
        def to(self, device: Any) -> Any:
            moves.append(device)
            return self

    net = Shared(model.net.backbone, task.outputs)
    net.load_state_dict(model.net.state_dict())
    np.testing.assert_array_equal(replace(model, net=net).scores(rows), wanted)
    assert moves == ["cpu"]
