"""What a glass box says of itself: the share of a column is what its curves add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metier.deploy.additive import Additive
from metier.evidence.explanations.attribution import TOLERANCE, Attribution
from metier.evidence.explanations.players import Game


@dataclass(frozen=True)
class Terms:
    """The terms of a sum of curves, column by column; a pair is halved between its two.

    Nobody being there means the offset alone, since curves are centred on the training rows.
    """

    model: Additive
    name: str = "terms"
    drawn: bool = False

    def __call__(self, game: Game, seed: int = 0) -> Attribution:
        preprocess = self.model.preprocess
        everybody = np.ones((1, 1), dtype=bool)
        cells = {part.column: part.cells(everybody, 0) for part in game.parts}
        weights = game.target.weights(self.model.outputs)
        added = self.model.contributions(preprocess.matrix(cells))[0] @ weights
        owners = [spec.name for spec in preprocess.columns for _ in spec.names]
        by_column = {player.name: 0.0 for player in game.players}
        for term, value in zip(self.model.terms, added, strict=True):
            for feature in term.features:
                by_column[owners[feature]] += float(value) / len(term.features)
        base = float(np.asarray(self.model.offset) @ weights)
        values = np.array([by_column[player.name] for player in game.players])
        return Attribution(values, base, base + float(added.sum()), TOLERANCE)
