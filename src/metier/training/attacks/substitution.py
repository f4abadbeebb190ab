"""An attack on texts: words replaced by neighbours, one after the other, led by the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metier.evidence.robustness.aims import Aim
from metier.runtime.preprocess import Example
from metier.runtime.text import Text
from metier.training.attacks.pgd import losses
from metier.training.attacks.wordswaps import embeddings_watched, gains_of
from metier.training.neighbours import NONE, Neighbours
from metier.training.net import Net

SHARE = 0.2
"""Share of a text's words that may be replaced; one at least."""
TRIED = 6
"""Replacements of each round that are tried out, those with the highest first-order gain."""


@dataclass
class _Text:
    """A text under attack: its windows, which places are replaced, and how many more may be."""

    windows: list[NDArray[np.int64]]
    replaced: set[tuple[int, int]]
    left: int


def substitute(
    net: Net,
    preprocess: Text,
    known: Neighbours,
    examples: Sequence[Example],
    aim: Aim,
    *,
    share: float = SHARE,
    tried: int = TRIED,
) -> list[Example]:
    """Replace words by neighbours until the answer is wrong or the share is used up.

    Each round takes the gradient of the loss by the embeddings, tries the replacements that it
    promises most of (Ebrahimi et al., 2018), and keeps the one that the scores say is the worst. A
    word is replaced once, so that the bound on a word's neighbours is never passed in two steps.

    Args:
        net: the network, which is used as at predict.
        preprocess: how it reads texts.
        known: which word may stand for which.
        examples: the texts, encoded.
        aim: what is wanted of each.
        share: of the words of a text that may be replaced; one at least.
        tried: replacements that are tried out in each round.

    Returns:
        The texts with their replacements, encoded; texts that were wrong already as they are.
    """
    net.eval()
    texts = [_begun(known, example, share) for example in examples]
    scores = _scores(net, preprocess, [tuple(each.windows) for each in texts])
    harm = aim.harm(scores)
    open_ = [int(row) for row in np.flatnonzero(~aim.wrong(scores)) if texts[int(row)].left]
    while open_:
        chosen = _candidates(
            net, preprocess, known, [texts[row] for row in open_], aim, open_, tried
        )
        trials = [
            (row, place, _with(texts[row], place))
            for row, places in zip(open_, chosen, strict=True)
            for place in places
        ]
        if not trials:
            break
        scores = _scores(net, preprocess, [tuple(each) for _, _, each in trials])
        own = aim.take(np.array([row for row, _, _ in trials]))
        now, wrong = own.harm(scores), own.wrong(scores)
        open_ = [row for row in open_ if _kept(row, texts[row], trials, now, wrong, harm)]
    return [tuple(each.windows) for each in texts]


Place = tuple[int, int, int]
"""Window, position, and the token that comes there."""
Trial = tuple[int, Place, list[NDArray[np.int64]]]


def _kept(
    row: int,
    text: _Text,
    trials: Sequence[Trial],
    now: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    harm: NDArray[np.float64],
) -> bool:
    """Keep the worst trial of a text; return whether the text is worth another round."""
    own = [i for i, (other, _, _) in enumerate(trials) if other == row]
    if not own:
        return False
    best = max(own, key=lambda i: (bool(wrong[i]), now[i]))
    if now[best] <= harm[row] and not wrong[best]:
        return False
    _, (window, position, _), windows = trials[best]
    text.windows, harm[row] = windows, now[best]
    text.replaced.add((window, position))
    text.left -= 1
    return not wrong[best] and text.left > 0


def _begun(known: Neighbours, example: Example, share: float) -> _Text:
    words = sum(int(known.words(torch.from_numpy(window)[None]).sum()) for window in example)
    return _Text(list(example), set(), ceil(share * words) if words else 0)


def _with(text: _Text, place: Place) -> list[NDArray[np.int64]]:
    window, position, token = place
    windows = list(text.windows)
    windows[window] = windows[window].copy()
    windows[window][position] = token
    return windows


def _candidates(
    net: Net,
    preprocess: Text,
    known: Neighbours,
    texts: Sequence[_Text],
    aim: Aim,
    rows: Sequence[int],
    tried: int,
) -> list[list[Place]]:
    """The most promising replacements of each text."""
    inputs = _inputs(net, preprocess, [tuple(each.windows) for each in texts])
    targets = torch.as_tensor(aim.take(np.asarray(rows)).truth)
    with torch.enable_grad(), embeddings_watched(net) as seen:
        scores = net(inputs)
        loss = losses(scores, targets.to(scores.device), aim.decision, margin=True).sum()
        (gradient,) = torch.autograd.grad(loss, seen[0])
    ids = inputs["input_ids"]
    gains = gains_of(known, net, ids, seen[0], gradient)
    allowed = (known.ids[ids] != NONE) & known.words(ids).unsqueeze(2)
    gains = torch.where(allowed & (inputs["attention_mask"] > 0).unsqueeze(2), gains, -torch.inf)
    found: list[list[Place]] = []
    window = 0
    for text in texts:
        own = gains[window : window + len(text.windows)].clone()
        for taken in text.replaced:
            own[taken] = -torch.inf
        found.append(_top(own, known, ids[window : window + len(text.windows)], tried))
        window += len(text.windows)
    return found


def _top(gains: Tensor, known: Neighbours, ids: Tensor, tried: int) -> list[Place]:
    """The places with the highest gain, one neighbour after the other."""
    best, flat = gains.flatten().topk(min(tried, gains.numel()))
    _, length, most = gains.shape
    found: list[Place] = []
    for gain, at in zip(best.tolist(), flat.tolist(), strict=True):
        if gain > -np.inf:
            window, position, which = at // (length * most), at // most % length, at % most
            token = int(known.ids[ids[window, position], which])
            found.append((window, position, token))
    return found


def _inputs(net: Net, preprocess: Text, examples: Sequence[Example]) -> dict[str, Tensor]:
    device = net.head.weight.device
    arrays = preprocess.collate(list(examples))
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _scores(net: Net, preprocess: Text, examples: Sequence[Example]) -> NDArray[np.float32]:
    """The scores of texts, a few at a time."""
    found = []
    for start in range(0, len(examples), 64):
        with torch.no_grad():
            scores = net(_inputs(net, preprocess, examples[start : start + 64]))
        found.append(scores.float().cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, net.head.out_features), np.float32)
