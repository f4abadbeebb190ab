"""What can be cut out is found without knowing the architecture, and only that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from metier.errors import ChainError
from metier.sources.backbone import Backbone
from metier.sources.text import open_text
from metier.training.compression.anatomy import cut_out, find_parts
from metier.training.compression.surgery import Part
from tests import tiny
from tests.training.compression.cutting import probe_of

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "distilbert": ("DistilBert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}),
    "albert": ("Albert", {**SIZES, "embedding_size": 16}),
    "modernbert": ("ModernBert", {**SIZES, "pad_token_id": 0}),
    "mpnet": ("MPNet", SIZES),
    "deberta": (
        "DebertaV2",
        {
            **SIZES,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "position_buckets": 8,
        },
    ),
}
FOUND = {
    "distilbert": {("heads", 4, 8, 1): 2, ("units", 48, 1, 1): 2},
    "albert": {("heads", 4, 8, 1): 1, ("units", 48, 1, 1): 1},
    "modernbert": {("heads", 4, 8, 3): 2, ("units", 48, 1, 2): 2},
    "mpnet": {("units", 48, 1, 1): 2},
    "deberta": {("heads", 4, 8, 1): 2, ("units", 48, 1, 1): 2},
    "bert": {("heads", 4, 8, 1): 3, ("units", 48, 1, 1): 3},
    "vit": {("heads", 4, 8, 1): 4, ("units", 48, 1, 1): 4},
    "mobilenet": {
        ("channels", 48, 1, 1): 6,
        ("channels", 96, 1, 1): 4,
        ("channels", 144, 1, 1): 3,
        ("channels", 240, 1, 1): 3,
    },
}
"""Sort, count, size and copies of the parts. ALBERT has one block that is used many times; MPNet
adds a bias to each head, which all blocks share; MobileNet's sums of residuals are no parts."""


def other(name: str, folder: Path) -> Backbone:
    prefix, settings = OTHERS[name]
    words = tiny.save_tokenizer(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{prefix}Config")(vocab_size=words, **settings)
    getattr(transformers, f"{prefix}Model")(config).save_pretrained(folder)
    return open_text(str(folder)).load()


def counted(parts: list[Part]) -> dict[tuple[str, int, int, int], int]:
    return dict(Counter((p.sort, p.count, p.size, p.copies) for p in parts))


@pytest.mark.parametrize("name", FOUND)
def test_parts_are_found_in_many_architectures(
    name: str, tiny_sources: dict[str, Any], tmp_path: Path
) -> None:
    backbone = tiny_sources[name].load() if name in tiny_sources else other(name, tmp_path)
    probe = probe_of(backbone)
    before = backbone(probe)
    parts = find_parts(backbone, probe)
    assert counted(parts) == FOUND[name]
    assert torch.equal(backbone(probe), before), "looking changes nothing"
    kept = [np.array([0, 2]) for _ in parts]
    smaller = cut_out(backbone, list(zip(parts, kept, strict=True)), probe)
    assert sum(p.numel() for p in smaller.parameters()) < sum(
        p.numel() for p in backbone.parameters()
    )


def test_parts_know_their_blocks(tiny_sources: dict[str, Any]) -> None:
    backbone = tiny_sources["bert"].load()
    blocks = [part.blocks for part in find_parts(backbone, probe_of(backbone))]
    assert sorted(b for b in blocks if b) == [(k, k) for k in (0, 0, 1, 1, 2, 2)]


def test_what_reaches_over_blocks_is_found_where_there_is_no_residual(tmp_path: Path) -> None:
    config = transformers.MobileNetV1Config(depth_multiplier=0.25)
    model = transformers.MobileNetV1Model(config)
    backbone = Backbone(model, "spatial", False, {"pixel_values": torch.rand(2, 3, 48, 48)})
    parts = find_parts(backbone, probe_of(backbone))
    assert parts and all(part.blocks and part.blocks[0] < part.blocks[1] for part in parts)
    assert all(part.through for part in parts)


def test_a_cut_that_something_else_sees_is_refused(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Any]
) -> None:
    backbone = tiny_sources["bert"].load()
    probe = probe_of(backbone)
    first, second = (f"encoder.layer.{k}" for k in (0, 1))
    residual = Part(
        "units", (f"{first}.output.dense",), (), f"{second}.intermediate.dense", count=32
    )
    with pytest.raises(ChainError, match="sees"):
        cut_out(backbone, [(residual, np.arange(16))], probe)
