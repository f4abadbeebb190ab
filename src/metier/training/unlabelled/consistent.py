"""Answers to unlabelled rows that stay the same when the rows are changed a little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from metier.runtime.postprocess import TaskKind
from metier.training.attacks.pgd import as_at_predict
from metier.training.beside import Beside, Both
from metier.training.net import Net
from metier.training.norms import batch_norms
from metier.training.objectives import Batch, Objective

View = Callable[[Batch], Batch]
"""A changed copy of a batch, entered where the batch is."""
SPREADS = 2.0
"""Within how many standard deviations of the mean confidence a row still counts for something."""
SHIFTED = 0.1
"""How far a picture moves at most, as a share of its side."""


def consistent(view: View, kind: TaskKind, weight: float = 1.0) -> Both:
    """Return a loss on labelled rows, and one of answering a changed row as the unchanged one was.

    What is answered to the unchanged row is taken for true as far as it is sure (Sohn et al., 2020,
    "FixMatch"). How sure is enough follows from the batch: rows surer than the mean count wholly,
    others the less the further below they are (Chen et al., 2023, "SoftMatch"). Numbers are drawn
    to each other (Laine and Aila, 2017).

    Args:
        view: changes the unlabelled rows.
        kind: of the task.
        weight: of the second loss.
    """

    def both(inner: Objective, beside: Beside, net: Net, batch: Batch) -> Tensor:
        more = beside.draw(net, batch.at)
        with _surely(net), torch.no_grad():
            said = net(more.inputs, more.hidden, more.at)
        changed = view(more)
        answered = net(changed.inputs, changed.hidden, changed.at)
        # The labelled rows last, which is where what aligns them looks for their features.
        loss = inner(net, batch)
        return loss + weight * disagreement(answered, said, kind)

    return both


@contextmanager
def _surely(net: Net) -> Iterator[None]:
    """Let a net answer without dropout, its batch norms by the batch as long as they learn: what
    they keep is that of the last batch, which may have been a changed one."""
    norms = [m for m in batch_norms(net.backbone) if m.training]
    with as_at_predict(net):
        for norm in norms:
            norm.training = True
        yield


def disagreement(answered: Tensor, said: Tensor, kind: TaskKind) -> Tensor:
    """How far scores (n, outputs) are from answers to the same rows that are taken for true."""
    if kind == "regression":
        return functional.mse_loss(answered, said)
    if kind == "multilabel":
        chances = torch.sigmoid(said)
        wanted = (chances > 0.5).to(answered.dtype)
        weights = sureness(torch.maximum(chances, 1 - chances).flatten()).view_as(wanted)
        each = functional.binary_cross_entropy_with_logits(answered, wanted, reduction="none")
        return (weights * each).mean()
    confidence, wanted = functional.softmax(said, dim=1).max(dim=1)
    each = functional.cross_entropy(answered, wanted, reduction="none")
    return (sureness(confidence) * each).mean()


def sureness(confidence: Tensor) -> Tensor:
    """How much each answer (n,) counts: a Gaussian below the mean confidence, 1 above it."""
    mean, spread = confidence.mean(), confidence.std(unbiased=False).clamp(min=1e-3)
    below = (mean - confidence).clamp(min=0) / spread
    return torch.exp(-(below**2) * SPREADS / 2)


def dropping(share: float) -> View:
    """Return a view that leaves a share of each row out: tokens, a part of a picture, features.

    It works on raw inputs and on activations alike, so that what is frozen stays computed once.
    """

    def view(batch: Batch) -> Batch:
        if "attention_mask" in batch.inputs:
            kept = _fewer_tokens(batch.inputs["attention_mask"], share)
            return replace(batch, inputs={**batch.inputs, "attention_mask": kept})
        if batch.hidden is None:
            pixels = _holed(_moved(batch.inputs["pixel_values"]), share)
            return replace(batch, inputs={**batch.inputs, "pixel_values": pixels})
        if batch.hidden.dim() == 4:
            return replace(batch, hidden=_holed(batch.hidden, share))
        if batch.hidden.dim() == 3:
            left = torch.rand(batch.hidden.shape[:2], device=batch.hidden.device) >= share
            left[:, 0] = True
            return replace(batch, hidden=batch.hidden * left[..., None])
        return replace(batch, hidden=functional.dropout(batch.hidden, share))

    return view


def _fewer_tokens(mask: Tensor, share: float) -> Tensor:
    """Attention that does not see a share of the tokens; the first one is always seen."""
    seen = torch.rand(mask.shape, device=mask.device) >= share
    seen[:, 0] = True
    return mask * seen.to(mask.dtype)


def _moved(pixels: Tensor) -> Tensor:
    """Pictures moved by some pixels, all of a batch alike."""
    height, width = pixels.shape[-2:]
    most = torch.tensor([height, width]) * SHIFTED
    down, right = ((2 * torch.rand(2) - 1) * most).round().long().tolist()
    return torch.roll(pixels, (int(down), int(right)), dims=(-2, -1))


def _holed(maps: Tensor, share: float) -> Tensor:
    """Maps (n, channels, height, width) with a rectangle of each set to zero (DeVries and Taylor,
    2017)."""
    n, _, height, width = maps.shape
    tall, wide = (max(1, round(side * share**0.5)) for side in (height, width))
    top = (torch.rand(n) * (height - tall + 1)).long().to(maps.device)[:, None]
    left = (torch.rand(n) * (width - wide + 1)).long().to(maps.device)[:, None]
    rows, columns = (torch.arange(side, device=maps.device)[None] for side in (height, width))
    inside: Tensor = ((rows >= top) & (rows < top + tall))[:, :, None] & (
        (columns >= left) & (columns < left + wide)
    )[:, None, :]
    kept: Tensor = maps * (~inside)[:, None].to(maps.dtype)
    return kept
