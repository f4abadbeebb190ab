"""A token embedding as the product of two smaller matrices."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Factored(nn.Module):
    """A table of `tokens` rows of width `rank`, and the layer that makes them `width` wide.

    It stands where the `nn.Embedding` of an encoder stood (Lan et al., 2020, "ALBERT"): a token
    costs `rank` numbers instead of `width`.

    Args:
        tokens: rows of the table.
        rank: width of a stored row.
        width: width of what comes out.
        padding: the row that learns nothing, or None.
    """

    def __init__(self, tokens: int, rank: int, width: int, padding: int | None = None) -> None:
        super().__init__()
        self.rows = nn.Embedding(tokens, rank, padding_idx=padding)
        self.widen = nn.Linear(rank, width, bias=False)

    @property
    def padding_idx(self) -> int | None:
        """The row that stands for padding."""
        return self.rows.padding_idx

    @property
    def embedding_dim(self) -> int:
        """Width of what comes out."""
        return self.widen.out_features

    def forward(self, ids: Tensor) -> Tensor:
        """Return embeddings (.., width) of token ids (..)."""
        return cast("Tensor", self.widen(self.rows(ids)))
