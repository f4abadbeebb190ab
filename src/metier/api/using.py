"""What is done with a finished specialist: predict, measure, explain, hand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from metier.api.given import as_words
from metier.api.watching import Silent
from metier.threads import settle_threads

if TYPE_CHECKING:
    from metier.evidence.explanations.explained import Explained
    from metier.evidence.robustness.curves import Robustness
    from metier.report.audit import Audit
    from metier.road.bundles.compare import Compared
    from metier.road.label import Worth
    from metier.road.options import Progress
    from metier.runtime.manifest import Manifest
    from metier.runtime.session import Predictions
    from metier.types import Finding


def predict(
    bundle: str | Path,
    data: Any,
    *,
    out: str | Path | IO[bytes] | None = None,
    abstain: bool = False,
    coverage: float | None = None,
    max_error: float | None = None,
) -> Predictions:
    """Answer the rows of a file, folder or frame; write them when `out` is given.

    Args:
        bundle: a run folder or its `specialist/`.
        data: rows in any form.
        out: a .csv or .parquet file, or a binary stream for CSV.
        abstain: leave answers empty where there is doubt, and say why in the column `reason`.
        coverage: add sets of labels, or intervals, that hold the truth so often.
        max_error: abstain where an answer is too unsure for this share of errors, not by sets.

    Raises:
        OptionError: for a coverage or error that the bundle cannot promise; nothing is written.
    """
    from metier.output import check_format, tabulate, write
    from metier.runtime.doubt import Asked
    from metier.runtime.session import load

    target = Path(out) if isinstance(out, str | Path) else out
    if isinstance(target, Path):
        check_format(target)
    loaded = load(bundle)
    loaded.doubt.check(Asked(abstain, coverage, max_error))
    columns, paths, warnings = _rows_of(data, loaded.manifest)
    found = loaded.predict(columns, abstain=abstain, coverage=coverage, max_error=max_error)
    found = replace(found, warnings=(*warnings, *found.warnings))
    if target is not None:
        write(tabulate(found, loaded.task_kind, paths), target)
    return found


def evaluate(
    bundle: str | Path, data: Any, *, sensitive: str | Sequence[str] = ()
) -> list[Finding]:
    """Measure a bundle on labelled rows: every metric of its task with its interval.

    When these are the rows that its run was proven on, that is one more look at them: it is
    counted, and the finding `looks` says how many there were. Rows that it learned from are known
    again while the run folder is there, and the finding `learned_from` names them.

    With `sensitive` columns (`age:25,60` cuts a number), who is served worse follows: groups, how
    far they lie apart, what gives the group away, and regions that nobody named.
    """
    from metier.data.known import Known
    from metier.data.read import read
    from metier.evidence.metrics import scorecard
    from metier.road.fairly import serve_whom
    from metier.road.labelled import read_labelled
    from metier.road.looks import look
    from metier.road.trust.sureness import measure_sureness
    from metier.runtime.session import load

    loaded = load(bundle)
    raw = read(data, known=Known.of_bundle(loaded.manifest))
    rows = read_labelled(loaded, raw)
    served = serve_whom(loaded, rows, raw, as_words(sensitive)).findings if sensitive else ()
    decision = loaded.manifest.decision.at(rows.columns())
    found = scorecard(rows.task, rows.truth, rows.scores(loaded), decision, clusters=rows.clusters)
    measured = {finding.name for finding in found}
    sure = [f for f in measure_sureness(loaded, rows).findings if f.name not in measured]
    return [*look(Path(bundle), raw), *rows.findings, *found, *sure, *served]


def robustness(
    bundle: str | Path, data: Any, *, seconds: float = 120.0, seed: int = 0, examples: bool = False
) -> Robustness:
    """Measure how a bundle's score falls when labelled rows are damaged and when they are attacked.

    Attacks that follow gradients need torch and the run folder's `weights/`.

    Args:
        bundle: a run folder or its `specialist/`.
        data: labelled rows that it did not learn from.
        seconds: about how long this may take.
        seed: where all random numbers start.
        examples: keep a few broken inputs, which are rows of the data.
    """
    from metier.data.known import Known
    from metier.data.read import read
    from metier.road.labelled import read_labelled
    from metier.road.trust.robustness import measure_robustness
    from metier.runtime.session import load

    settle_threads()
    loaded = load(bundle)
    rows = read_labelled(loaded, read(data, known=Known.of_bundle(loaded.manifest)))
    return measure_robustness(loaded, rows, Path(bundle), seconds, seed, examples=examples)


def audit(
    bundle: str | Path,
    data: Any,
    *,
    sensitive: str | Sequence[str] = (),
    out: str | Path | None = None,
    examples: bool = False,
    budget: str | float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Measure what a person should know who signs off a bundle, and write one page of it.

    Who is served worse, how it breaks, how sure it is, what it looks at, what it was never shown.
    The rows count as looked at, as in `evaluate`.

    Args:
        bundle: a run folder; attacks and explanations that follow gradients need its `weights/`.
        data: labelled rows that it did not learn from, in any form of `specialize`.
        sensitive: columns whose groups are compared, `age:25,60` with cuts for a number.
        out: the page to write (HTML), with the same in words (`.md`) beside it, which replaces
            an earlier audit and no other file; none when None.
        examples: let the page show rows of the data.
        budget: about the wall-clock for everything: seconds, or "90s", "5m"; when None 45 seconds
            for tables and 150 for texts and images.
        seed: where all random numbers come from.
        progress: who watches.

    Raises:
        InputError: for a bundle, data or columns that cannot be used.
    """
    started = monotonic()
    settle_threads()
    from metier.road.trust.audit import (
        Asked,
        audit_bundle,
        refuse_pages,
        seconds_for,
        write_pages,
    )
    from metier.runtime.session import load
    from metier.search.clock import Clock, parse_budget

    seconds = seconds_for(load(bundle)) if budget is None else parse_budget(budget)
    asked = Asked(Path(bundle), data, tuple(as_words(sensitive)), seed, examples)
    if out is not None:
        refuse_pages(Path(out))
    found = audit_bundle(asked, progress or Silent(), Clock(seconds, started))
    if out is not None:
        write_pages(found, asked, Path(out))
    return found


def explain(
    bundle: str | Path,
    data: Any,
    *,
    rows: Sequence[int] | None = None,
    method: str = "auto",
    out: str | Path | None = None,
    train: Any = None,
    budget: str | float = "2m",
    seed: int = 0,
    progress: Progress | None = None,
) -> Explained:
    """Say what a bundle's answers come from, and how far to believe it.

    Args:
        bundle: a run folder; gradients, trees and the nearest training rows need its `weights/`.
        data: rows, with or without labels, in any form of `specialize`. Explanations are measured
            on them, so a few dozen say more than one.
        rows: numbers (0-based) of the rows to show; six of them, evenly spread, when None.
        method: "shap", "lime", "occlusion", "gradients", "trees", "terms", or "auto" for the one
            that is the most faithful on these data.
        out: a page to write; none when None.
        train: the rows that the bundle learned from, for the nearest of them; the file that the
            run remembers, when it is still there and the same, when None.
        budget: wall-clock for everything: seconds, or "90s", "5m".
        seed: where all random numbers come from.
        progress: who watches.

    Raises:
        InputError: for a bundle, data, rows or a method that cannot be used.
        MissingExtraError: for a method whose library is not installed.
    """
    started = monotonic()
    settle_threads()
    from metier.paths import refuse_folder
    from metier.road.trust.explain import Asked, explain_bundle, write_page
    from metier.search.clock import Clock, parse_budget

    if out is not None:
        refuse_folder(Path(out))
    clock = Clock(parse_budget(budget), started)
    asked = Asked(Path(bundle), data, rows, method, train, seed)
    found = explain_bundle(asked, progress or Silent(), clock)
    if out is not None:
        write_page(found, asked, Path(out))
    return found


def compare(a: str | Path, b: str | Path, data: Any) -> Compared:
    """Compare bundle B, which would replace A, with A on labelled rows that neither learned from.

    Raises OptionError when the two do not answer the same question.
    """
    from metier.road.bundles.compare import compare_bundles

    settle_threads()
    return compare_bundles(a, b, data)


def export(
    bundle: str | Path,
    format: str,
    out: str | Path | None = None,
    *,
    warn: Callable[[str], None] = lambda told: None,
) -> Path:
    """Write a bundle as "onnx", "transformers" or "web" into a new folder; return the folder.

    `warn` is told in one line what the other shape answers otherwise, where it does.

    Raises OptionError when the bundle has no such shape, saying why.
    """
    from metier.road.bundles.export import export_bundle

    return export_bundle(bundle, format, out, warn)


def label(
    bundle: str | Path,
    pool: Any,
    *,
    n: int = 50,
    by: str = "both",
    compare: Any = None,
    out: str | Path | None = None,
    seed: int = 0,
) -> Worth:
    """Name the rows of a pool that are worth a label next.

    Args:
        bundle: a run folder or its `specialist/`.
        pool: rows without labels; where only some have one, those are left out.
        n: how many rows.
        by: "margin" for those it is least sure of, "diversity" for those unlike each other, "both".
        compare: labelled rows on which choosing is played through against chance.
        out: a .csv or .parquet file for the chosen rows.
        seed: where all random numbers come from.

    Raises:
        InputError: for a bundle, rows or words that cannot be used.
    """
    from metier.evidence.unlabelled.labelling import check_by
    from metier.output import check_format, write
    from metier.road.label import worth_labels
    from metier.runtime.session import load

    way = check_by(by)
    if out is not None:
        check_format(Path(out))
    settle_threads()
    found = worth_labels(load(bundle), pool, n, way, seed, compare)
    if out is not None:
        write(found.frame, Path(out))
    return found


def _rows_of(
    data: Any, manifest: Manifest
) -> tuple[dict[str, Any], list[str] | None, tuple[str, ...]]:
    """Columns for predicting, the paths when rows are files, and what reading warned of."""
    from metier.data.known import Known
    from metier.data.read import read
    from metier.evidence.words import quoted
    from metier.runtime.rows import refuse_unknown

    inputs = manifest.columns
    wanted = [column.name for column in inputs]
    images = [column.name for column in inputs if column.kind == "image"]
    known = Known.of_bundle(manifest)
    raw = read(data, expect_images_of=images[0] if images else None, known=known)
    if not set(wanted) & set(raw.frame.columns):
        refuse_unknown(raw.frame.columns, inputs)
    columns = {name: raw.frame[name].to_list() for name in raw.frame.columns if name in wanted}
    paths: list[str] | None = None
    if raw.base is not None:
        for name in (name for name in images if name in columns):
            paths = ["" if path is None else str(path) for path in columns[name]]
            columns[name] = [str(raw.base / path) if path else None for path in paths]
    return columns, paths, (*raw.warnings, *map(quoted, raw.odd))
