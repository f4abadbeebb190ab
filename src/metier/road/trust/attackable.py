"""Inputs as attacks take them: pictures as pixels, texts as tokens, tables as columns.

Each knows how the bundle scores what was changed, and which attacks there are on it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from metier.evidence.robustness import blackbox
from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.curves import Broken, Rows
from metier.evidence.robustness.pixels import Pixels
from metier.runtime.images import Image
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Example
from metier.runtime.session import Bundle
from metier.runtime.text import Text
from metier.types import Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel

RADIUS = 4
"""The radius at which attacks on pictures are compared, in 255ths of a pixel's range."""
RADII = (1, 2, 4, 8)
STEPS, RESTARTS = 20, 2
TOGETHER = 8
"""Pictures, or texts, that are attacked at once: few, since the clock is looked at between."""
MANY = 200
"""Rows of a table that are attacked at once."""
SHOWN = 6
"""Broken inputs that are kept to be shown."""
REACHES = (0.1, 0.25, 0.5)
"""How far columns are moved, in their standard deviations."""


@dataclass(frozen=True)
class Way:
    """One attack as it is told, and what it does to a batch of prepared inputs."""

    name: str
    about: str
    family: str
    sees: str
    radius: float | None
    craft: Callable[[Any, Aim, int], tuple[Any, float]]


class Attackable(Protocol):
    """Inputs of one kind. A batch is whatever `read` makes of rows; crafted ones are the same."""

    gradients: bool
    """Whether an attack can follow the gradients of a net."""
    together: int
    """Rows that are attacked at once."""
    shown: str
    """The attack whose broken inputs are shown."""

    def read(self, rows: Rows) -> tuple[Any, NDArray[np.int64]]:
        """Return a batch of the rows that could be read, and which these are."""
        ...

    def scores(self, batch: Any, /) -> Floats:
        """Return the bundle's scores of a batch."""
        ...

    def ways(self, net: NetModel | None) -> list[Way]:
        """Return the attacks; without a net those that see scores alone."""
        ...

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        """Remember what one attack did to a batch, if it is the one to be shown."""
        ...

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        """Return a few inputs that fell, before and after."""
        ...


class Pictures:
    """Pictures as pixels from 0 to 1 in the size that the network sees."""

    gradients = True
    together = TOGETHER
    shown = f"PGD {RADIUS}/255"

    def __init__(self, bundle: Bundle, preprocess: Image) -> None:
        self._bundle, self._preprocess = bundle, preprocess
        self._pixels = Pixels.of(preprocess)
        self._kept: dict[int, tuple[Floats, Floats]] = {}

    def read(self, rows: Rows) -> tuple[Floats, NDArray[np.int64]]:
        found, readable = [], []
        for place, cell in enumerate(rows.columns[self._preprocess.column]):
            try:
                found.append(self._pixels.read(self._preprocess, [cell]))
                readable.append(place)
            except (ValueError, TypeError):
                continue
        size = (0, 3, *self._preprocess.size)
        pixels = np.concatenate(found) if found else np.zeros(size, np.float32)
        return pixels, np.asarray(readable, dtype=np.int64)

    def scores(self, pixels: Floats) -> Floats:
        found = [
            self._bundle.session.run(
                ["scores"], {"pixel_values": self._pixels.inputs(pixels[i : i + TOGETHER])}
            )[0]
            for i in range(0, len(pixels), TOGETHER)
        ]
        return np.concatenate(found).astype(np.float32)

    def ways(self, net: NetModel | None) -> list[Way]:
        radius = RADIUS / 255

        def squares(pixels: Floats, aim: Aim, seed: int) -> tuple[Floats, float]:
            return blackbox.square(self.scores, pixels, aim, radius, seed=seed), 0.0

        about = f"{blackbox.QUERIES} looks at the scores, squares of pixels moved by {RADIUS}/255"
        blind = Way(f"Square {RADIUS}/255", about, "square", "scores", radius, squares)
        return [*self._by_gradient(net), blind] if net is not None else [blind]

    def _by_gradient(self, model: NetModel) -> list[Way]:
        import torch

        from metier.training.attacks.pgd import Budget, answering, fgsm, in_numpy, pgd

        net = model.net.eval()
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        answer = answering(net, self._pixels)

        def once(pixels: Floats, aim: Aim, seed: int) -> tuple[Floats, float]:
            moved = fgsm(answer, torch.from_numpy(pixels), aim, RADIUS / 255)
            return in_numpy(moved.pixels), moved.flat

        def within(radius: float) -> Callable[[Floats, Aim, int], tuple[Floats, float]]:
            budget = Budget(radius, STEPS, restarts=RESTARTS)

            def many(pixels: Floats, aim: Aim, seed: int) -> tuple[Floats, float]:
                moved = pgd(answer, torch.from_numpy(pixels), aim, budget, seed)
                return in_numpy(moved.pixels), moved.flat

            return many

        told = f"one step of the gradient, every pixel moved by {RADIUS}/255"
        found = [Way(f"FGSM {RADIUS}/255", told, "fgsm", "gradients", RADIUS / 255, once)]
        for radius in RADII:
            about = f"{STEPS} steps of the gradient from {RESTARTS} starts, within {radius}/255"
            own = within(radius / 255)
            found.append(Way(f"PGD {radius}/255", about, "pgd", "gradients", radius / 255, own))
        return found

    def keep(self, way: Way, rows: NDArray[np.int64], given: Floats, moved: Floats) -> None:
        if way.name == self.shown:
            pairs = zip(rows.tolist(), given, moved, strict=True)
            self._kept |= {row: (before, after) for row, before, after in pairs}

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        answers = decision.answers(scores)
        found = []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            before, after = (self._png(each) for each in self._kept[row])
            found.append(_broken(rows, row, decision, answers[place], ("", ""), (before, after)))
        return tuple(found)

    def _png(self, pixels: Floats) -> bytes:
        order = [2, 1, 0] if self._preprocess.channels == "bgr" else [0, 1, 2]
        seen = np.rint(255 * pixels[order].transpose(1, 2, 0)).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(seen).save(file, "PNG")
        return file.getvalue()


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
            found.append(_broken(rows, row, decision, answers[place], pair, None))
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


class Columns:
    """Tables as columns of cells."""

    gradients = False
    together = MANY

    def __init__(self, bundle: Bundle, rows: Rows, categories: tuple[str, ...]) -> None:
        self._bundle, self._categories = bundle, categories
        self._all = rows
        self._kept: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.shown = _reached(REACHES[0])

    def read(self, rows: Rows) -> tuple[dict[str, Sequence[Any]], NDArray[np.int64]]:
        return dict(rows.columns), np.arange(len(rows))

    def scores(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        return self._bundle.scores(columns)

    def ways(self, net: NetModel | None) -> list[Way]:
        numbers = [name for name, kind in self._all.kinds.items() if kind == "number"]
        if not numbers and not self._categories:
            return []
        return [self._way(share, numbers) for share in REACHES]

    def _way(self, share: float, numbers: Sequence[str]) -> Way:
        allowed = blackbox.reach(self._all.columns, numbers, share, self._categories)

        def nudged(columns: Mapping[str, Any], aim: Aim, seed: int) -> tuple[Any, float]:
            return blackbox.nudge(self.scores, columns, aim, allowed, seed=seed), 0.0

        fixed = "categories as they are"
        if self._categories:
            fixed = f"{', '.join(self._categories)} free to change"
        about = f"each number moved by at most {share:g} of its standard deviation, {fixed}"
        return Way(_reached(share), about, "columns", "scores", share, nudged)

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        if way.name == self.shown:
            for place, row in enumerate(rows.tolist()):
                pair = [{n: cells[place] for n, cells in each.items()} for each in (given, moved)]
                self._kept[row] = pair[0], pair[1]

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        answers, found = decision.answers(scores), []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            before, after = self._kept[row]
            changed = [name for name in before if before[name] != after[name]]
            pair = (
                ", ".join(f"{n} {before[n]}" for n in changed),
                ", ".join(f"{n} {after[n]}" for n in changed),
            )
            found.append(_broken(rows, row, decision, answers[place], pair, None))
        return tuple(found)


def _reached(share: float) -> str:
    return f"Columns moved by {share:g} sd"


def _broken(
    rows: Rows,
    row: int,
    decision: Decision,
    answered: Any,
    texts: tuple[str, str],
    pictures: tuple[bytes, bytes] | None,
) -> Broken:
    truth = rows.truth[row]
    named = str(truth)
    if decision.kind in ("binary", "multiclass"):
        named = decision.labels[int(truth)]
    elif decision.kind == "multilabel":
        named = ", ".join(decision.labels[j] for j in np.flatnonzero(truth))
    told = ", ".join(answered) if isinstance(answered, list) else str(answered)
    return Broken(int(rows.numbers[row]), named, *texts, told, pictures)
