"""Markdown of tables and numbers."""

from __future__ import annotations

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: the first column to the left, the others to the right.

    >>> print(table(["set", "score"], [["a", "0.5"]]))
    | set | score |
    | --- | ---: |
    | a | 0.5 |
    """
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows))


def seconds_text(seconds: float) -> str:
    """Return a duration with as many digits as matter.

    >>> seconds_text(0.1234), seconds_text(12.34), seconds_text(345.6)
    ('0.123', '12.3', '346')
    """
    return (
        f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"
    )
