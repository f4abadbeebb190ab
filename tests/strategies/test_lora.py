from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metier.cache import Cache
from metier.errors import MissingExtraError, Pruned
from metier.sources.text import open_text
from metier.strategies import lora
from metier.strategies.lora import Lora
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.net import NetModel
from metier.types import Problem, Run, Specialist, Table
from tests import tiny

pytest.importorskip("peft", reason="peft is not installed (extra: lora)")
Learn = Callable[..., Specialist]
Tables = Callable[..., Table]


@pytest.mark.parametrize("name", ["bert", "vit", "mobilenet"])
def test_the_merged_net_is_an_ordinary_one_that_scores_the_same(
    name: str,
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    learn: Learn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 40)
    before: list[Any] = []
    merge = lora._merge

    def noted(model: NetModel, targets: list[str]) -> None:
        before.append(model.scores(table))
        merge(model, targets)

    monkeypatch.setattr(lora, "_merge", noted)
    specialist = learn(Lora(epochs=3, rate=5e-3), table, "multiclass", source)
    assert isinstance(specialist.model, NetModel)
    spread = np.abs(before[0]).max()  # a score near zero is a difference of ones as large as this
    np.testing.assert_allclose(specialist.scores(table), before[0], atol=1e-5 * spread, rtol=1e-5)
    backbone = specialist.model.net.backbone
    assert [n for n, _ in backbone.named_parameters()] == [
        n for n, _ in source.load().named_parameters()
    ]
    assert not any("peft" in type(m).__module__ for m in backbone.modules())
    assert not hasattr(backbone.model, "peft_config")
    moved = {
        type(module)
        for module, old in zip(backbone.modules(), source.load().modules(), strict=True)
        if isinstance(module, nn.Linear | nn.Conv2d) and not torch.equal(module.weight, old.weight)
    }
    assert moved == ({nn.Conv2d} if name == "mobilenet" else {nn.Linear})


def test_only_the_named_share_of_the_blocks_changes(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    for blocks, wanted in ((0.3, {3}), (1.0, {1, 2, 3})):
        specialist = learn(Lora(epochs=1, blocks=blocks), table, "multiclass", source)
        assert isinstance(specialist.model, NetModel)
        old = source.load()
        pairs = zip(old.named_parameters(), specialist.model.net.backbone.parameters(), strict=True)
        changed = {old.level_of(n) for (n, one), two in pairs if not torch.equal(one, two)}
        assert changed == wanted
        assert specialist.lineage[0].notes["cached_at"] == min(wanted)
        assert specialist.lineage[0].strategy == "lora"


def test_what_the_cache_knew_before_is_not_taken_for_the_merged_net(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    task = build("multiclass", table)
    problem, shared = Problem(task, table), Cache()
    tuned = Lora(epochs=3, rate=1e-2)(Specialist(source, task), problem, Run(shared))
    probed = Probe()(tuned, problem, Run(shared))
    clean = Probe()(tuned, problem, Run(Cache()))
    np.testing.assert_allclose(probed.scores(table), clean.scores(table), atol=1e-4)


def test_a_fit_that_is_cut_leaves_its_start_as_it_was(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    task = build("multiclass", table)
    start = Probe()(Specialist(source, task), Problem(task, table), Run(Cache()))
    before = start.scores(table)
    with pytest.raises(Pruned):
        Lora()(start, Problem(task, table), Run(Cache(), deadline=0.0))
    assert (start.scores(table) == before).all()
    assert not any("peft" in type(m).__module__ for m in source.load().modules())


def test_a_net_that_cannot_be_split(tmp_path: Path, learn: Learn) -> None:
    """ALBERT uses one layer many times."""
    from transformers import AlbertConfig, AlbertModel

    words = tiny.save_tokenizer(tmp_path)
    config = AlbertConfig(
        vocab_size=words,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
    )
    AlbertModel(config).save_pretrained(tmp_path)
    table = tiny.labelled_texts(30, "binary")
    source = open_text(str(tmp_path))
    assert source.load().depth == 2
    assert np.isfinite(learn(Lora(epochs=1), table, "binary", source).scores(table)).all()


def test_without_peft_the_extra_is_named(
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    learn: Learn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    source = tiny_sources["bert"]
    with pytest.raises(MissingExtraError, match=r"metier\[lora\]"):
        learn(Lora(epochs=1), tiny_table(source, 30), "multiclass", source)
