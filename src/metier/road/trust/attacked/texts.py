"""Texts under attack: windows of token ids, whose words are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.curves import Broken, Rows
from metier.road.trust.attacked.inputs import SHOWN, TOGETHER, Way, broken
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Example
from metier.runtime.session import Bundle
from metier.runtime.text import Text
from metier.types import Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel


class Texts:
    """Texts as windows of token ids."""

    gradients = True
    together = TOGETHER
    shown = "Word substitution"

    def __init__(self, bundle: Bundle, preprocess: Text, rows: Rows) -> None:
        self._bundle, self._preprocess, self._all = bundle, preprocess, rows
        self._kept: dict[int, tuple[Example, Example]] = {}

    def read(self, rows: Rows) -> tuple[list[Example], NDArray[np.int64]]:
        examples = self._preprocess.encode(rows.columns).examples
        return [each for each in examples if each is not None], np.arange(len(rows))

    def scores(self, examples: Sequence[Example]) -> Floats:
        found = [
            self._bundle.session.run(["scores"], self._preprocess.collate([each]))[0]
            for each in examples
        ]
        return np.concatenate(found).astype(np.float32)

    def ways(self, net: NetModel | None) -> list[Way]:
        if net is None:
            return []
        from metier.training import neighbours
        from metier.training.attacks import substitution

        examples, _ = self.read(self._all)
        used = np.unique(np.concatenate([window for each in examples for window in each]))
        known = neighbours.neighbours(self._preprocess, _pretrained(net), used)
        for parameter in net.net.parameters():
            parameter.requires_grad_(False)

        def words(examples: list[Example], aim: Aim, seed: int) -> tuple[list[Example], float]:
            return substitution.substitute(net.net, self._preprocess, known, examples, aim), 0.0

        about = (
            f"up to {100 * substitution.SHARE:.0f} % of the words replaced by one of their "
            f"{neighbours.MOST} nearest in the source's own embeddings, cosine "
            f"{neighbours.LEAST} or more"
        )
        return [Way(self.shown, about, "words", "gradients", None, words)]

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        self._kept |= {r: (b, a) for r, b, a in zip(rows.tolist(), given, moved, strict=True)}

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        from metier.training.neighbours import tokenizer_of

        tokenizer, answers, found = tokenizer_of(self._preprocess), decision.answers(scores), []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            texts = [
                " ".join(tokenizer.decode(window.tolist()) for window in each)
                for each in self._kept[row]
            ]
            pair = texts[0], texts[1]
            found.append(broken(rows, row, decision, answers[place], pair, None))
        return tuple(found)


def _pretrained(model: NetModel) -> Any:
    """The source's own network where it can be had, so that no training moves the neighbours."""
    from metier.errors import MissingExtraError, SourceError
    from metier.sources import open_source

    try:
        source: Any = open_source(model.source.name, "text")
        if source.digest == model.source.digest:
            return source.load()
    except (SourceError, MissingExtraError):
        pass
    return model.net.backbone
