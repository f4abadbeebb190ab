"""What a network remembers of its own shape, and how that is told when something is cut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

SIZES = ("attention_head_size", "head_dim", "attention_head_dim")
"""What the width of a head is called, in an attention layer or in a configuration."""
KEPT_BLOCKS = "kept_blocks"
"""Where a configuration says which blocks are left, when its architecture has no words for it."""


def recount(owner: nn.Module, before: int, after: int, size: int) -> None:
    """Correct what an attention layer remembers of its heads: their number and their whole width.

    Args:
        owner: the layer, in place.
        before: the width of all heads as it was.
        after: the width that is left.
        size: the width of one head, which never changes.
    """
    told: Any = owner
    for name, value in list(vars(owner).items()):
        if type(value) is int and "head" in name and name not in SIZES:
            if value == before:
                setattr(told, name, after)
            elif value * size == before:
                setattr(told, name, after // size)


def head_size(model: nn.Module, owner: nn.Module) -> int | None:
    """Return the width of a head, as an attention layer says it or the configuration does."""
    config: Any = getattr(model, "config", None)
    for place in (owner, config):
        for name in SIZES:
            size = getattr(place, name, None)
            if isinstance(size, int) and size > 0:
                return size
    width, heads = (getattr(config, name, None) for name in ("hidden_size", "num_attention_heads"))
    return width // heads if isinstance(width, int) and isinstance(heads, int) else None


def drop_listed(encoder: nn.Module) -> None:
    """Drop, in place, the blocks that an encoder's configuration does not list as kept.

    Whoever builds an encoder from the configuration of a cut one calls this before the weights are
    loaded. Raises ValueError when what is listed is no list of its blocks.
    """
    listed = getattr(encoder.config, KEPT_BLOCKS, None) or {}
    if not isinstance(listed, dict):
        raise ValueError(f"{KEPT_BLOCKS} is no object")
    modules = dict(encoder.named_modules())
    for place, kept in listed.items():
        blocks = modules.get(place)
        if not isinstance(blocks, nn.ModuleList) or not isinstance(kept, list):
            raise ValueError(f"{KEPT_BLOCKS} names no list of blocks: {place!r}")
        if not all(type(k) is int and 0 <= k < len(blocks) for k in kept):
            raise ValueError(f"{KEPT_BLOCKS} names blocks that are not there: {kept}")
        drop(encoder, place, kept)


def drop(model: nn.Module, place: str, kept: Sequence[int]) -> None:
    """Keep only these blocks of a list of them, in place."""
    blocks: Any = model.get_submodule(place)
    model.set_submodule(place, nn.ModuleList([blocks[k] for k in kept]))
