"""What can go wrong, as one tree.

::

    MetierError
    ├── InputError            the user's input: one line with what, where and the mend; exit code 2
    │   ├── DataError         a file, column or row cannot be used
    │   ├── OptionError       an option or name is not known, or options clash
    │   ├── SourceError       a pretrained source cannot be found or is not safe to load
    │   └── BundleError       a bundle is incomplete, tampered with or of another version
    ├── MissingExtraError     an optional library is not installed; names its install command
    ├── ChainError            strategies that cannot follow each other were composed
    ├── ParityError           a model has no graph that predicts what it predicts
    └── Pruned                not a fault: a trial was stopped because it is hopeless or out of time
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MetierError(Exception):
    """Anything that metier raises on purpose."""


class InputError(MetierError):
    """The user's input cannot be used: says what, where and the mend."""


class DataError(InputError):
    """A file, a column or a row cannot be used."""


class OptionError(InputError):
    """An option or a name is not known, or two options clash."""


class SourceError(InputError):
    """A pretrained source cannot be found, or is not safe to load."""


class BundleError(InputError):
    """A bundle is incomplete, was tampered with, or is of another version."""


class MissingExtraError(MetierError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed: pip install 'metier[{extra}]'"
        )


class ChainError(InputError):
    """Strategies that cannot follow each other were composed."""


class ParityError(MetierError):
    """A model cannot be exported, or its graph does not predict what it predicts."""


class Pruned(MetierError):
    """A trial was stopped because it is hopeless or out of time."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error line that names the near ones.

    >>> suggest("trian", ["train", "test"])
    " (did you mean 'train'? known: test, train)"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f" ({hint}known: {', '.join(names)})"
