"""What the tests of cutting share."""

from __future__ import annotations

import torch
from torch import Tensor

from metier.sources.backbone import Backbone


def probe_of(backbone: Backbone) -> dict[str, Tensor]:
    """Inputs of two rows for a tiny network: texts of unlike length, or small images."""
    if backbone.pooling in ("mean", "cls", "max") and hasattr(backbone.model.config, "vocab_size"):
        ids = torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 3, 0, 0, 0]])
        return {
            "input_ids": ids,
            "attention_mask": (torch.arange(6) < torch.tensor([[6], [3]])) * 1,
        }
    size = getattr(backbone.model.config, "image_size", 48)
    size = 48 if size > 64 else size
    pixels = torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(0))
    return {"pixel_values": pixels}
