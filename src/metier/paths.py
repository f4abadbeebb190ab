"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def expanded(name: str | Path) -> Path:
    """Return a path, `~` written out; as it stands where no such user is known."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
