"""Checkpoints of a fit: one safetensors file, with the plain facts in its header; no pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from metier.cache import replacing

NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to go on: tensors by name, and facts that are plain JSON."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]

    def copied(self) -> Checkpoint:
        """The same with tensors of its own, which nothing changes."""
        return Checkpoint({name: value.clone() for name, value in self.tensors.items()}, self.facts)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of the last one; a kill leaves the one or the other."""
    facts = json.dumps(checkpoint.facts)
    # Numbers go to the disk from where they lie: a copy of all would be the most that a fit takes.
    with replacing(folder / NAME) as aside:
        save_file(_apart(checkpoint.tensors), aside, metadata={"facts": facts})


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors on the processor, those copied that share memory with others."""
    found, held = {}, set()
    for name, value in tensors.items():
        own = value.detach().cpu().contiguous()
        memory = own.untyped_storage()
        shared = memory.data_ptr() in held or memory.nbytes() != own.nbytes
        held.add(memory.data_ptr())
        found[name] = own.clone() if shared else own
    return found


def restore(folder: Path) -> Checkpoint | None:
    """Read the checkpoint in a folder; None when there is none."""
    path = folder / NAME
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as held:
        facts = json.loads(held.metadata()["facts"])
        return Checkpoint({name: held.get_tensor(name) for name in held.keys()}, facts)  # noqa: SIM118
