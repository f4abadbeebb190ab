"""Shapley values of boosted trees, read off the trees themselves (Lundberg et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metier.deploy.booster import Booster
from metier.errors import OptionError
from metier.evidence.answers import Array
from metier.evidence.explanations.attribution import TOLERANCE, Attribution
from metier.evidence.explanations.players import Game
from metier.runtime.columns import Numbers
from metier.types import Model


@dataclass(frozen=True)
class Trees:
    """Exact Shapley values of a sum of boosters; what is absent is weighed as the trees saw it in
    training. LightGBM computes them (`pred_contrib`), which is what the library shap calls too."""

    model: Booster
    name: str = "trees"
    drawn: bool = False

    def __call__(self, game: Game, seed: int = 0) -> Attribution:
        preprocess = self.model.preprocess
        assert isinstance(preprocess, Numbers)
        everybody = np.ones((1, 1), dtype=bool)
        cells = {part.column: part.cells(everybody, 0) for part in game.parts}
        numbers = preprocess.matrix(cells)
        shares, base = self._shares(numbers)
        weights = game.target.weights(self.model.outputs)
        owners = [spec.name for spec in preprocess.columns for _ in spec.names]
        by_column = {player.name: 0.0 for player in game.players}
        for owner, share in zip(owners, shares @ weights, strict=True):
            by_column[owner] += float(share)
        output = float(game.target.margin(self.model.sums(numbers))[0])
        values = np.array([by_column[player.name] for player in game.players])
        return Attribution(values, float(base @ weights), output, TOLERANCE)

    def _shares(self, numbers: NDArray[np.float32]) -> tuple[Array, Array]:
        """Return the share of each number in each score (numbers, outputs), and the base."""
        outputs = self.model.outputs
        found = np.zeros((numbers.shape[1], outputs))
        base = np.zeros(outputs) + np.asarray(self.model.offset or 0.0)
        for member in self.model.members:
            raw = np.asarray(member.booster.predict(numbers, pred_contrib=True), dtype=np.float64)
            own = raw.reshape(-1, numbers.shape[1] + 1)
            columns = slice(member.first, member.first + len(own))
            found[:, columns] += member.weight * own[:, :-1].T
            base[columns] += member.weight * own[:, -1]
        return found, base


def trees_of(model: Model | None) -> Trees:
    """Return the method for a model.

    Raises:
        OptionError: when the model is no sum of boosters over the columns of a table.
        MissingExtraError: without LightGBM.
    """
    if not isinstance(model, Booster) or not isinstance(model.preprocess, Numbers):
        form = "untouched source" if model is None else model.form
        raise OptionError(
            f"--method trees: needs the boosters of a run folder, and this is a {form}; give the "
            "run folder of boosted trees, or another method"
        )
    for member in model.members:
        _ = member.booster
    return Trees(model)
