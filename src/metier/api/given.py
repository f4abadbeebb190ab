"""What Python users may give alone or in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def as_words(given: str | Sequence[str]) -> list[str]:
    """Return one word or several as a list.

    >>> as_words("boost"), as_words(("boost", "linear"))
    (['boost'], ['boost', 'linear'])
    """
    return [given] if isinstance(given, str) else list(given)


def as_list(data: Any) -> list[Any]:
    """Return data that may be one file or several as a list."""
    return list(data) if isinstance(data, list | tuple) else [data]
