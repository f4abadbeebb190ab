"""The generalist of tables: a learner that has seen nothing, or a booster to continue."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metier.errors import SourceError
from metier.paths import expanded
from metier.types import Modality

LARGEST = 256 << 20
"""Bytes: a booster file above this size is refused."""


@dataclass(frozen=True)
class Tabular:
    """A learner for tables, by name; `booster` is a LightGBM text file that it goes on from.

    A booster can be continued when it was trained on columns encoded the same way: as many
    features, in the order of the input columns, categories as codes in their order in the bundle;
    and for scores like those of the task: no logarithms of counts, no classes each for itself.

    >>> Tabular().modality
    'tabular'
    """

    name: str = "lightgbm"
    booster: Path | None = None

    @property
    def modality(self) -> Modality:
        return "tabular"

    @cached_property
    def text(self) -> str | None:
        """The booster's text, or None. Raises SourceError if it cannot be read."""
        if self.booster is None:
            return None
        try:
            if self.booster.stat().st_size > LARGEST:
                raise SourceError(f"{self.booster}: larger than 256 MiB: give a smaller booster")
            found = self.booster.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{self.booster}: cannot be read as a LightGBM text file ({error}): "
                "give a file written by save_model()"
            ) from error
        if not found.startswith("tree\n"):
            raise SourceError(
                f"{self.booster}: not a LightGBM text file: give a file written by save_model()"
            )
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the booster's text, or of the name where nothing is continued."""
        content = self.name if self.text is None else self.text
        return hashlib.sha256(content.encode()).hexdigest()


def open_tabular(name: str = "lightgbm") -> Tabular:
    """Return the learner of a name, or the start that a LightGBM text file is.

    Raises SourceError when it is neither.
    """
    if name == "lightgbm":
        return Tabular()
    path = expanded(name)
    if not path.is_file():
        raise SourceError(
            f"unknown source {name!r} for a table: give lightgbm, or a file that LightGBM's "
            "save_model() wrote"
        )
    found = Tabular(path.name, path)
    _ = found.text  # refused now rather than after the data are read
    return found
