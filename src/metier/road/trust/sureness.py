"""How sure a bundle is, measured on labelled rows."""

from __future__ import annotations

from metier.evidence.uncertainty.sureness import Sureness, sureness_of
from metier.road.labelled import Labelled
from metier.runtime.conformal import luck_of
from metier.runtime.session import Bundle


def measure_sureness(bundle: Bundle, rows: Labelled, seed: int = 0) -> Sureness:
    """Measure calibration, coverage, risk and the share of unlike rows on labelled rows.

    Raises:
        BundleError: when what the bundle knows of its doubt cannot be read.
    """
    columns = rows.columns()
    scored = bundle.scored(columns, features=True)
    unlike = bundle.unlike(columns, scored)
    luck = luck_of(columns, bundle.manifest.columns)
    decision = bundle.manifest.decision.at(columns)
    return sureness_of(
        rows.truth,
        scored.scores,
        decision,
        bundle.doubt,
        luck,
        unlike,
        alarm=bundle.alarm,
        seed=seed,
        clusters=rows.clusters,
    )
