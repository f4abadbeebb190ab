"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

from metier.errors import OptionError


def refuse_folder(out: Path) -> None:
    """Raise OptionError, before any work is done, where a file is to be written and a folder is."""
    if out.is_dir() or not out.name:
        raise OptionError(f"--out {out}: is a folder; give the name of a file")


def expanded(name: str | Path) -> Path:
    """Return a path, `~` written out; as it stands where no such user is known."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
