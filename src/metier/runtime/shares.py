"""Shares that are asked for: more than nothing and less than all."""

from __future__ import annotations

import sys

from metier.errors import OptionError


def check_share(option: str, share: float, example: float) -> None:
    """Raise OptionError for what is no share between 0 and 1.

    >>> check_share("--coverage", 10**400, 0.9)
    Traceback (most recent call last):
    metier.errors.OptionError: --coverage inf: is no share between 0 and 1; write for example 0.9
    """
    if not 0 < share < 1:
        within = not isinstance(share, int) or abs(share) <= sys.float_info.max
        told = float(share) if within else float("inf" if share > 0 else "-inf")
        raise OptionError(
            f"{option} {told:g}: is no share between 0 and 1; write for example {example:g}"
        )
