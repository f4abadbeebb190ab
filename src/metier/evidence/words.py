"""Numbers as people read them, in the sentences of findings."""

from __future__ import annotations

import math

from metier.types import Finding


def whole(value: float) -> str:
    """Return a count with its thousands parted.

    >>> whole(3080)
    '3,080'
    """
    return f"{value:,.0f}"


def percent(share: float, near: float = 0.0) -> str:
    """Return a share as the number of a per cent, with the digits that it needs.

    Near 0 and 1 there are two decimals, so that 99.97 is not told as 100.

    >>> percent(0.9123), percent(0.9997), percent(0.999), percent(1.0)
    ('91.2', '99.97', '99.9', '100')
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}"
    if 0.005 <= share <= 0.995:
        return f"{100 * share:.1f}"
    return f"{100 * share:.2f}".removesuffix("0")


def points(difference: float) -> str:
    """Return a difference of shares in points, without its sign.

    >>> points(-0.243), points(0.0004)
    ('24.3', '0.04')
    """
    size = 100 * abs(difference)
    return f"{size:.{2 if 0 < size < 0.095 else 1}f}"


def number(value: float) -> str:
    """Return a number with three digits that count.

    >>> number(0.91234), number(12.345), number(48210.0), number(0.00012345)
    ('0.912', '12.3', '48,210', '0.000123')
    """
    if not math.isfinite(value):
        return "no number"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size < 1e-4:
        return f"{value:.3g}"
    decimals = 2 - math.floor(math.log10(size))
    return f"{value:.{decimals}f}"


def sentence(text: str) -> str:
    """Return the text with a capital letter at its start and a full stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def quoted(found: Finding) -> str:
    """Return what a finding says with the cells that it rests on, for who sits before the rows.

    >>> quoted(Finding("odd", "1 cell is no date", details={"examples": ["soon"]}))
    "1 cell is no date, such as 'soon'"
    """
    examples = ", ".join(repr(each) for each in found.details.get("examples", ()))
    return f"{found.verdict}, such as {examples}" if examples else found.verdict
