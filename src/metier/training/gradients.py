"""Integrated gradients of a net: how its answer builds up between nothing and the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from metier.errors import MissingExtraError, OptionError
from metier.evidence.answers import Array
from metier.evidence.explanations.attribution import Attribution
from metier.evidence.explanations.players import Game, Picture, Target
from metier.evidence.explanations.players import Text as Words
from metier.evidence.explanations.regions import blur
from metier.runtime.images import Image
from metier.runtime.preprocess import joined_texts
from metier.runtime.text import Text
from metier.training.net import NetModel
from metier.types import Model

STEPS = 48
"""Points on the way from nothing to the row."""
TOLERANCE = 0.05
"""How far the shares may miss their sum: the integral is a sum over few points."""
MASKS = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class Gradients:
    """Integrate the gradient on the straight way from nothing to the row (Sundararajan et al.,
    2017, "Axiomatic attribution for deep networks"; the library `captum`).

    Nothing is a text whose words are all the tokenizer's mask, at the boundary after the
    embeddings, or a picture out of focus.
    """

    model: NetModel
    steps: int = STEPS
    name: str = "gradients"
    drawn: bool = False

    def __call__(self, game: Game, seed: int = 0) -> Attribution:
        preprocess = self.model.preprocess
        if isinstance(preprocess, Image):
            return self._of_picture(game, preprocess)
        assert isinstance(preprocess, Text)
        return self._of_text(game, preprocess)

    def _of_text(self, game: Game, preprocess: Text) -> Attribution:
        parts = {part.column: part for part in game.parts if isinstance(part, Words)}
        cells = {name: [parts[name].text] for name in preprocess.columns}
        tokens = _Tokens.of(preprocess, cells)
        net = self.model.net.eval()
        with torch.no_grad():
            here, nothing = (
                net.backbone.activations(inputs, 1) for inputs in (tokens.inputs, tokens.nothing)
            )

        def margin(hidden: Tensor) -> Tensor:
            count = len(hidden)
            scores = net(_repeated(tokens.inputs, count), hidden.flatten(0, 1), 1)
            return _margin(scores, game.target)

        shares, base, output = self._integrate(margin, here[None], nothing[None])
        by_token = tokens.gathered(shares[0].sum(-1).numpy())
        starts = _starts(preprocess.columns, cells)
        values = [
            float(by_token[tokens.within(starts[player.column], player.span)].sum())
            for player in game.players
        ]
        return Attribution(np.array(values), base, output, TOLERANCE)

    def _of_picture(self, game: Game, preprocess: Image) -> Attribution:
        picture = next(part for part in game.parts if isinstance(part, Picture))
        both = np.stack([picture.pixels, blur(picture.pixels)])
        here, nothing = torch.from_numpy(preprocess.normalise(both)).split(1)
        net = self.model.net.eval()

        def margin(pixels: Tensor) -> Tensor:
            return _margin(net({"pixel_values": pixels}), game.target)

        shares, base, output = self._integrate(margin, here, nothing)
        by_pixel = shares[0].sum(0).numpy().astype(np.float64)
        values: Array = np.bincount(picture.regions.ravel(), by_pixel.ravel()).astype(np.float64)
        return Attribution(values, base, output, TOLERANCE, by_pixel)

    def _integrate(self, margin: Any, here: Tensor, nothing: Tensor) -> tuple[Tensor, float, float]:
        """Return the shares, shaped like `here`, and the margin of nothing and of the row."""
        gradients = _captum()(margin)
        with torch.enable_grad():
            shares = gradients.attribute(
                here, baselines=nothing, n_steps=self.steps, internal_batch_size=8
            )
        with torch.no_grad():
            base, output = (float(margin(each)[0]) for each in (nothing, here))
        return cast("Tensor", shares.detach()), base, output


def gradients_of(model: Model | None) -> Gradients:
    """Return the method for a model.

    Raises:
        OptionError: when the model is no net, or one that cannot be entered after its embeddings.
        MissingExtraError: without captum.
    """
    if not isinstance(model, NetModel):
        form = "untouched source" if model is None else model.form
        raise OptionError(
            f"--method gradients: needs the weights of a network, and this is a {form}; give the "
            "run folder of a network, or another method"
        )
    if isinstance(model.preprocess, Text) and model.net.backbone.depth < 3:
        raise OptionError(
            "--method gradients: this network cannot be entered after its embeddings; use "
            "--method shap"
        )
    _captum()
    return Gradients(model)


def _captum() -> Any:
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise MissingExtraError("captum", "explain", "--method gradients") from error
    return IntegratedGradients


def _margin(scores: Tensor, target: Target) -> Tensor:
    weights = torch.as_tensor(target.weights(scores.shape[1]), dtype=scores.dtype)
    return scores @ weights


def _repeated(inputs: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """The inputs of one text, `count` times; `assign` says which windows belong together."""
    found = {k: v.repeat(count, 1) for k, v in inputs.items() if k != "assign"}
    if "assign" in inputs:
        found["assign"] = torch.block_diag(*[inputs["assign"]] * count)
    return found


def _starts(columns: Sequence[str], cells: dict[str, list[str]]) -> dict[str, int]:
    """Where each column begins in the text that they are joined to."""
    return {
        name: len(joined_texts(cells, columns[: i + 1])[0]) - len(cells[name][0])
        for i, name in enumerate(columns)
    }


@dataclass(frozen=True)
class _Tokens:
    """One text as a net reads it, with the place of each token in the text.

    Args:
        inputs: of the net.
        nothing: the same with every token of the text masked.
        place: the number of the token at each position of each window; -1 beside the text.
        begins: where in the text what each token says begins, (tokens,).
    """

    inputs: dict[str, Tensor]
    nothing: dict[str, Tensor]
    place: NDArray[np.int64]
    begins: NDArray[np.int64]

    @classmethod
    def of(cls, preprocess: Text, cells: dict[str, list[str]]) -> _Tokens:
        tokenizer: Any = Tokenizer.from_buffer(preprocess.tokenizer)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        text = joined_texts(cells, preprocess.columns)[0]
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        begins = _past_blanks(text, [start for start, _ in offsets])
        example = preprocess.encode(cells).examples[0]
        assert example is not None
        arrays = preprocess.collate([example])
        head, tail = len(preprocess.frame.head), len(preprocess.frame.tail)
        place = np.full(arrays["input_ids"].shape, -1)
        for i, window in enumerate(example):
            first = i * (preprocess.room - preprocess.overlap)
            body = max(0, len(window) - head - tail) if len(begins) else 0
            place[i, head : head + body] = first + np.arange(body)
        known = [tokenizer.token_to_id(name) for name in MASKS]
        mask = next((each for each in known if each is not None), preprocess.pad_id)
        masked = {**arrays, "input_ids": np.where(place >= 0, mask, arrays["input_ids"])}
        inputs, nothing = (
            {name: torch.from_numpy(array) for name, array in each.items()}
            for each in (arrays, masked)
        )
        return cls(inputs, nothing, place, begins)

    def gathered(self, shares: Array) -> Array:
        """Return the share of each token from those of the positions (windows, length)."""
        inside = self.place >= 0
        return np.bincount(
            self.place[inside], weights=shares[inside], minlength=len(self.begins)
        ).astype(np.float64)

    def within(self, first: int, span: tuple[int, int] | None) -> NDArray[np.bool_]:
        """Return which tokens begin in a word of a column that begins at `first`."""
        start, stop = span or (0, 0)
        begins = self.begins - first
        return np.asarray((begins >= start) & (begins < stop))


def _past_blanks(text: str, starts: Sequence[int]) -> NDArray[np.int64]:
    """The place of the first letter from each start on: to many tokenizers the blank before a word
    is the beginning of the word."""
    letters = [place for place, letter in enumerate(text) if not letter.isspace()]
    places = np.array([*letters, len(text)], dtype=np.int64)
    return np.asarray(places[np.searchsorted(places, np.array(starts, dtype=np.int64))])
