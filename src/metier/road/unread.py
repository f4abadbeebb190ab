"""Columns that were given, and that what is handed over does not read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from metier.search.records import Candidate
from metier.types import Roles

FUSE = "fuse"
"""The strategy that reads other columns beside texts or images."""


def unread_told(
    roles: Roles, read: Collection[str], chosen: Candidate, tried: Sequence[Candidate]
) -> tuple[str, ...]:
    """Return a sentence on numbers, categories and dates that the chosen candidate leaves out, and
    what became of the one that reads them; none where there are no such columns.

    Args:
        roles: of the rows.
        read: the columns that the chosen candidate reads.
        chosen: what is handed over.
        tried: all candidates of the search.
    """
    kinds = {"number", "category", "date"}
    left = [name for name, kind in roles.inputs.items() if kind in kinds and name not in read]
    if roles.modality == "tabular" or not left:
        return ()
    what = f"the column {left[0]}" if len(left) == 1 else f"the columns {', '.join(left)}"
    told = f"{chosen.recipe.called} reads nothing of {what}: beside {roles.modality}s only {FUSE}"
    return (f"{told} does, which {_outcome(tried)}",)


def _outcome(tried: Sequence[Candidate]) -> str:
    """What became of the strategy that reads other columns."""
    fused = [candidate for candidate in tried if candidate.recipe.strategy == FUSE]
    if not fused:
        return f"was not tried: name it with --strategy {FUSE}, or give more time or trials"
    if all(candidate.state == "failed" for candidate in fused):
        return "failed"
    return "was tried and not chosen"
