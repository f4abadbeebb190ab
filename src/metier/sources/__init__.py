"""Pretrained starts: text, images, tables."""

from __future__ import annotations

from metier.sources.defaults import DEFAULTS
from metier.sources.directory import run_of
from metier.types import Modality, Source

__all__ = ["DEFAULTS", "open_source"]


def open_source(name: str, modality: Modality) -> Source:
    """Return the source of a name for a modality: pretrained, or the folder of an earlier run.

    Raises SourceError when there is none.
    """
    if run_of(name) is not None:
        from metier.sources.earlier import open_earlier

        return open_earlier(name, modality)
    if modality == "text":
        from metier.sources.text import open_text

        return open_text(name)
    if modality == "image":
        from metier.sources.image import open_image_source

        return open_image_source(name)
    from metier.sources.tabular import open_tabular

    return open_tabular(name)
