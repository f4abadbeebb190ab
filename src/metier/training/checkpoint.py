"""Checkpoints of a fit: one safetensors file, with the plain facts in its header; no pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes

from metier.cache import write_aside

NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to go on: tensors by name, and facts that are plain JSON."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of the last one; a kill leaves the one or the other."""
    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in checkpoint.tensors.items()
    }
    content = to_bytes(tensors, metadata={"facts": json.dumps(checkpoint.facts)})
    write_aside(folder / NAME, content)


def restore(folder: Path) -> Checkpoint | None:
    """Read the checkpoint in a folder; None when there is none."""
    path = folder / NAME
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as held:
        facts = json.loads(held.metadata()["facts"])
        return Checkpoint({name: held.get_tensor(name) for name in held.keys()}, facts)  # noqa: SIM118
