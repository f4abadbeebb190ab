"""A model made of LightGBM boosters: their weighted sum, in the unit of the target."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx

from metier.cache import Cache
from metier.deploy.arrays import matrix
from metier.deploy.boostertext import damaged
from metier.deploy.trees import Forest, Part, read_forest, trees_graph
from metier.errors import MissingExtraError
from metier.runtime.preprocess import Preprocess
from metier.types import Floats, Form, Table

if TYPE_CHECKING:
    import lightgbm

MANY_ROWS = 20_000
"""From this many rows on, several threads pay."""


@dataclass(frozen=True)
class Member:
    """One booster of a sum: its LightGBM text, its weight, and the first output it adds to."""

    text: str
    weight: float = 1.0
    first: int = 0

    @cached_property
    def forest(self) -> Forest:
        return read_forest(self.text)

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The booster, loaded.

        LightGBM trusts a text blindly: one that comes from a file is read as `forest` first.

        Raises:
            MissingExtraError: without LightGBM.
            SourceError: when LightGBM refuses the text.
        """
        try:
            import lightgbm
        except ImportError as error:
            raise MissingExtraError("lightgbm", "tables", "predicting with a booster") from error
        try:
            return lightgbm.Booster(model_str=self.text)
        except lightgbm.basic.LightGBMError as error:
            raise damaged(str(error)) from None


@dataclass(frozen=True)
class Booster:
    """A weighted sum of boosters over the numbers of a table.

    Args:
        preprocess: from columns to `numbers` float32 (n, features).
        members: the boosters; one that writes several outputs writes them side by side.
        outputs: columns of the scores. A binary booster adds to column 1, so that column 0 stays 0.
        offset: (outputs,) added to the sum.
    """

    preprocess: Preprocess
    members: tuple[Member, ...]
    outputs: int
    offset: tuple[float, ...] = ()
    form: ClassVar[Form] = "booster"

    @property
    def parameters(self) -> int:
        """Splits and leaves together."""
        return sum(member.forest.size for member in self.members)

    def scores(self, table: Table, cache: Cache | None = None) -> Floats:
        """Scores (n, outputs); a row that cannot be read counts as all missing."""
        if len(table) == 0:
            return np.zeros((0, self.outputs), dtype=np.float32)
        return self.sums(matrix(self.preprocess, table))

    def sums(self, numbers: Floats) -> Floats:
        """Scores (n, outputs) of encoded rows (n, features)."""
        found = np.zeros((len(numbers), self.outputs), dtype=np.float64)
        found += np.asarray(self.offset or 0.0)
        threads = 1 if len(numbers) < MANY_ROWS else 0  # 0: as many as OpenMP likes
        for member in self.members:
            raw = member.booster.predict(numbers, raw_score=True, num_threads=threads)
            values = np.asarray(raw, dtype=np.float64).reshape(len(numbers), -1)
            found[:, member.first : member.first + values.shape[1]] += member.weight * values
        return found.astype(np.float32)

    def graph(self) -> onnx.ModelProto:
        """The boosters as one tree ensemble."""
        parts = [Part(m.forest, m.weight, m.first) for m in self.members]
        features = max(m.forest.features for m in self.members)
        return trees_graph(parts, features, self.outputs, self.offset)

    def save(self, folder: Path) -> None:
        """Write each booster as LightGBM text, and `boosters.json`, which says how they add up."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"booster-{i}.txt" for i in range(len(self.members))]
        for name, member in zip(names, self.members, strict=True):
            (folder / name).write_text(member.text, encoding="utf-8")
        about = {
            "preprocess": self.preprocess.spec(),
            "outputs": self.outputs,
            "offset": list(self.offset),
            "members": [
                {"file": name, "weight": member.weight, "first": member.first}
                for name, member in zip(names, self.members, strict=True)
            ],
        }
        text = json.dumps(about, ensure_ascii=False, indent=1)
        (folder / "boosters.json").write_text(text, encoding="utf-8")
