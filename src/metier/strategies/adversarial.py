"""Adversarial training: learn from the worst that a small change of the input can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from metier.cache import fingerprint
from metier.errors import ChainError
from metier.evidence.robustness.pixels import Pixels
from metier.registry import find
from metier.runtime.images import Image
from metier.runtime.preprocess import Preprocess
from metier.runtime.text import Text
from metier.space import Choice, Float, Int, tune
from metier.training.around import FormsInnerTakes, as_one_step, has_late_head, without_stopping
from metier.training.attacks.adversaries import (
    Attack,
    EmbeddingSteps,
    FreePixels,
    Hardened,
    PixelSteps,
)
from metier.training.attacks.collapse import Sparing
from metier.training.attacks.retrofit import drawn_together
from metier.training.attacks.wordswaps import WordSwaps
from metier.training.feed import Feed, prefix_digest
from metier.training.neighbours import LEAST, Neighbours, neighbours, tokenizer_of
from metier.training.net import NetModel
from metier.training.objectives import Objective, Supervised
from metier.training.start import preprocess_of
from metier.types import Form, Modality, Problem, Roles, Run, Specialist, Strategy, Table

NAME = "adversarial"
Variant = Literal["auto", "steps", "free", "drawn", "words", "embeddings"]
PICTURES: Mapping[str, Any] = {
    "train": "all",
    "epochs": 24.0,
    "rate": 2e-3,
    "layer_decay": 1.0,
    "dropout": 0.0,
    "augment": "light",
    "views": 6,
}
"""Fine-tuning that learns from attacked pictures: long, since the loss begins far above that of
guessing; the lowest layers as fast as the others, since small changes of pixels get through them;
and from changed views, since what withstands attacks overfits sooner (Rice et al., 2020)."""
WORDS: Mapping[str, Any] = {"train": "top", "blocks": 1.0}
"""Fine-tuning after words were drawn together: all blocks, since none was made for words that stand
where they now do, but not the words themselves, which would part again."""
WORD = "word"
"""The column of a table that holds nothing but words which may take the place of others."""


@dataclass(frozen=True)
class Adversarial:
    """Train so that small changes of the input do not change the answer (Madry et al., 2018).

    The wrapped strategy learns from attacked rows through the objective: pixels moved within a
    radius, words replaced by neighbours, or embeddings moved. It runs all of its epochs: rows to
    stop by would know the clean loss only, which this gives up some of. For words it first draws
    the embeddings of neighbours together, and unless asked for more leaves it at that.

    Args:
        inner: the strategy that learns; fine-tuning when None, of all layers for images, whose
            lowest layers are what small changes of pixels get through, and of all blocks after
            words were drawn together, since the lowest ones see words where they did not before.
        variant: images: "steps" climbs anew for each batch, "free" learns and climbs with the same
            gradients. Texts: "drawn" draws the embeddings of neighbouring words together and
            attacks nothing; "words" then replaces words by neighbours, too, which took three times
            as long and was no better where it was measured; "embeddings" moves what the network
            makes of the words. "auto" is "steps" and "drawn".
        radius: the most that a pixel may move, of a picture from 0 to 1 in the size that the
            network sees; best above what is to be withstood.
        steps: gradient steps of each attack from a random start; one of 1.25 radii is quicker (Wong
            et al., 2020) and can end in a net that withstands nothing but that step. For classes
            the "steps" variant looks for that after each epoch, goes back and doubles the steps. In
            the "free" variant these are the replays of a batch, 2 at least.
        step: length of a step as a share of the radius.
        grow: share of the training over which a radius grows from nothing to its whole (Cai et
            al., 2018).
        weight: share of the attacked rows in the loss; the others are clean.
        agreement: weight of the distance between the answers to a row and to its attacked twin
            (Zhang et al., 2019), for classes.
        share: of the words of a text that may be replaced.
        near: the cosine of two embeddings from which their words count as neighbours.
        pull: how far the embeddings of neighbouring words are drawn together before the network
            learns, as the weight of a word's neighbours against its own place; for "drawn" and
            "words". They meet near those that the rows hold most often, also words that no row
            holds.
        shift: how far embeddings may move, as a share of their length.
    """

    inner: Strategy | None = None
    variant: Variant = "auto"
    radius: float = tune(7 / 255, Float(1 / 255, 8 / 255))
    steps: int = tune(2, Int(1, 7))
    step: float = tune(0.75, Float(0.2, 1.25))
    grow: float = tune(0.5, Choice((0.0, 0.25, 0.5)))
    weight: float = tune(1.0, Float(0.3, 1.0))
    agreement: float = tune(0.0, Choice((0.0, 1.0, 3.0)))
    share: float = tune(0.3, Float(0.1, 0.5))
    near: float = LEAST
    pull: float = tune(100.0, Choice((2.0, 10.0, 100.0)))
    shift: float = tune(0.3, Float(0.05, 1.0))
    accepts = FormsInnerTakes("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        preprocess = _reading(start, problem)
        variant = self._variant(preprocess)
        inner = self._inner(start.source.modality, variant)
        begun, known = start, None
        if variant in ("drawn", "words"):
            known = self._neighbours(start, preprocess, run)
        if known is not None and self.pull:
            rows = Feed(_backbone(start), preprocess, problem.train, run.cache)
            begun = drawn_together(start, known, self.pull, rows.counts())
        if variant == "steps":
            run = self._stepping(problem, run, preprocess)
        elif variant != "drawn":
            run = run.with_objective(self._wrapping(start, problem, run, preprocess, known))
        if variant == "free":
            # Its movement is no part of a checkpoint: a fit that was cut off begins anew.
            run = run.in_folder(None)
        made = inner(begun, problem, run)
        if isinstance(made.model, NetModel) and begun is not start:
            # Not all below is the source's own any more.
            model = replace(made.model, source=start.source, untouched=0)
            made = replace(made, source=start.source, model=model)
        own = replace(self, inner=inner)
        return as_one_step(NAME, own, start, made, time.monotonic() - began, {})

    def _inner(self, modality: Modality, variant: Variant) -> Strategy:
        """What learns; without rows to stop by where it learns from attacked ones."""
        inner = self.inner
        if inner is None:
            usual = PICTURES if modality == "image" else WORDS if variant == "drawn" else {}
            inner = find("strategies", "finetune")(**usual)
        if inner.gives != "net" or "source" not in inner.accepts:
            name = type(inner).__name__.lower()
            raise ChainError(f"adversarial wraps what trains a network on the task, not {name}")
        return inner if variant == "drawn" else without_stopping(inner)

    def _variant(self, preprocess: Preprocess) -> Variant:
        """What is done to these inputs. Raises ChainError for what does not fit them."""
        fitting: tuple[Variant, ...] = ()
        if isinstance(preprocess, Image):
            fitting = ("steps", "free")
        elif isinstance(preprocess, Text):
            fitting = ("drawn", "words", "embeddings")
        if not fitting:
            raise ChainError("adversarial works on a network that reads texts or images alone")
        if self.variant == "auto":
            return fitting[0]
        if self.variant == "words" and has_late_head(self.inner):
            raise ChainError(
                "adversarial: the variant 'words' needs batches that are read at once, and what it "
                "wraps reads them in pieces; take 'drawn' or 'embeddings'"
            )
        if self.variant not in fitting:
            raise ChainError(
                f"adversarial: the variant {self.variant!r} does not fit these inputs; "
                f"take {' or '.join(fitting)}"
            )
        return self.variant

    def _neighbours(self, start: Specialist, preprocess: Preprocess, run: Run) -> Neighbours:
        """Which words of the whole vocabulary stand near each other, found once a source."""
        assert isinstance(preprocess, Text)
        backbone = _backbone(start)
        kept = run.cache.memory.setdefault(NAME, {})
        key = int(fingerprint(prefix_digest(backbone, 1), preprocess.spec(), self.near)[:15], 16)
        if key not in kept:
            everything = np.arange(tokenizer_of(preprocess).get_vocab_size())
            kept[key] = neighbours(preprocess, backbone, everything, least=self.near)
        found: Neighbours = kept[key]
        return found

    def _wrapping(
        self,
        start: Specialist,
        problem: Problem,
        run: Run,
        preprocess: Preprocess,
        known: Neighbours | None,
    ) -> Callable[[Objective], Objective]:
        """What goes around the objective of the strategy that learns."""
        if isinstance(preprocess, Image):
            pixels, replays = Pixels.of(preprocess), max(2, self.steps)
            return lambda inner: FreePixels(inner, pixels, self.radius, replays, self.grow)
        if known is None:
            return self._hardening(
                problem, EmbeddingSteps(self.shift, self.steps, self.step, self.grow)
            )
        return self._hardening(problem, self._swaps(known, start, problem, run, preprocess))

    def _stepping(self, problem: Problem, run: Run, preprocess: Preprocess) -> Run:
        """The run that climbs pixels anew for each batch and, of classes, checks what it learns."""
        assert isinstance(preprocess, Image)
        steps = PixelSteps(Pixels.of(preprocess), self.radius, self.steps, self.step, self.grow)
        if not _of_classes(problem):
            return run.with_objective(self._hardening(problem, steps))
        sparing = Sparing(steps, Supervised(problem.task))
        return run.with_objective(self._hardening(problem, sparing)).with_guard(sparing)

    def _hardening(self, problem: Problem, attack: Attack) -> Callable[[Objective], Objective]:
        answers = _of_classes(problem) and not has_late_head(self.inner)
        agreement = self.agreement if answers else 0.0
        return lambda inner: Hardened(inner, attack, self.weight, agreement)

    def _swaps(
        self,
        known: Neighbours,
        start: Specialist,
        problem: Problem,
        run: Run,
        preprocess: Preprocess,
    ) -> WordSwaps:
        assert isinstance(preprocess, Text)
        backbone = _backbone(start)
        known = known.among(Feed(backbone, preprocess, problem.train, run.cache).tokens())
        words = pl.DataFrame({WORD: ["", *known.texts(preprocess)]})
        alone = replace(preprocess, columns=(WORD,))
        feed = Feed(backbone, alone, Table(words, Roles({WORD: "text"})), run.cache)
        return WordSwaps(known, self.share, feeds=(feed,))


def _of_classes(problem: Problem) -> bool:
    return problem.task.kind in ("binary", "multiclass")


def _reading(start: Specialist, problem: Problem) -> Preprocess:
    """How the network that learns reads the rows."""
    if isinstance(start.model, NetModel):
        return start.model.preprocess
    return preprocess_of(start.source, problem.train)


def _backbone(start: Specialist) -> Any:
    source: Any = start.source
    return start.model.net.backbone if isinstance(start.model, NetModel) else source.load()
