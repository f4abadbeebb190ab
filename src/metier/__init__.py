"""Turn a general pretrained model into a specialist, with proof.

>>> import metier
>>> result = metier.specialize("tickets.csv", target="intent")  # doctest: +SKIP
>>> metier.load(result.bundle).predict(["my invoice is wrong"])  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metier.api import check as check
    from metier.api import evaluate as evaluate
    from metier.api import meta as meta
    from metier.api import multitask as multitask
    from metier.api import predict as predict
    from metier.api import rank as rank
    from metier.api import specialize as specialize
    from metier.runtime.session import load as load

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "check",
    "evaluate",
    "load",
    "meta",
    "multitask",
    "predict",
    "rank",
    "specialize",
]

_HOME = {
    "specialize": "metier.api",
    "rank": "metier.api",
    "check": "metier.api",
    "multitask": "metier.api",
    "meta": "metier.api",
    "predict": "metier.api",
    "evaluate": "metier.api",
    "load": "metier.runtime.session",
}
"""Where each public name lives: loaded on first use, so that the bare import stays light."""


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'metier' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
