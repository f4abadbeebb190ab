"""A TOML file as command-line options: one place knows what an option means."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from metier.errors import OptionError, suggest


def read_options(path: Path, known: Collection[str]) -> list[str]:
    """Return the options of a TOML file in the words of the command line.

    Keys are the long names of options (``no-examples`` or ``no_examples``); a list repeats its
    option, ``true`` sets a flag and ``false`` leaves it out. A table ``[options]`` is read instead
    of the top level when there is one, so that the ``run.toml`` of a finished run can be given.

    Args:
        path: the file.
        known: the long names that there are, without dashes in front.

    Raises:
        OptionError: the file is missing, is no TOML, or holds a key that is no option.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise OptionError(f"--config {path}: {reason.lower()}; give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"--config {path}: not valid TOML: {error}") from error
    options = found.get("options", found)
    if not isinstance(options, dict):
        raise OptionError(f"--config {path}: [options] must be a table of option = value")
    words: list[str] = []
    for key, value in options.items():
        name = key.replace("_", "-")
        if name not in known:
            raise OptionError(f"--config {path}: unknown option {key!r}{suggest(name, known)}")
        words += _as_words(path, name, value)
    return words


def _as_words(path: Path, name: str, value: Any) -> list[str]:
    if isinstance(value, list):
        return [word for each in value for word in _as_words(path, name, each)]
    if value is True:
        return [f"--{name}"]
    if value is False:
        return []
    if isinstance(value, str | int | float):
        return [f"--{name}={value}"]
    raise OptionError(f"--config {path}: {name} must be a text, a number, true, false or a list")
