"""The token table of a net: with fewer rows, or as the product of two smaller ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metier.errors import ChainError
from metier.runtime.text import Text
from metier.sources.backbone import Backbone
from metier.sources.factored import Factored
from metier.training.net import Net, NetModel, branch
from metier.types import Table

FEW = 100
"""Networks that count positions from their padding token have one with a number below this."""
SAME = 1e-4
"""What scores may differ by, as a share of how far they lie apart."""


@dataclass(frozen=True)
class TokenTable:
    """What is known of the token table of a net: its rows, and the row of padding."""

    tokens: int
    padding: int | None

    def needed(self, pad_id: int) -> NDArray[np.int64]:
        """Rows that have to stay, with their number where positions are counted from it."""
        padding = pad_id if self.padding is None else self.padding
        if padding < FEW:
            return np.union1d(np.arange(padding + 1), [pad_id])
        return np.array(sorted({padding, pad_id}), dtype=np.int64)


def token_table(net: Net) -> TokenTable:
    """Say what table a net looks its tokens up in. Raises ChainError when it has none."""
    rows = _rows(net.backbone.model)
    return TokenTable(len(rows.weight), rows.padding_idx)


def _rows(encoder: nn.Module) -> nn.Embedding:
    given: Any = encoder
    try:
        table = given.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        table = None
    if isinstance(table, Factored):
        return table.rows
    if not isinstance(table, nn.Embedding):
        raise ChainError("this network looks its tokens up in no table of its own")
    return table


def keep_tokens(model: NetModel, tokenizer: bytes, kept: NDArray[np.int64]) -> NetModel:
    """Return a net that knows some of the tokens only.

    Args:
        model: a net that reads text; it is left as it was, and shares all other weights.
        tokenizer: the `tokenizer.json` of the kept tokens.
        kept: their numbers so far, in the order of their new ones.
    """
    net = branch(model.net, model.net.backbone.depth)
    places = {int(old): new for new, old in enumerate(kept)}
    rows = _rows(net.backbone.model)
    weight = rows.weight.detach()
    chosen = torch.from_numpy(kept).to(weight.device)
    rows.weight = nn.Parameter(weight[chosen].clone(), requires_grad=rows.weight.requires_grad)
    rows.num_embeddings = len(kept)
    if rows.padding_idx is not None:
        rows.padding_idx = places[rows.padding_idx]
    _tell(net.backbone.model, places)
    read = model.preprocess
    assert isinstance(read, Text)
    preprocess = replace(read, tokenizer=tokenizer, pad_id=places[read.pad_id])
    return replace(model, net=net, preprocess=preprocess, untouched=0)


def _tell(encoder: nn.Module, places: dict[int, int]) -> None:
    """Correct what the configuration says of the tokens."""
    config: Any = encoder.config
    config.vocab_size = len(places)
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(config, name, places.get(value))


def same_scores(one: NetModel, other: NetModel, rows: Table) -> bool:
    """Whether two nets say the same of some rows."""
    if len(rows) == 0:
        return True
    wanted, found = one.scores(rows), other.scores(rows)
    return bool(np.abs(wanted - found).max() <= SAME * max(1.0, float(np.ptp(wanted))))


def factor_tokens(model: NetModel, rank: int, counts: NDArray[np.int64]) -> NetModel:
    """Return a net whose token table is the product of two of width `rank`.

    Args:
        model: a net that reads text; it is left as it was, and shares all other weights.
        rank: width of the smaller table.
        counts: (tokens,) how often each token was seen; those seen often are kept most exactly.

    Raises:
        ChainError: when the two are no smaller than the table.
    """
    net = branch(model.net, model.net.backbone.depth)
    backbone, encoder = net.backbone, net.backbone.model
    given: Any = encoder
    whole = given.get_input_embeddings()
    rows = _rows(encoder)
    with torch.no_grad():
        table = (whole.widen(rows.weight) if isinstance(whole, Factored) else rows.weight).double()
    many, width = table.shape
    before = sum(parameter.numel() for parameter in whole.parameters())
    if rank * (many + width) >= before:
        raise ChainError(
            f"rank {rank} saves nothing: the token table of {many} rows has {before:,} numbers and "
            f"its factors would have {rank * (many + width):,}; give a smaller rank"
        )
    seen = torch.from_numpy(np.asarray(counts, dtype=np.float64)).to(table.device)
    basis = _directions(table, seen + 1.0, rank)
    product = Factored(many, rank, width, rows.padding_idx).to(table.device)
    with torch.no_grad():
        product.rows.weight.copy_(table @ basis)
        product.widen.weight.copy_(basis)
    product.requires_grad_(rows.weight.requires_grad)
    given.set_input_embeddings(product)
    net.backbone = Backbone(encoder, backbone.pooling, backbone.normalise, _probe(model))
    return replace(model, net=net, untouched=0)


def _directions(table: torch.Tensor, weights: torch.Tensor, rank: int) -> torch.Tensor:
    """The directions (width, rank) that lose least of the rows, each weighing as it is given."""
    scatter = table.T @ (table * weights[:, None])
    _, directions = torch.linalg.eigh(scatter)
    found: torch.Tensor = directions[:, -rank:]
    return found


def _probe(model: NetModel) -> dict[str, torch.Tensor]:
    read = model.preprocess
    assert isinstance(read, Text)
    texts = ["one two three four five six", "one"]
    found = read.encode({name: texts for name in read.columns}).examples
    arrays = read.collate([example for example in found if example is not None])
    device = model.net.head.weight.device
    return {n: torch.from_numpy(a).to(device) for n, a in arrays.items() if n != "assign"}
