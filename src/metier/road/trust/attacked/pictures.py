"""Pictures under attack: pixels from 0 to 1 in the size that the network sees."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from metier.evidence.robustness import blackbox
from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.curves import Broken, Rows
from metier.evidence.robustness.pixels import Pixels
from metier.road.trust.attacked.inputs import SHOWN, TOGETHER, Way, broken
from metier.runtime.images import Image
from metier.runtime.postprocess import Decision
from metier.runtime.session import Bundle
from metier.types import Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel

RADIUS = 4
"""The radius at which attacks on pictures are compared, in 255ths of a pixel's range."""
RADII = (1, 2, 4, 8)
STEPS, RESTARTS = 20, 2


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
            found.append(broken(rows, row, decision, answers[place], ("", ""), (before, after)))
        return tuple(found)

    def _png(self, pixels: Floats) -> bytes:
        order = [2, 1, 0] if self._preprocess.channels == "bgr" else [0, 1, 2]
        seen = np.rint(255 * pixels[order].transpose(1, 2, 0)).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(seen).save(file, "PNG")
        return file.getvalue()
