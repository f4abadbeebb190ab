"""How robust a finished specialist is: damage that happens by itself, and attacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.errors import OptionError, suggest
from metier.evidence.robustness.curves import Robustness, Rows, measure_natural
from metier.evidence.robustness.masking import signs
from metier.road.labelled import Labelled
from metier.road.trust.assaults import attack
from metier.runtime.session import Bundle
from metier.runtime.signals import columns_read

SECONDS = 120.0
NATURAL = 0.4
"""Share of the time for damage that happens by itself; attacks have the rest."""


def measure_robustness(
    bundle: Bundle,
    labelled: Labelled,
    folder: Path,
    seconds: float = SECONDS,
    seed: int = 0,
    *,
    examples: bool = False,
    categories: Sequence[str] = (),
) -> Robustness:
    """Measure how a bundle's score falls under damage and under attack.

    Any bundle can be damaged, and tables and images attacked by their scores alone; attacks that
    follow gradients need torch and the `weights/` of the run folder.

    Args:
        bundle: what answers.
        labelled: rows that it did not learn from.
        folder: the run folder, or its `specialist/`.
        seconds: about how long this may take; fewer rows are used where it is short.
        seed: where all random numbers start.
        examples: keep a few broken inputs, which are rows of the data.
        categories: category columns that an attack on a table may change; others are fixed.

    Raises:
        OptionError: for a column that is no category of this bundle.
    """
    manifest = bundle.manifest
    read = columns_read(manifest.columns, manifest.preprocess)
    kinds = {each.name: each.kind for each in read}
    known = [name for name, kind in kinds.items() if kind == "category"]
    for name in categories:
        if name not in known:
            raise OptionError(f"no category column {name!r}{suggest(name, known)}")
    columns = labelled.columns()
    rows = Rows(
        columns,
        {name: kind for name, kind in kinds.items() if name not in labelled.absent},
        labelled.truth,
        labelled.numbers,
        manifest.decision.at(columns),
    )
    metric = labelled.task.metrics[0]
    natural = measure_natural(bundle.scores, rows, metric, seconds=NATURAL * seconds, seed=seed)
    fight = attack(
        bundle,
        rows,
        metric,
        folder,
        seconds=(1 - NATURAL) * seconds,
        seed=seed,
        categories=categories,
        examples=examples,
    )
    return Robustness(
        metric=metric,
        clean=natural.clean,
        curves=natural.curves,
        kind=bundle.task_kind,
        attacked=fight.metric,
        untouched=fight.untouched,
        assaults=fight.assaults,
        signs=signs(fight.assaults),
        examples=fight.examples,
        notes=fight.notes,
    )
