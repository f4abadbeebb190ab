"""A pretrained source whose weights were changed before any task was learned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from metier.sources.backbone import Backbone
from metier.types import Modality, Source


@dataclass(frozen=True)
class Adapted:
    """A source in memory: it reads as another one does, with a network of its own.

    Args:
        source: what it came from.
        backbone: its network, which nothing else changes.
    """

    source: Source
    backbone: Backbone = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def modality(self) -> Modality:
        return self.source.modality

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the source it came from and of its weights."""
        whole = hashlib.sha256(self.source.digest.encode())
        for name, value in self.backbone.state_dict().items():
            whole.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return whole.hexdigest()

    def preprocess(self, columns: Sequence[str] | str) -> Any:
        """Return how its inputs are read: as the source reads them."""
        given: Any = self.source
        return given.preprocess(columns)

    def load(self, *, pretrained: bool = True, seed: int = 0) -> Backbone:
        """Return the network; with fresh random weights, that of the source it came from."""
        given: Any = self.source
        return self.backbone if pretrained else given.load(pretrained=False, seed=seed)
