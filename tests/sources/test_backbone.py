"""Entering a network at any boundary gives what the whole pass gives, gradients included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from metier.sources.backbone import Backbone

SMALL = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
IMAGE = {"image_size": 32, "patch_size": 8}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": {**SMALL, "pad_token_id": 1},
    "mpnet": SMALL,
    "electra": {**SMALL, "embedding_size": 16},
    "distilbert": {"vocab_size": 20, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24},
    "modernbert": {**SMALL, "pad_token_id": 0, "global_attn_every_n_layers": 2},
    "deberta-v2": {
        **SMALL,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    },
    "vit": {**SMALL, **IMAGE},
    "dinov2": {**SMALL, **IMAGE},
    "mobilenet_v1": {"depth_multiplier": 0.25, "image_size": 32},
    "mobilenet_v2": {"depth_multiplier": 0.25, "image_size": 32},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16, 24], "depths": [1, 2, 1]},
    "convnext": {"hidden_sizes": [8, 16, 24], "depths": [1, 2, 1], "num_stages": 3},
}
WHOLE: dict[str, dict[str, Any]] = {
    # One layer used several times, tokens before rows, and blocks that hand on two activations.
    "albert": {**SMALL, "embedding_size": 8},
    "xlnet": {"vocab_size": 20, "d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 24},
    "swin": {
        "image_size": 32,
        "patch_size": 4,
        "window_size": 4,
        "embed_dim": 8,
        "depths": [1, 1],
        "num_heads": [1, 2],
    },
}
IMAGES = {"vit", "dinov2", "mobilenet_v1", "mobilenet_v2", "resnet", "convnext", "swin"}


def inputs_of(kind: str, seed: int, rows: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    if kind in IMAGES:
        return {"pixel_values": torch.rand((rows, 3, 32, 32), generator=random)}
    ids = torch.randint(2, 20, (rows, 9), generator=random)
    lengths = torch.tensor([9, 4, 6])[:rows]
    return {"input_ids": ids, "attention_mask": (torch.arange(9) < lengths[:, None]).long()}


def build(kind: str, settings: dict[str, Any]) -> Backbone:
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **settings)).float()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    pooling = "spatial" if kind in IMAGES else "mean"
    return Backbone(model, pooling, False, probe=inputs_of(kind, 0, 2)).eval()


@pytest.mark.parametrize("kind", ENCODERS)
def test_entering_at_every_boundary_is_the_whole_pass(kind: str):
    backbone = build(kind, ENCODERS[kind])
    assert backbone.depth >= 5, "it was not split into blocks"
    inputs = inputs_of(kind, 1)
    with torch.no_grad():
        whole = backbone(inputs)
        for at in range(1, backbone.depth + 1):
            hidden = backbone.activations(inputs, at)
            torch.testing.assert_close(backbone(inputs, hidden, at), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ENCODERS)
def test_activations_can_be_computed_from_lower_ones(kind: str):
    backbone = build(kind, ENCODERS[kind])
    inputs, depth = inputs_of(kind, 1), backbone.depth
    with torch.no_grad():
        low = backbone.activations(inputs, 1)
        for at in range(2, depth + 1):
            wanted = backbone.activations(inputs, at)
            found = backbone.activations(inputs, at, low, 1)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ENCODERS)
def test_gradients_above_a_boundary_are_those_of_the_whole_pass(kind: str):
    backbone = build(kind, ENCODERS[kind])
    inputs = inputs_of(kind, 1)
    whole = gradients(backbone, lambda: backbone(inputs))
    for at in range(1, backbone.depth):
        with torch.no_grad():
            hidden = backbone.activations(inputs, at)
        entered = gradients(backbone, lambda hidden=hidden, at=at: backbone(inputs, hidden, at))
        above = [name for name in whole if backbone.level_of(name) >= at]
        assert above or at == backbone.depth - 1
        for name in above:
            torch.testing.assert_close(entered[name], whole[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [k for k in ENCODERS if k.startswith(("mobilenet", "resnet"))])
def test_batch_norms_in_training_see_the_same_batch(kind: str):
    entered, whole = (build(kind, ENCODERS[kind]) for _ in range(2))
    inputs, at = inputs_of(kind, 1), 3
    with torch.no_grad():
        hidden = entered.activations(inputs, at)
    for backbone in (entered, whole):
        for block in backbone.blocks[at - 1 :]:
            block.train()
    left, right = entered(inputs, hidden, at), whole(inputs)
    torch.testing.assert_close(left, right, atol=1e-5, rtol=0)
    statistics = dict(whole.named_buffers())
    changed = build(kind, ENCODERS[kind])
    before = dict(changed.named_buffers())
    for name, value in entered.named_buffers():
        torch.testing.assert_close(value, statistics[name], atol=1e-5, rtol=0)
    moved = {n for n, v in entered.named_buffers() if not torch.equal(v, before[n])}
    assert moved
    assert all(entered.level_of(name) >= at for name in moved)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_network_that_cannot_be_split_is_kept_whole(kind: str):
    backbone = build(kind, WHOLE[kind])
    assert (backbone.depth, backbone.blocks, backbone.stem) == (2, [], [])
    inputs = inputs_of(kind, 1)
    with torch.no_grad():
        feature = backbone.activations(inputs, 2)
        torch.testing.assert_close(feature, backbone(inputs))
    assert all(backbone.level_of(name) == 0 for name, _ in backbone.named_parameters())


def test_what_is_entered_does_not_depend_on_the_raw_input():
    backbone = build("bert", ENCODERS["bert"])
    inputs = inputs_of("bert", 1)
    with torch.no_grad():
        hidden = backbone.activations(inputs, 2)
        other = {**inputs, "input_ids": inputs["input_ids"].flip(0)}
        torch.testing.assert_close(backbone(other, hidden, 2), backbone(inputs), atol=1e-5, rtol=0)


def test_an_interrupted_pass_leaves_the_network_as_it_was():
    backbone = build("bert", ENCODERS["bert"])
    inputs = inputs_of("bert", 1)
    with torch.no_grad():
        before = backbone(inputs)
        hidden = backbone.activations(inputs, 2)
        with pytest.raises(RuntimeError):
            backbone(inputs, hidden[:, :, :5], 2)
        torch.testing.assert_close(backbone(inputs), before)
    assert not any("forward" in vars(module) for module in backbone.modules())


def test_levels_and_the_frozen_depth():
    backbone = build("bert", ENCODERS["bert"])
    assert backbone.depth == 5
    levels = {backbone.level_of(name) for name, _ in backbone.named_parameters()}
    assert levels == {0, 1, 2, 3, 4}
    assert backbone.level_of("model.embeddings.LayerNorm.weight") == 0
    assert backbone.level_of("model.encoder.layer.1.output.dense.weight") == 2
    assert backbone.level_of("model.pooler.dense.weight") == 4
    assert backbone.frozen_depth() == 0
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(backbone.level_of(name) >= 3)
    assert backbone.frozen_depth() == 3
    backbone.requires_grad_(False)
    assert backbone.frozen_depth() == backbone.depth


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("mpnet", "model.encoder.relative_attention_bias.weight"),
        ("deberta-v2", "model.encoder.rel_embeddings.weight"),
        ("deberta-v2", "model.encoder.LayerNorm.weight"),
    ],
)
def test_what_all_blocks_share_lies_below_them(kind: str, shared: str):
    assert build(kind, ENCODERS[kind]).level_of(shared) == 0


def test_a_network_without_a_list_of_blocks_is_kept_whole():
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)

        def forward(self, pixel_values: Tensor, return_dict: bool = True) -> Any:
            from transformers.modeling_outputs import BaseModelOutput

            return BaseModelOutput(last_hidden_state=self.conv(pixel_values))

    backbone = Backbone(Plain(), "spatial", True, probe=inputs_of("vit", 0, 2))
    assert (backbone.depth, backbone.width) == (2, 6)
    lengths = backbone(inputs_of("vit", 1)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


def gradients(backbone: Backbone, run: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Gradients of a sum that weighs every number of the feature differently."""
    backbone.zero_grad(set_to_none=True)
    feature = run()
    if feature.requires_grad:
        weights = torch.linspace(-1, 1, feature.numel()).reshape(feature.shape)
        (feature * weights).sum().backward()
    return {n: p.grad.clone() for n, p in backbone.named_parameters() if p.grad is not None}
