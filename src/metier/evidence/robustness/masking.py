"""Signs that an attack failed because the gradients mislead it, and not because the model holds.

After Athalye et al. (2018, "Obfuscated gradients give a false sense of security"): in a fair fight
what sees more wins more, more steps win more, and more room wins more.
"""

from __future__ import annotations

from collections.abc import Sequence

from metier.evidence.catalogue import METRICS
from metier.evidence.robustness.curves import Assault
from metier.types import Finding

SLACK = 0.02
"""Shares of rows that chance and few steps may account for."""
FLAT = 0.1
"""Share of rows without a gradient from which on it is a sign."""


def signs(assaults: Sequence[Assault]) -> tuple[Finding, ...]:
    """Return what speaks against trusting gradient attacks, or one finding that nothing does.

    Empty when no attack took steps of the gradient. All attacks must be of the same rows.
    """
    by_gradient = [each for each in assaults if each.family in ("fgsm", "pgd")]
    if not by_gradient:
        return ()
    found = [
        *_black_box(assaults),
        *_single_step(assaults),
        *_radius(assaults),
        *_flat(by_gradient),
    ]
    if found:
        return tuple(found)
    n = by_gradient[0].change.n
    told = (
        "No sign of masked gradients: more knowledge, more steps and more room each broke as much "
        "or more."
    )
    return (Finding("masked_gradients", told, 0.0, n=n),)


def _score(each: Assault) -> float:
    """What an attack leaves: the score as a share of 1, and of errors without an end the negative
    error in those of the rows as they are."""
    metric = METRICS[each.change.metric]
    if each.score.value is None:
        return 1.0
    if metric.higher_is_better:
        return each.score.value
    return -each.score.value / max(abs(each.change.b), 1e-12)


def _sign(name: str, told: str, value: float, n: int) -> Finding:
    text = f"{told}: the robust score is likely to be too good (masked gradients)."
    return Finding(f"masked_gradients[{name}]", text, value, n=n, level="warning")


def _black_box(assaults: Sequence[Assault]) -> list[Finding]:
    """What sees scores alone breaks more than what sees gradients, at the same radius."""
    found = []
    for blind in (each for each in assaults if each.family == "square"):
        same = [e for e in assaults if e.family == "pgd" and e.radius == blind.radius]
        for each in same:
            gap = _score(each) - _score(blind)
            if gap > SLACK:
                told = f"{blind.name}, which sees scores alone, breaks more than {each.name}"
                found.append(_sign("black box stronger", told, gap, blind.change.n))
    return found


def _single_step(assaults: Sequence[Assault]) -> list[Finding]:
    """One step breaks more than many."""
    found = []
    for one in (each for each in assaults if each.family == "fgsm"):
        for many in (e for e in assaults if e.family == "pgd" and e.radius == one.radius):
            gap = _score(many) - _score(one)
            if gap > SLACK:
                told = f"{one.name} breaks more with one step than {many.name} with many"
                found.append(_sign("single step stronger", told, gap, one.change.n))
    return found


def _radius(assaults: Sequence[Assault]) -> list[Finding]:
    """More room does not break more, though something is left to break."""
    family = sorted(
        (e for e in assaults if e.family == "pgd" and e.radius is not None),
        key=lambda each: each.radius or 0.0,
    )
    if len(family) < 2:
        return []
    smaller, larger = family[0], family[-1]
    gap = _score(smaller) - _score(larger)
    if gap > SLACK / 2 or 0 <= _score(larger) < SLACK:
        return []
    told = f"{larger.name} breaks no more than {smaller.name}"
    return [_sign("more room no stronger", told, gap, larger.change.n)]


def _flat(by_gradient: Sequence[Assault]) -> list[Finding]:
    """The loss is flat around many rows."""
    most = max(by_gradient, key=lambda each: each.flat)
    if most.flat < FLAT:
        return []
    told = f"On {100 * most.flat:.0f} % of the rows the loss has no gradient at all"
    return [_sign("vanishing gradients", told, most.flat, most.change.n)]
