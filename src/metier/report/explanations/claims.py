"""How far an explanation can be believed, as claims in sentences."""

from __future__ import annotations

import math

from metier.evidence.explanations.explained import Explained
from metier.evidence.explanations.faithful import Mean
from metier.evidence.words import sentence
from metier.report.explanations.methods import is_plural, title_of
from metier.report.wording import interval, number
from metier.types import Finding

CLAIMS = ("faithfulness", "stability", "shares_sum")
"""Names of the findings."""


def findings_of(found: Explained) -> tuple[Finding, ...]:
    """Return what was found as claims."""
    claims = [_faith(found), _stable(found), _sums(found)]
    return tuple(claim for claim in claims if claim is not None)


def _faith(found: Explained) -> Finding | None:
    faithful = found.faithful
    if faithful is None:
        told = "There was no time to measure how far the explanations can be believed."
        return Finding("faithfulness", told, level="warning")
    gain = faithful.gain
    better = gain.low > 0
    lead = f"Taking away what {title_of(found.method)} name{'' if is_plural(found.method) else 's'}"
    unit = "of its spread" if found.task == "regression" else "of probability"
    verdict = (
        f"{lead} first moves the answer {'more' if gain.value >= 0 else 'less'} than taking parts "
        f"away in random order: by {number(abs(gain.value))} {unit} on average{_between(gain)}"
    )
    return Finding(
        "faithfulness",
        sentence(verdict),
        gain.value,
        _finite(gain.low),
        _finite(gain.high),
        gain.n,
        level="info" if better else "warning",
        details={"method": found.method, "deletion": faithful.deletion.value,
                 "insertion": faithful.insertion.value, "p": gain.p},
    )  # fmt: skip


def _stable(found: Explained) -> Finding | None:
    stable = found.stable
    if stable is None:
        return None
    if not stable.drawn:
        told = "Explained again, every row gets the same shares: chance plays no part in the method"
        return Finding("stability", sentence(told), 1.0, 1.0, 1.0, stable.ranks.n)
    ranks = stable.ranks
    told = (
        f"Explained again with other random numbers, the order of the parts agrees by "
        f"{number(ranks.value)} (rank correlation; 1 is the same){_between(ranks)}, and "
        f"{stable.top.value:.0%} of the five that matter most stay"
    )
    low = ranks.value < 0.7
    return Finding(
        "stability", sentence(told), ranks.value, _finite(ranks.low), _finite(ranks.high), ranks.n,
        level="warning" if low else "info", details={"top": stable.top.value},
    )  # fmt: skip


def _sums(found: Explained) -> Finding | None:
    """Whether shares that must sum to the answer do."""
    bound = [row for row in found.rows if row.attribution.tolerance is not None]
    if not bound:
        return None
    broken = tuple(row.row for row in bound if not row.attribution.holds)
    worst = max(row.attribution.error for row in bound)
    if broken:
        told = (
            f"The shares of {len(broken)} of {len(bound)} rows do not sum to what the answer moves "
            f"by (off by up to {number(worst)}): read them with care"
        )
        return Finding(
            "shares_sum", sentence(told), worst, n=len(bound), level="warning", rows=broken
        )
    told = (
        f"The shares of {_rows(len(bound))} shown sum to what the answer moves by (off by "
        f"{worst:.1g} at most)"
    )
    return Finding("shares_sum", sentence(told), worst, n=len(bound))


def _rows(count: int) -> str:
    return f"all {count} rows" if count > 1 else "the row"


def _between(found: Mean) -> str:
    rows = f"{found.n} row{'s' if found.n != 1 else ''}"
    if not math.isfinite(found.low):
        return f" ({rows}: too few for an interval)"
    return f" (95 % interval {interval(found.low, found.high)}, {rows})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
