"""What metier does, as functions: the command line and programs call the same ones."""

from __future__ import annotations

import contextlib
import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Literal

from metier.errors import DataError, MissingExtraError, SourceError
from metier.report.content import Entry, Report, to_json
from metier.threads import settle_threads

if TYPE_CHECKING:
    from metier.evidence.explained import Explained
    from metier.evidence.robustness import Robustness
    from metier.report.audit import Audit
    from metier.road.compare import Compared
    from metier.road.compress import Handed
    from metier.road.label import Worth
    from metier.road.meta import Handed as Start
    from metier.road.options import Progress
    from metier.road.several import Handed as Several
    from metier.runtime.session import Predictions
    from metier.search.shortlist import Ranking
    from metier.types import Finding


@dataclass(frozen=True)
class Result:
    """A run that ended.

    Args:
        folder: the run folder.
        report: all that was found.
        seconds: how long everything took, earlier sittings included.
    """

    folder: Path
    report: Report
    seconds: float

    @property
    def bundle(self) -> Path:
        """The folder that predicts: `metier.load(result.bundle)`."""
        return self.folder / "specialist"

    @property
    def page(self) -> Path:
        """The report for a person."""
        return self.folder / "report.html"

    def to_json(self) -> dict[str, Any]:
        """Return what `metier specialize --json` prints."""
        report = self.report
        chosen = report.chosen
        assert chosen is not None
        proof = report.headline
        return {
            "bundle": str(self.bundle),
            "report": str(self.page),
            "source": report.source,
            "strategy": report.strategy,
            "parameters": to_json(chosen.parameters),
            "task": report.task_kind,
            "metric": report.metric,
            "valid": _numbers(chosen),
            "test": None if proof is None else {**_numbers(proof), "rows": report.proof_on},
            "baselines": self._baselines(),
            "verdict": report.verdict,
            "seconds": round(self.seconds, 2),
            "digest": report.digest,
        }

    def _baselines(self) -> dict[str, Any]:
        """Every baseline on the rows of the proof, and on the rows that chose."""
        entries = {entry.name.rpartition("-")[0]: entry for entry in self.report.leaderboard}
        return {
            found.name: {**_numbers(found), "valid": _numbers(entries[found.name])}
            for found in self.report.baselines
        }


def _numbers(found: Entry | Finding) -> dict[str, Any]:
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}


class Silent:
    """Progress that nobody watches."""

    def stage(self, name: str) -> None: ...
    def trial(self, rung: str, parameters: Mapping[str, Any]) -> None: ...
    def best(self, name: str, value: float, low: float | None, high: float | None) -> None: ...
    def warn(self, text: str) -> None: ...
    def until(self, deadline: float | None) -> None: ...


def specialize(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    test: Any = None,
    out: str | Path | None = None,
    budget: str | float = "5m",
    trials: int | None = None,
    sources: Sequence[str] = (),
    strategies: Sequence[str] = (),
    task: str | None = None,
    metric: str | None = None,
    cost: str | None = None,
    group: str | None = None,
    time: str | None = None,
    sensitive: Sequence[str] = (),
    unlabeled: Any = None,
    domain: str | None = None,
    target_domain: str | None = None,
    prefer: Literal["best", "small"] = "best",
    refit: Literal["all", "none"] = "all",
    max_size: str | int | None = None,
    max_latency: str | float | None = None,
    max_loss: float | None = None,
    coverage: float | None = None,
    max_disparity: float | None = None,
    disparity: str | None = None,
    allow_group_thresholds: bool = False,
    sampler: str = "tpe",
    seed: int = 0,
    resume: bool = False,
    examples: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Make a specialist from labelled examples, and prove what it is worth.

    Args:
        data: a file, a folder of class folders of images, or a pandas or polars frame or
            `datasets.Dataset`.
        target: the column to predict; several 0/1 columns for a multi-label task. Found when it is
            called label, target or the like; `label` for a folder of class folders.
        test: rows for the proof, in any of the forms of `data`; without it a share is held out, or
            out-of-fold answers serve when rows are few.
        out: the run folder; `runs/NAME` when None.
        budget: wall-clock for everything: seconds, or "90s", "5m", "1h".
        trials: this many searched candidates instead of a budget: the same seed on the same
            machine then gives the same predictions.
        sources: pretrained starts to try: names, directories or hub ids.
        strategies: strategies to climb; the whole ladder when empty.
        task: binary, multiclass, multilabel or regression; inferred when None.
        metric: the metric that decides.
        cost: what errors cost in a binary task, as "fn=5,fp=1".
        group: column whose equal values stay on one side of every split.
        time: column to split by: earlier rows train, later ones judge.
        sensitive: columns by which it is measured who is served worse, and that are never learned
            from; `age:25,60` cuts a number, which is else cut at its quartiles.
        unlabeled: rows without labels, in any of the forms of `data`: of the same kind, or of the
            domain that the specialist is for.
        domain: the column that says which domain a row is of; "domain" when None.
        target_domain: the domain that the specialist is for. Labels of its rows are never learned
            from; without `test`, half of the rows that have one are kept for the proof.
        prefer: "small" takes the cheapest candidate that cannot be told from the best.
        refit: "all" fits the chosen recipe again on all rows, the held-out share included.
        max_size: what the whole bundle may have, as "12MB": the chosen recipe is then made smaller.
        max_latency: what one row may take on this machine, the median, as "3ms".
        max_loss: points of the metric that this may cost; 0.5 when None.
        coverage: how often sets of labels, or intervals, have to hold the truth where nothing else
            is asked at predict; 0.9 when None.
        max_disparity: how far groups of a sensitive column may lie apart, 0.05 for 5 points: the
            chosen recipe is then made fairer, at the least cost.
        disparity: what that limits: "parity" (answered positive) or "odds" (found where it is
            true, and in vain where it is not); "odds" when None.
        allow_group_thresholds: groups may be answered by thresholds of their own; the sensitive
            columns are then needed to predict.
        sampler: grid, random, tpe, gp or hyperband.
        seed: where all random numbers come from.
        resume: go on with what lies in `out`; start when nothing does.
        examples: show rows of the data in the report.
        progress: who watches.

    Raises:
        InputError: for data, options or sources that cannot be used; nothing is left behind.
    """
    started = monotonic()
    settle_threads()
    from metier.road.naming import command_of, run_folder
    from metier.road.options import Options, check_words, parse_effort
    from metier.road.travel import travel
    from metier.search.clock import Clock

    options = Options(
        target=target,
        test=test,
        budget=budget,
        trials=trials,
        sources=tuple(sources),
        strategies=tuple(strategies),
        task=task,
        metric=metric,
        cost=cost,
        group=group,
        time=time,
        sensitive=tuple(sensitive),
        unlabeled=unlabeled,
        domain=domain,
        target_domain=target_domain,
        prefer=prefer,
        refit=refit,
        sampler=sampler,
        seed=seed,
        examples=examples,
        max_size=max_size,
        max_latency=max_latency,
        max_loss=max_loss,
        coverage=coverage,
        max_disparity=max_disparity,
        disparity=disparity,
        allow_group_thresholds=allow_group_thresholds,
    )
    check_words(options)
    clock = Clock(parse_effort(budget, trials), started)
    folder = run_folder(data, out, resume)
    watch = progress or Silent()
    ended = travel(data, folder, options, command_of(data, options), watch, clock)
    return Result(folder, ended.report, ended.seconds)


def check(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    test: Any = None,
    task: str | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Look for what would spoil a result before any training; nothing is changed or written.

    Label errors are judged on the features of the default source where it can be had, and on plain
    counts otherwise.
    """
    from metier.threads import settle_threads

    settle_threads()
    from metier.cache import Cache
    from metier.data.checks import check as look
    from metier.road.intake import open_sources, read_data
    from metier.road.options import Options
    from metier.road.pace import features_of

    watch = progress or Silent()
    watch.stage("reading the data")
    found = read_data(data, Options(target=target, test=test, task=task))
    watch.stage("checking")
    features = None
    if found.table.roles.modality != "tabular":
        with contextlib.suppress(SourceError, MissingExtraError):
            source, cache = next(iter(open_sources(found.table, ()).values())), Cache()
            features = functools.partial(features_of, source, cache=cache)
    findings = look(found.table, found.task, test=found.test, features=features)
    return [*found.findings, *findings]


def rank(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    sources: Sequence[str] = (),
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
    opened = open_sources(found.table, sources)
    earlier, failed = earlier_runs(runs, found.table.roles.modality)
    watch.stage("looking at the sources")
    candidates = [*opened.values(), *earlier]
    for finding in met_before(candidates, [found.table]):
        watch.warn(finding.verdict)
    return score(found.table, found.task, candidates, Cache(), seed=seed, failed=failed)


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
    columns, paths, warnings = _rows_of(data, [c.name for c in loaded.manifest.columns])
    found = loaded.predict(columns, abstain=abstain, coverage=coverage, max_error=max_error)
    found = replace(found, warnings=(*warnings, *found.warnings))
    if target is not None:
        write(tabulate(found, paths), target)
    return found


def evaluate(bundle: str | Path, data: Any, *, sensitive: Sequence[str] = ()) -> list[Finding]:
    """Measure a bundle on labelled rows: every metric of its task with its interval.

    When these are the rows that its run was proven on, that is one more look at them: it is
    counted, and the finding `looks` says how many there were.

    With `sensitive` columns (`age:25,60` cuts a number), who is served worse follows: groups, how
    far they lie apart, what gives the group away, and regions that nobody named.
    """
    from metier.data.read import read
    from metier.evidence.metrics import scorecard
    from metier.road.fairly import serve_whom
    from metier.road.labelled import read_labelled
    from metier.road.looks import look
    from metier.road.sureness import measure_sureness
    from metier.runtime.session import load

    loaded, raw = load(bundle), read(data)
    rows = read_labelled(loaded, raw)
    served = serve_whom(loaded, rows, raw, sensitive).findings if sensitive else ()
    decision = loaded.manifest.decision.at(rows.columns())
    found = scorecard(rows.task, rows.truth, rows.scores(loaded), decision)
    measured = {finding.name for finding in found}
    sure = [f for f in measure_sureness(loaded, rows).findings if f.name not in measured]
    return [*rows.findings, *found, *sure, *served, *look(Path(bundle), raw.fingerprint)]


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
    from metier.data.read import read
    from metier.road.labelled import read_labelled
    from metier.road.robustness import measure_robustness
    from metier.runtime.session import load

    settle_threads()
    loaded = load(bundle)
    rows = read_labelled(loaded, read(data))
    return measure_robustness(loaded, rows, Path(bundle), seconds, seed, examples=examples)


def audit(
    bundle: str | Path,
    data: Any,
    *,
    sensitive: Sequence[str] = (),
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
        out: the page to write, with the same in words (`.md`) beside it; none when None.
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
    from metier.road.audit import Asked, audit_bundle, seconds_for, write_pages
    from metier.runtime.session import load
    from metier.search.clock import Clock, parse_budget

    seconds = seconds_for(load(bundle)) if budget is None else parse_budget(budget)
    asked = Asked(Path(bundle), data, tuple(sensitive), seed, examples)
    found = audit_bundle(asked, progress or Silent(), Clock(seconds, started))
    if out is not None:
        write_pages(found, asked, Path(out))
    return found


def export(bundle: str | Path, format: str, out: str | Path | None = None) -> Path:
    """Write a bundle as "onnx", "transformers" or "web" into a new folder; return the folder.

    Raises OptionError when the bundle has no such shape, saying why.
    """
    from metier.road.export import export_bundle

    return export_bundle(bundle, format, out)


def compare(a: str | Path, b: str | Path, data: Any) -> Compared:
    """Compare bundle B, which would replace A, with A on labelled rows that neither learned from.

    Raises OptionError when the two do not answer the same question.
    """
    from metier.road.compare import compare_bundles

    settle_threads()
    return compare_bundles(a, b, data)


def compress(
    bundle: str | Path,
    data: Any,
    *,
    out: str | Path | None = None,
    max_size: str | int | None = None,
    max_latency: str | float | None = None,
    max_loss: float | None = None,
    strategies: Sequence[str] = (),
    train: Any = None,
    unlabeled: Any = None,
    budget: str | float = "5m",
    seed: int = 0,
    progress: Progress | None = None,
) -> Handed:
    """Make a finished specialist smaller and faster, under limits that are measured here.

    Args:
        bundle: a run folder; with its `weights/` nets and boosters can be changed themselves, from
            a `specialist/` alone only the graph can.
        data: labelled rows that the specialist did not learn from, in any form of `specialize`.
        out: the folder of the result; the run folder's name with `-small` when None.
        max_size: of the whole `specialist/` folder: bytes, or "12MB".
        max_latency: for one row at a time, the median: seconds, or "3ms".
        max_loss: points of the deciding metric that may be lost; 0.5 when None.
        strategies: strategies that chains may be made of; all that fit when empty.
        train: labelled rows to learn from, such as those the specialist learned from; `data` then
            only judges. Without, half of `data` is learned from.
        unlabeled: further rows without labels, for distilling.
        budget: wall-clock for everything: seconds, or "90s", "5m", "1h".
        seed: where all random numbers come from.
        progress: who watches.

    Raises:
        InputError: for a bundle, data or limits that cannot be used; nothing is left behind.
    """
    started = monotonic()
    settle_threads()
    from metier.road.compress import Asked
    from metier.road.compress import compress as make_smaller
    from metier.road.naming import run_folder, small_folder
    from metier.search.clock import Clock, parse_budget
    from metier.search.front import limits_of

    limits = limits_of(max_size, max_latency, max_loss)
    clock = Clock(parse_budget(budget), started)
    folder = run_folder(Path(bundle), out or small_folder(Path(bundle)), resume=False)
    given = str(data) if isinstance(data, str | Path) else "DATA"
    more = {"train": train, "unlabeled": unlabeled, "max-size": max_size}
    more |= {"max-latency": max_latency, "max-loss": max_loss}
    words = ["metier", "compress", str(bundle), "--data", given]
    words += [word for k, v in more.items() if v is not None for word in (f"--{k}", str(v))]
    command = shlex.join(words)
    tried = tuple(strategies)
    asked = Asked(Path(bundle), data, limits, tried, train, unlabeled, seed, command)
    return make_smaller(asked, folder, progress or Silent(), clock)


def multitask(
    data: Any,
    *,
    target: str | Sequence[str] = (),
    test: Any = (),
    source: str | None = None,
    out: str | Path | None = None,
    budget: str | float = "5m",
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Several:
    """Learn several tasks at once: each by a network of its own, or by one that it shares.

    For each task the better way is chosen on rows that do not prove it, a tie going to the shared
    network, and a bundle is written to a folder of the task's name.

    Args:
        data: one file whose several `target` columns are the tasks, or a list of files, a task
            each; in any form of `specialize`.
        target: the columns of one file; of several files one for all, or one for each.
        test: rows for the proof, a file for each of `data`; a fifth of the rows when empty.
        source: the pretrained start: a name, directory, hub id or the folder of an earlier run.
        out: the folder of the result; `runs/NAME-tasks` when None.
        budget: wall-clock for everything: seconds, or "90s", "5m", "1h".
        trials: this many settings of both ways instead of a budget.
        seed: where all random numbers come from.
        progress: who watches.

    Raises:
        InputError: for data, options or sources that cannot be used; nothing is left behind.
    """
    started = monotonic()
    settle_threads()
    from metier.road.naming import run_folder, tasks_folder
    from metier.road.options import parse_effort
    from metier.road.several import Wanted, learn_several
    from metier.search.clock import Clock

    files, tests = _listed(data), _listed(test)
    targets = [target] if isinstance(target, str) else list(target)
    clock = Clock(parse_effort(budget, trials), started)
    folder = run_folder(files[0], out or tasks_folder(files[0]), resume=False)
    options: dict[str, Any] = {
        "target": targets,
        "test": tests,
        "source": source,
        "out": out,
        "trials": trials,
    }
    options["budget"], options["seed"] = None if trials else budget, seed or None
    command = _command("multitask", files, options)
    wanted = Wanted(files, targets, tests, source, trials, seed, command)
    return learn_several(wanted, folder, progress or Silent(), clock)


def meta(
    data: Any,
    *,
    out: str | Path,
    target: str | Sequence[str] = (),
    ways: int = 5,
    shots: int = 5,
    method: str = "prototypical",
    source: str | None = None,
    budget: str | float = "5m",
    steps: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Start:
    """Learn a start that adapts from few rows, out of several small tasks; the result is a source.

    Tasks are drawn as episodes from the classes of the data. Part of the classes is kept, and the
    new start is compared with the old one on episodes of those, by the nearest class mean.

    Args:
        data: a file, or several, each with classes, in any form of `specialize`.
        out: the folder of the new source: name it as `sources` wherever one is named.
        target: the column of the classes; of several files one for all, or one for each.
        ways: classes of an episode.
        shots: rows of each class that are known.
        method: "prototypical", "reptile" or "fomaml".
        source: where it begins: a name, directory, hub id or the folder of an earlier run.
        budget: wall-clock for everything: seconds, or "90s", "5m", "1h".
        steps: this many episodes, and as long as that takes; 200 within the budget when None.
        seed: where all random numbers come from, the division of the classes included.
        progress: who watches.

    Raises:
        InputError: for data, options or sources that cannot be used; nothing is left behind.
    """
    started = monotonic()
    settle_threads()
    from metier.evidence.episodes import Shape
    from metier.road.meta import Wanted, check_words, learn_meta
    from metier.road.naming import run_folder
    from metier.road.options import parse_effort
    from metier.search.clock import Clock
    from metier.training.meta import How

    how = How(check_words(method, ways, shots), Shape(ways, shots))
    how = how if steps is None else replace(how, steps=steps)
    files = _listed(data)
    targets = [target] if isinstance(target, str) else list(target)
    clock = Clock(parse_effort(budget, steps), started)
    folder = run_folder(files[0], out, resume=False)
    options: dict[str, Any] = {"target": targets, "out": str(out), "method": method}
    options |= {
        "ways": ways,
        "shots": shots,
        "source": source,
        "steps": steps,
        "seed": seed or None,
    }
    command = _command("meta", files, options)
    wanted = Wanted(files, targets, source, how, seed, command)
    return learn_meta(wanted, folder, progress or Silent(), clock)


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
    from metier.road.explain import Asked, explain_bundle, write_page
    from metier.search.clock import Clock, parse_budget

    clock = Clock(parse_budget(budget), started)
    asked = Asked(Path(bundle), data, rows, method, train, seed)
    found = explain_bundle(asked, progress or Silent(), clock)
    if out is not None:
        write_page(found, asked, Path(out))
    return found


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
    from metier.evidence.labelling import check_by
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


def sources() -> list[dict[str, Any]]:
    """The sources that are tried when none is named, and whether they can be had here."""
    from metier.sources import open_source
    from metier.sources.defaults import DEFAULTS

    rows = []
    for modality, names in DEFAULTS.items():
        for i, name in enumerate(names):
            try:
                open_source(name, modality)
                state = "ready"
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
                "about": (kind.__doc__ or "").strip().splitlines()[0],
                "for": ", ".join(kind.modalities),
                "takes": ", ".join(kind.accepts),
                "gives": kind.gives,
                "parameters": ", ".join(f"{k}={_plain(v)}" for k, v in parameters.items()),
            }
        )
    return rows


def _listed(data: Any) -> list[Any]:
    """Data that may be one file or several, as a list."""
    return list(data) if isinstance(data, list | tuple) else [data]


def _command(name: str, files: Sequence[Any], options: Mapping[str, Any]) -> str:
    """The command line that would do the same; options that are None or empty are left out."""
    words = ["metier", name]
    words += [str(each) if isinstance(each, str | Path) else "DATA" for each in files]
    for option, given in options.items():
        for each in given if isinstance(given, list) else [given]:
            if each is not None:
                told = str(each) if isinstance(each, str | Path | int | float) else "TEST"
                words += [f"--{option}", told]
    return shlex.join(words)


def _plain(value: Any) -> str:
    return type(value).__name__.lower() if callable(value) else str(value)


def _rows_of(
    data: Any, wanted: Sequence[str]
) -> tuple[dict[str, Any], list[str] | None, tuple[str, ...]]:
    """Columns for predicting, the paths when rows are files, and what reading warned of."""
    from metier.data.read import read

    raw = read(data, expect_images_of=wanted[0] if wanted else None)
    columns = {name: raw.frame[name].to_list() for name in raw.frame.columns if name in wanted}
    paths: list[str] | None = None
    if raw.base is not None:
        for name, values in columns.items():
            if all(v is None or (isinstance(v, str) and (raw.base / v).exists()) for v in values):
                paths = ["" if v is None else v for v in values]
                columns[name] = [None if v is None else str(raw.base / v) for v in values]
    return columns, paths, raw.warnings
