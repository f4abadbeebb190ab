"""Encoders read back from the folder they were saved to, whatever was cut out of them.

`config.json` says which architecture it is, and which of its blocks are left. What was removed
inside them since (tokens, heads, feed-forward units, channels) and what was factored shows in the
shapes of the stored tensors, so the architecture is built and then cut to them: no format of our
own that could disagree with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from metier.errors import BundleError
from metier.sources.cut import drop_listed, head_size, recount
from metier.sources.factored import Factored
from metier.sources.loading import FAULTS, load_encoder, quietly

WEIGHTS = "model.safetensors"
Tensors = Mapping[str, Tensor]


def read_encoder(folder: Path, pooled: bool = False) -> nn.Module:
    """Return the encoder that `save_pretrained` wrote into a folder, in float32.

    `pooled` says that the model's own pooled output is what counts.

    Raises:
        BundleError: when the weights cannot be read, or `config.json` names no encoder.
        SourceError: when the weights are not those of the encoder that it names.
    """
    tensors = read_tensors(folder / WEIGHTS)
    encoder = _architecture(folder)
    if not pooled and not any(name.startswith("pooler.") for name in tensors):
        encoder.register_module("pooler", None)
    cut_to(encoder, tensors)
    if encoder.state_dict().keys() != tensors.keys():
        # Some architectures are stored under older names, which `transformers` translates.
        return load_encoder(str(folder), folder)[0].eval()
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{folder / WEIGHTS}: not what its config.json says ({reason})") from None
    return encoder.eval()


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file. Raises BundleError when it cannot be read."""
    try:
        found: Tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); get the weights again") from None
    return found


def _architecture(folder: Path) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    with quietly():
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            built: Any = AutoModel.from_config(config, trust_remote_code=False)
            drop_listed(built)
        except FAULTS as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BundleError(
                f"{folder}: its config.json names no encoder that can be built ({reason})"
            ) from None
    encoder: nn.Module = built.float()
    return encoder


def cut_to(encoder: nn.Module, tensors: Tensors) -> None:
    """Give the modules of an encoder, in place, the shapes of the tensors of those names."""
    widths = {n: m.out_features for n, m in encoder.named_modules() if isinstance(m, nn.Linear)}
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Embedding) and f"{name}.rows.weight" in tensors:
            many, rank = tensors[f"{name}.rows.weight"].shape
            factored = Factored(many, rank, module.embedding_dim, module.padding_idx)
            encoder.set_submodule(name, factored)
        else:
            weight = tensors.get(f"{name}.weight")
            if weight is not None:
                _resize(module, tuple(weight.shape))
    for name, module in encoder.named_modules():
        _count_heads(encoder, name, module, widths)


def _resize(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Make room for a weight of another shape; its values are loaded afterwards."""
    weight: Any = module.weight
    if tuple(weight.shape) == shape:
        return
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = shape
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = shape
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        (module.num_features,) = shape
    elif isinstance(module, nn.Conv2d):
        depthwise = module.groups == module.in_channels > 1
        module.out_channels = shape[0]
        module.groups = shape[0] if depthwise else module.groups
        module.in_channels = shape[1] * module.groups
    else:
        return
    module.weight = nn.Parameter(torch.zeros(shape))
    for name in ("bias", "running_mean", "running_var"):
        beside = getattr(module, name, None)
        if beside is not None:
            like = torch.zeros(shape if isinstance(module, nn.LayerNorm) else shape[0])
            setattr(module, name, nn.Parameter(like) if name == "bias" else like)


def _count_heads(
    encoder: nn.Module, name: str, owner: nn.Module, widths: Mapping[str, int]
) -> None:
    """Correct what an attention layer remembers of its heads when linear layers of it were cut."""
    size = head_size(encoder, owner)
    layers = [
        (widths[f"{name}.{child}"], layer.out_features)
        for child, layer in owner.named_children()
        if isinstance(layer, nn.Linear) and f"{name}.{child}" in widths
    ]
    cut = {(before, now) for before, now in layers if before != now}
    if size and len(cut) == 1:  # queries, keys and values are of one width
        recount(owner, *cut.pop(), size)
