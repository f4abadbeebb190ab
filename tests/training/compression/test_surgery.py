"""What is cut out is gone, and what is left says what it said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from metier.errors import ChainError
from metier.sources.backbone import Backbone
from metier.sources.cut import KEPT_BLOCKS, drop_listed
from metier.training.compression.anatomy import find_parts
from metier.training.compression.surgery import (
    cut,
    droppable,
    keep_blocks,
    silence,
    twin,
)
from tests.training.compression.cutting import probe_of


@pytest.fixture(scope="module")
def backbones(tiny_sources: dict[str, Any]) -> dict[str, Backbone]:
    return {name: tiny_sources[name].load() for name in ("bert", "vit", "mobilenet")}


def state(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in backbone.state_dict().items()}


@pytest.mark.parametrize("name", ["bert", "vit", "mobilenet"])
def test_a_cut_gives_what_silence_gives(name: str, backbones: dict[str, Backbone]) -> None:
    backbone = backbones[name]
    probe, before = probe_of(backbone), state(backbone)
    for part in find_parts(backbone, probe)[:4]:
        smaller, silent = twin(backbone), twin(backbone)
        kept = np.arange(part.count)[1::2]
        cut(smaller.model, part, kept)
        silence(silent.model, part, kept)
        with torch.no_grad():
            torch.testing.assert_close(smaller(probe), silent(probe), atol=1e-5, rtol=1e-4)
            assert (smaller(probe) - backbone(probe)).abs().max() > 1e-4
        gone = (part.count - len(kept)) * part.size
        taker = smaller.model.get_submodule(part.taker)
        assert taker.weight.shape[1] == part.count * part.size - gone
    after = state(backbone)
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_dead_units_can_go_without_a_trace(backbones: dict[str, Backbone]) -> None:
    backbone = twin(backbones["bert"])
    probe = probe_of(backbone)
    (part, *_) = [p for p in find_parts(backbone, probe) if p.sort == "units"]
    alive = np.arange(0, part.count, 3)
    silence(backbone.model, part, alive)
    wanted = backbone(probe)
    cut(backbone.model, part, alive)
    torch.testing.assert_close(backbone(probe), wanted, atol=1e-6, rtol=1e-6)


def test_an_attention_layer_counts_its_heads_anew(backbones: dict[str, Backbone]) -> None:
    backbone = twin(backbones["bert"])
    part = next(p for p in find_parts(backbone, probe_of(backbone)) if p.sort == "heads")
    cut(backbone.model, part, np.array([1, 2, 3]))
    owner: Any = backbone.model.get_submodule(part.makers[0].rpartition(".")[0])
    assert (owner.num_attention_heads, owner.all_head_size) == (3, 24)
    assert owner.attention_head_size == 8
    again = next(p for p in find_parts(backbone, probe_of(backbone)) if p.makers == part.makers)
    assert (again.count, again.size) == (3, 8), "what was cut can be cut again"


def test_fewer_blocks_are_told_by_the_configuration(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["bert"]
    probe = probe_of(backbone)
    assert droppable(backbone, probe) == [0, 1, 2]
    smaller = keep_blocks(backbone, [0, 2], probe)
    config: Any = smaller.model.config
    assert len(smaller.blocks) == 2 and smaller.depth == backbone.depth - 1
    assert config.num_hidden_layers == 2 and not hasattr(config, KEPT_BLOCKS)
    ours, theirs = smaller.blocks[1], backbone.blocks[2]
    assert torch.equal(next(ours.parameters()), next(theirs.parameters()))
    assert backbone.model.config.num_hidden_layers == 3


def test_blocks_that_differ_are_listed(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["mobilenet"]
    probe = probe_of(backbone)
    assert droppable(backbone, probe) == [1, 3, 4, 6, 7, 8, 10, 11, 13, 14]
    first = keep_blocks(backbone, [k for k in range(16) if k != 3], probe)
    second = keep_blocks(first, [k for k in range(15) if k != 3], probe)
    wanted = {"layer": [k for k in range(16) if k not in (3, 4)]}
    assert getattr(second.model.config, KEPT_BLOCKS) == wanted
    assert len(second.blocks) == 14 and not hasattr(backbone.model.config, KEPT_BLOCKS)
    read = transformers.MobileNetV2Config.from_dict(second.model.config.to_dict())
    built = transformers.MobileNetV2Model(read)
    drop_listed(built)
    built.load_state_dict(second.model.state_dict())
    torch.testing.assert_close(
        built.eval()(**probe).pooler_output, second.model.eval()(**probe).pooler_output
    )


def test_a_block_that_changes_a_shape_cannot_go(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["mobilenet"]
    with pytest.raises(ChainError, match="does not run"):
        keep_blocks(backbone, [k for k in range(16) if k != 9], probe_of(backbone))


@pytest.mark.parametrize(
    "listed", [[1], {"layer": 3}, {"layer": [99]}, {"layer": [True]}, {"nowhere": [0]}]
)
def test_a_list_of_blocks_is_not_believed(listed: Any) -> None:
    encoder = nn.Module()
    encoder.layer = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    encoder.config = type("Config", (), {KEPT_BLOCKS: listed})()
    with pytest.raises(ValueError, match=KEPT_BLOCKS):
        drop_listed(encoder)
