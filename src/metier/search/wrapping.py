"""Strategies named with what they wrap: ``adversarial(finetune)``, ``reweigh(adversarial(lora))``.

A wrapper has a field `inner`, a strategy. In a recipe, which is plain data, the name says what is
wrapped in what, and ``inner.rate`` is the rate of what is wrapped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from metier.errors import OptionError, suggest
from metier.registry import find
from metier.space import Range, space
from metier.types import Strategy

FIELD = "inner"
_PREFIX = f"{FIELD}."
_WRAPPED = re.compile(r"([^()\s]+)\((.+)\)")


def unwrap(name: str) -> tuple[str, str | None]:
    """Return the outermost strategy and the name of what it wraps, None when nothing is named.

    Raises OptionError for brackets that do not match.

    >>> unwrap("reweigh(adversarial(lora))")
    ('reweigh', 'adversarial(lora)')
    >>> unwrap("lora")
    ('lora', None)
    """
    found = _WRAPPED.fullmatch(name)
    if found is not None:
        return found[1], found[2].strip()
    if "(" in name or ")" in name:
        raise OptionError(f"strategy {name!r}: write wrapper(strategy), each bracket closed")
    return name, None


def innermost(name: str, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return what is wrapped in the end, and its own parameters.

    >>> innermost("reweigh(adversarial(lora))", {"inner.radius": 1.0, "inner.inner.rank": 4})
    ('lora', {'rank': 4})
    """
    outer, inner = unwrap(name)
    return (outer, parameters) if inner is None else innermost(inner, _inside(parameters))


def is_wrapper(name: str) -> bool:
    """Whether a strategy wraps another one."""
    return any(f.name == FIELD for f in fields(find("strategies", unwrap(name)[0])))


def build(
    name: str, parameters: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> Strategy:
    """Return the strategy that a name and its parameters say.

    `given` are data that no recipe holds (rows without labels): whatever has a field of such a
    name gets them, at every depth.

    Raises OptionError for a name that is not known, a parameter that a strategy does not have, and
    for something wrapped in a strategy that wraps nothing.
    """
    outer, inner = unwrap(name)
    kind = find("strategies", outer)
    own = {key: value for key, value in parameters.items() if not key.startswith(_PREFIX)}
    known = [f.name for f in fields(kind) if f.name != FIELD]
    for named in own:
        if named not in known:
            raise OptionError(f"{outer} has no parameter {named!r}{suggest(named, known)}")
    built: Strategy
    own |= {key: value for key, value in (given or {}).items() if key in known}
    if inner is None:
        for lost in parameters.keys() - own.keys():
            raise OptionError(f"{outer} has no parameter {lost!r}: name what it wraps")
        built = kind(**own)
        return built
    if not is_wrapper(outer):
        raise OptionError(f"{outer} wraps no other strategy, so {name!r} cannot be")
    built = kind(**own, inner=build(inner, _inside(parameters), given))
    return built


def ranges(name: str) -> dict[str, Range]:
    """Return what may be searched, what is wrapped included, as a recipe names it."""
    outer, inner = unwrap(name)
    own = space(find("strategies", outer))
    return own if inner is None else {**own, **within(ranges(inner))}


def default(name: str, parameter: str) -> Any:
    """Return the default of a parameter as a recipe names it."""
    built: Any = build(name, {})
    for part in parameter.split("."):
        built = getattr(built, part)
    return built


def within(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of what is wrapped, as the wrapper's recipe names them."""
    return {f"{_PREFIX}{key}": value for key, value in parameters.items()}


def _inside(parameters: Mapping[str, Any]) -> dict[str, Any]:
    own = ((key, value) for key, value in parameters.items() if key.startswith(_PREFIX))
    return {key.removeprefix(_PREFIX): value for key, value in own}


def settled(
    strategy: Strategy, parameters: Mapping[str, Any], notes: list[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return parameters in which what the fits on the folds found out is fixed.

    A strategy says so with a method ``settled(notes) -> parameters``. The notes of a wrapper's fit
    hold those of what it wrapped.
    """
    found = dict(parameters)
    own = getattr(strategy, "settled", None)
    inner = getattr(strategy, FIELD, None)
    if own is not None and notes:
        found |= own(notes)
    if inner is not None:
        found |= within(settled(inner, {}, notes))
    return found
