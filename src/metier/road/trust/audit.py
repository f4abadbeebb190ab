"""`metier audit`: what a person should know who signs off a model, measured on labelled rows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from metier.cache import write_aside
from metier.data.known import Known
from metier.data.raw import Raw
from metier.data.read import read
from metier.errors import DataError, MetierError, OptionError
from metier.evidence.explanations.explained import Explained
from metier.evidence.metrics import scorecard
from metier.evidence.robustness.curves import Robustness
from metier.evidence.unlabelled.unseen import absent_labels, beyond_training, new_categories
from metier.paths import refuse_folder
from metier.report.audit import HEADING, Audit, audit_document, audit_words
from metier.report.document import render_document
from metier.road.asked import versions
from metier.road.fairly import serve_whom
from metier.road.labelled import Labelled, read_labelled
from metier.road.looks import look
from metier.road.options import Progress
from metier.road.trust.explain import Asked as Explanation
from metier.road.trust.explain import explain_bundle
from metier.road.trust.robustness import measure_robustness
from metier.road.trust.sureness import measure_sureness
from metier.runtime.reference import from_json
from metier.runtime.session import Bundle, load
from metier.runtime.signals import (
    Eye,
    Signals,
    Watched,
    columns_read,
    joined,
    of_answers,
    vocabularies,
)
from metier.search.clock import Clock
from metier.serving.drift import Drift, Monitor
from metier.types import Finding

FEWEST = 20
"""With fewer labelled rows there is nothing to sign."""
SECONDS = {"tabular": 45.0, "text": 150.0, "image": 150.0}
"""About how long an audit takes when nobody says, by what the bundle reads."""
DAMAGE = 0.5
"""Share of the time left, after what is quick, for damage and attacks; the rest explains."""

Part = TypeVar("Part")


@dataclass(frozen=True)
class Asked:
    """What was asked of an audit. See `metier.api.audit`."""

    bundle: Path
    data: Any
    sensitive: tuple[str, ...] = ()
    seed: int = 0
    examples: bool = False


@dataclass
class _Parts:
    """Parts that cannot be measured here are left out, and the reason is kept."""

    left_out: dict[str, str] = field(default_factory=dict)

    def measure(self, name: str, make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except MetierError as error:
            self.left_out[name] = str(error)
            return None


def audit_bundle(asked: Asked, progress: Progress, clock: Clock) -> Audit:
    """Measure a bundle on labelled rows: what is quick first, then damage, then explanations.

    Raises InputError for a bundle, data or columns that cannot be used, and for fewer than 20 rows.
    """
    progress.stage("reading the data")
    bundle = load(asked.bundle)
    raw = read(asked.data, known=Known.of_bundle(bundle.manifest))
    rows = read_labelled(bundle, raw)
    if len(rows) < FEWEST:
        raise DataError(f"{raw.name}: {len(rows)} rows are too few to judge by; give {FEWEST}")
    progress.until(clock.deadline(clock.left))
    progress.stage("measuring who is served worse")
    served = serve_whom(bundle, rows, raw, asked.sensitive, asked.seed)
    score = _score(bundle, rows, asked.seed)
    parts = _Parts()
    progress.stage("measuring how sure it is")
    sure = parts.measure("how sure it is", lambda: measure_sureness(bundle, rows, asked.seed))
    progress.stage("damaging and attacking the rows")
    robust = parts.measure("how it breaks", lambda: _shaken(bundle, rows, asked, clock))
    progress.stage("looking at what its answers come from")
    explained = parts.measure("what it looks at", lambda: _explained(asked, progress, clock))
    return Audit(
        bundle=str(asked.bundle),
        digest=bundle.digest,
        manifest=bundle.manifest,
        data=raw.name,
        n=len(rows),
        score=score,
        unseen=tuple(_unseen(bundle, rows)),
        drift=drift_of(bundle, rows),
        sureness=sure,
        served=served,
        robustness=robust,
        explained=explained,
        left_out=parts.left_out,
        rows=(*rows.findings, *_looked(asked, raw)),
        seconds=clock.used,
    )


def seconds_for(bundle: Bundle) -> float:
    """Return about how long an audit of a bundle takes when nobody says."""
    kinds = {column.kind for column in bundle.manifest.columns}
    return SECONDS["image" if "image" in kinds else "text" if "text" in kinds else "tabular"]


def drift_of(bundle: Bundle, rows: Labelled) -> Drift | None:
    """Return how far labelled rows are from those of training; None where nobody knows those."""
    manifest = bundle.manifest
    known = manifest.facts.get("reference")
    if known is None:
        return None
    seen: list[Signals] = []
    eye = Eye(columns_read(manifest.columns, manifest.preprocess), manifest.preprocess)
    watched = replace(bundle, preprocess=Watched(bundle.preprocess, eye, seen.append))
    found = watched.predict(rows.columns())
    several = bundle.task_kind == "multilabel"
    monitor = Monitor(from_json(known, vocabularies(manifest.preprocess)), window=len(rows))
    monitor.observe(joined(seen).and_also(of_answers(found.answers, found.probabilities, several)))
    return monitor.report()


def _score(bundle: Bundle, rows: Labelled, seed: int) -> tuple[Finding, ...]:
    decision = bundle.manifest.decision.at(rows.columns())
    scores, clusters = rows.scores(bundle), rows.clusters
    return tuple(scorecard(rows.task, rows.truth, scores, decision, seed=seed, clusters=clusters))


def _shaken(bundle: Bundle, rows: Labelled, asked: Asked, clock: Clock) -> Robustness:
    seconds = max(1.0, DAMAGE * clock.left)
    return measure_robustness(
        bundle, rows, asked.bundle, seconds, asked.seed, examples=asked.examples
    )


def _explained(asked: Asked, progress: Progress, clock: Clock) -> Explained:
    wanted = Explanation(asked.bundle, asked.data, seed=asked.seed)
    return explain_bundle(wanted, progress, Clock(max(1.0, clock.left)))


def _unseen(bundle: Bundle, rows: Labelled) -> list[Finding]:
    manifest = bundle.manifest
    columns = rows.columns()
    read = [c for c in columns_read(manifest.columns, manifest.preprocess) if c.name in columns]
    unseen = {name: len(own) for name, own in bundle.scored(columns).unseen.items()}
    found = [*beyond_training(read, columns, rows.numbers), *new_categories(unseen, len(rows))]
    if bundle.task_kind != "regression":
        found += absent_labels(bundle.labels, rows.truth)
    return found


def _looked(asked: Asked, raw: Raw) -> list[Finding]:
    return look(asked.bundle, raw)


def refuse_pages(out: Path) -> None:
    """Raise OptionError where the page would be a folder or its own words, or these take the place
    of a file that is no earlier audit."""
    refuse_folder(out)
    if out.suffix.lower() == ".md":
        raise OptionError(
            f"--out {out}: the page is HTML, and the same in words goes beside it as .md; give a "
            "name that ends in .html"
        )
    words = _words_beside(out)
    ours = words.is_file() and words.read_bytes().startswith(HEADING.encode())
    if words.exists() and not ours:
        raise OptionError(
            f"--out {out}: {words} is there and no earlier audit, and would be written over by the "
            "same in words; give another name"
        )


def write_pages(found: Audit, asked: Asked, out: Path) -> tuple[Path, Path]:
    """Write the page and, beside it, the same in words; return both paths."""
    command = command_of(asked, out)
    words = _words_beside(out)
    write_aside(out, render_document(audit_document(found, command, versions())).encode())
    write_aside(words, audit_words(found).encode())
    return out, words


def _words_beside(out: Path) -> Path:
    return out.with_suffix(".md")


def command_of(asked: Asked, out: Path) -> str:
    """Return the command line that would make this audit."""
    data = str(asked.data) if isinstance(asked.data, str | Path) else "DATA"
    words = ["metier", "audit", str(asked.bundle), data]
    for name in asked.sensitive:
        words += ["--sensitive", name]
    words += ["--examples"] if asked.examples else []
    return shlex.join([*words, "--seed", str(asked.seed), "--out", str(out)])
