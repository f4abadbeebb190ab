"""Pretrained image networks in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from metier.errors import SourceError
from metier.sources.directory import digest_of, locate, read_json
from metier.types import Modality

if TYPE_CHECKING:
    from metier.runtime.images import Image
    from metier.sources.backbone import Backbone

FIRST = {"cls_token", "class_embedding"}
"""What networks call the token that they put before the patches to stand for the whole image."""


@dataclass(frozen=True)
class ImageSource:
    """An image network: what the user called it, and where its files lie."""

    name: str
    folder: Path
    modality: ClassVar[Modality] = "image"

    @cached_property
    def digest(self) -> str:
        return digest_of(self.folder)

    def preprocess(self, column: str) -> Image:
        """Return the resizing, cropping and scaling that the model's own files ask for."""
        from metier.runtime.images import Image

        path = self.folder / "preprocessor_config.json"
        if not path.exists():
            raise SourceError(
                f"source {self.name!r}: no preprocessor_config.json, so how to scale images for it "
                "is not known; save its AutoImageProcessor into the directory"
            )
        try:
            return Image.from_config(column, read_json(path))
        except ValueError as error:
            raise SourceError(f"source {self.name!r}: {error}") from error

    def load(self, *, pretrained: bool = True, seed: int = 0) -> Backbone:
        """Return the network: shared and read-only when pretrained (copy what is to learn), with
        fresh random weights otherwise."""
        height, width = self.preprocess("image").size
        if pretrained:
            return _load(self.name, self.folder, height, width)
        return _build(self.name, self.folder, height, width, seed)


def open_image_source(name: str) -> ImageSource:
    """Return the image source of a name: a directory or a hub id."""
    return ImageSource(name=name, folder=locate(name))


@lru_cache(maxsize=8)
def _load(name: str, folder: Path, height: int, width: int) -> Backbone:
    return _build(name, folder, height, width, None)


def _build(name: str, folder: Path, height: int, width: int, seed: int | None) -> Backbone:
    """Read the weights (`seed` None) or draw them with a seed."""
    import torch

    from metier.sources.backbone import Backbone
    from metier.sources.loading import first_pass, gentle_norms, load_encoder

    model, pooler_trained = load_encoder(name, folder, seed)
    gentle_norms(model)
    generator = torch.Generator().manual_seed(0)
    probe = {"pixel_values": torch.rand((2, 3, height, width), generator=generator)}
    with first_pass(name, "images"):
        with torch.no_grad():
            model.eval()
            output, again = (model(**probe, return_dict=True) for _ in range(2))
        if not torch.allclose(output.last_hidden_state, again.last_hidden_state, atol=1e-4):
            raise SourceError(
                f"source {name!r}: it reads another part of an image at each look, as what learns "
                "to fill in masked images does; choose a source that reads images whole"
            )
        if getattr(output, "pooler_output", None) is not None and pooler_trained:
            return Backbone(model, "pooler", False, probe=probe)
        tokens = output.last_hidden_state.dim() == 3
        first = tokens and any(n.rpartition(".")[2] in FIRST for n, _ in model.named_parameters())
        return Backbone(model, "cls" if first else "spatial", False, probe=probe)
