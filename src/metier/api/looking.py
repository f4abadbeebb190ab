"""What is looked at before anything is made: data, sources, strategies."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.api.given import as_words
from metier.api.watching import Silent
from metier.errors import DataError, MissingExtraError, SourceError
from metier.threads import settle_threads

if TYPE_CHECKING:
    from metier.road.options import Progress
    from metier.search.shortlist import Ranking
    from metier.types import Finding


def check(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    test: Any = None,
    task: str | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Look for what would spoil a result before any training; nothing is changed or written.

    Label errors are judged on the features of the first default source that is here already, and on
    plain counts otherwise: nothing is fetched.
    """

    settle_threads()
    from metier.cache import Cache
    from metier.data.checks import check as look
    from metier.road.intake import read_data
    from metier.road.options import Options
    from metier.road.pace import features_of
    from metier.sources import DEFAULTS, open_source
    from metier.sources.directory import at_hand

    watch = progress or Silent()
    watch.stage("reading the data")
    found = read_data(data, Options(target=target, test=test, task=task))
    watch.stage("checking")
    features, modality = None, found.table.roles.modality
    name = next((each for each in DEFAULTS[modality] if at_hand(each)), None)
    if modality != "tabular" and name is not None:
        with contextlib.suppress(SourceError, MissingExtraError):
            source = open_source(name, modality)
            features = functools.partial(features_of, source, cache=Cache())
    findings = look(found.table, found.task, test=found.test, features=features)
    return [*found.findings, *findings]


def rank(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    sources: str | Sequence[str] = (),
    runs: str | Path | None = None,
    task: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ranking:
    """Score pretrained sources from one forward pass each. The scores only shortlist.

    With `runs`, the specialists of all run folders below that folder are scored beside the sources;
    those that cannot be a start here are listed with the reason.
    """
    from metier.cache import Cache
    from metier.road.intake import earlier_runs, met_before, open_sources, read_data
    from metier.road.options import Options
    from metier.search.shortlist import rank as score

    watch = progress or Silent()
    watch.stage("reading the data")
    found = read_data(data, Options(target=target, task=task))
    if found.table.roles.modality == "tabular":
        raise DataError("there are no pretrained sources for tables to rank; run specialize")
    opened = open_sources(found.table, as_words(sources))
    earlier, failed = earlier_runs(runs, found.table.roles.modality)
    watch.stage("looking at the sources")
    candidates = [*opened.values(), *earlier]
    for finding in met_before(candidates, found.table):
        watch.warn(finding.verdict)
    return score(found.table, found.task, candidates, Cache(), seed=seed, failed=failed)


def sources() -> list[dict[str, Any]]:
    """The sources that are tried when none is named, and whether they are here; none is fetched."""
    from metier.sources import open_source
    from metier.sources.defaults import DEFAULTS
    from metier.sources.directory import at_hand

    rows = []
    for modality, names in DEFAULTS.items():
        for i, name in enumerate(names):
            try:
                if at_hand(name):
                    open_source(name, modality)
                    state = "ready"
                else:
                    state = "not in the local cache: fetched from the hub when it is first used"
            except (SourceError, MissingExtraError) as error:
                state = str(error)
            rows.append({"source": name, "modality": modality, "default": i == 0, "state": state})
    return rows


def strategies() -> list[dict[str, Any]]:
    """The strategies, what they take and give, and their parameters with defaults."""
    import dataclasses

    from metier.registry import find, names

    rows = []
    for name in names("strategies"):
        kind = find("strategies", name)
        made = kind()
        parameters = {f.name: getattr(made, f.name) for f in dataclasses.fields(kind)}
        rows.append(
            {
                "strategy": name,
                "about": _about(kind),
                "for": ", ".join(kind.modalities),
                "takes": ", ".join(made.accepts),
                "gives": _given(kind),
                "parameters": ", ".join(f"{k}={_plain(v)}" for k, v in parameters.items()),
            }
        )
    return rows


def _about(kind: Any) -> str:
    """The first paragraph of its docstring in one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def _given(kind: Any) -> str:
    """The form that a strategy gives; one that wraps another has none before it has that one."""
    return kind.gives if isinstance(kind.gives, str) else "what it wraps gives"


def _plain(value: Any) -> str:
    return type(value).__name__.lower() if callable(value) else str(value)
