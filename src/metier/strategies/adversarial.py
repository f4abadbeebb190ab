"""Adversarial training: learn from the worst that a small change of the input can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal

import polars as pl

from metier.errors import ChainError
from metier.evidence.pixels import Pixels
from metier.registry import find
from metier.runtime.images import Image
from metier.runtime.preprocess import Preprocess
from metier.runtime.text import Text
from metier.space import Choice, Float, Int, tune
from metier.training.adversaries import Attack, EmbeddingSteps, FreePixels, Hardened, PixelSteps
from metier.training.around import learned_within
from metier.training.feed import Feed
from metier.training.neighbours import LEAST, neighbours
from metier.training.net import NetModel
from metier.training.objectives import Objective
from metier.training.start import preprocess_of
from metier.training.wordswaps import WordSwaps
from metier.types import Form, Modality, Problem, Roles, Run, Specialist, Strategy, Table

NAME = "adversarial"
Variant = Literal["auto", "steps", "free", "words", "embeddings"]
PICTURES: Mapping[str, Any] = {"train": "all", "epochs": 20.0, "rate": 1e-3}
"""Fine-tuning that learns from attacked pictures, which takes long: the loss begins far above that
of guessing."""
WORD = "word"
"""The column of a table that holds nothing but words which may take the place of others."""


@dataclass(frozen=True)
class Adversarial:
    """Train so that small changes of the input do not change the answer (Madry et al., 2018).

    The wrapped strategy learns from attacked rows through the objective: pixels moved within a
    radius, words replaced by neighbours, or embeddings moved. It runs all of its epochs: rows to
    stop by would know the clean loss only, which this gives up some of.

    Args:
        inner: the strategy that learns; fine-tuning when None, of all layers for images, whose
            lowest layers are what small changes of pixels get through.
        variant: images: "steps" climbs anew for each batch, "free" learns and climbs with the same
            gradients. Texts: "words" replaces words by neighbours, "embeddings" moves what the
            network makes of them. "auto" is "steps" and "words".
        radius: the most that a pixel may move, of a picture from 0 to 1 in the size that the
            network sees.
        steps: gradient steps of each attack; the replays of a batch in the "free" variant.
        step: length of a step as a share of the radius.
        weight: share of the attacked rows in the loss; the others are clean.
        agreement: weight of the distance between the answers to a row and to its attacked twin
            (Zhang et al., 2019), for classes.
        share: of the words of a text that may be replaced.
        near: the cosine of two embeddings from which their words count as neighbours.
        shift: how far embeddings may move, as a share of their length.
    """

    inner: Strategy | None = None
    variant: Variant = "auto"
    radius: float = tune(4 / 255, Float(1 / 255, 8 / 255))
    steps: int = tune(2, Int(1, 7))
    step: float = tune(0.75, Float(0.2, 1.25))
    weight: float = tune(1.0, Float(0.3, 1.0))
    agreement: float = tune(0.0, Choice((0.0, 1.0, 3.0)))
    share: float = tune(0.3, Float(0.1, 0.5))
    near: float = LEAST
    shift: float = tune(0.3, Float(0.05, 1.0))
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        patient = replace(self, inner=self._inner(start.source.modality))
        preprocess = _reading(start, problem)
        wrap = self._wrapping(start, problem, run, preprocess)
        if self._variant(preprocess) == "free":
            # Its movement is no part of a checkpoint: a fit that was cut off begins anew.
            run = run.in_folder(None)
        return learned_within(NAME, patient, start, problem, run.with_objective(wrap), {})

    def _inner(self, modality: Modality) -> Strategy:
        """What learns, without rows to stop by."""
        inner = self.inner
        if inner is None:
            inner = find("strategies", "finetune")(**(PICTURES if modality == "image" else {}))
        if inner.gives != "net" or "source" not in inner.accepts:
            name = type(inner).__name__.lower()
            raise ChainError(f"adversarial wraps what trains a network on the task, not {name}")
        made: Any = inner
        own = {each.name for each in fields(made)} if is_dataclass(inner) else set()
        patient: Strategy = replace(made, patience=0) if "patience" in own else inner
        return patient

    def _variant(self, preprocess: Preprocess) -> Variant:
        """What is done to these inputs. Raises ChainError for what does not fit them."""
        fitting: tuple[Variant, ...] = ()
        if isinstance(preprocess, Image):
            fitting = ("steps", "free")
        elif isinstance(preprocess, Text):
            fitting = ("words", "embeddings")
        if not fitting:
            raise ChainError("adversarial works on a network that reads texts or images alone")
        if self.variant == "auto":
            return fitting[0]
        if self.variant not in fitting:
            raise ChainError(
                f"adversarial: the variant {self.variant!r} does not fit these inputs; "
                f"take {' or '.join(fitting)}"
            )
        return self.variant

    def _wrapping(
        self, start: Specialist, problem: Problem, run: Run, preprocess: Preprocess
    ) -> Callable[[Objective], Objective]:
        """What goes around the objective of the strategy that learns."""
        variant = self._variant(preprocess)
        if variant == "free":
            assert isinstance(preprocess, Image)
            pixels = Pixels.of(preprocess)
            return lambda inner: FreePixels(inner, pixels, self.radius, self.steps)
        attack = self._attack(variant, start, problem, run, preprocess)
        agreement = self.agreement if problem.task.kind in ("binary", "multiclass") else 0.0
        return lambda inner: Hardened(inner, attack, self.weight, agreement)

    def _attack(
        self,
        variant: Variant,
        start: Specialist,
        problem: Problem,
        run: Run,
        preprocess: Preprocess,
    ) -> Attack:
        if isinstance(preprocess, Image):
            return PixelSteps(Pixels.of(preprocess), self.radius, self.steps, self.step)
        if variant == "embeddings":
            return EmbeddingSteps(self.shift, self.steps, self.step)
        assert isinstance(preprocess, Text)
        backbone = _backbone(start)
        used = Feed(backbone, preprocess, problem.train, run.cache).tokens()
        known = neighbours(preprocess, backbone, used, least=self.near)
        words = pl.DataFrame({WORD: ["", *known.texts(preprocess)]})
        alone = replace(preprocess, columns=(WORD,))
        feed = Feed(backbone, alone, Table(words, Roles({WORD: "text"})), run.cache)
        return WordSwaps(known, self.share, feeds=(feed,))


def _reading(start: Specialist, problem: Problem) -> Preprocess:
    """How the network that learns reads the rows."""
    if isinstance(start.model, NetModel):
        return start.model.preprocess
    return preprocess_of(start.source, problem.train)


def _backbone(start: Specialist) -> Any:
    source: Any = start.source
    return start.model.net.backbone if isinstance(start.model, NetModel) else source.load()
