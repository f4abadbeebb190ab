"""What makes specialists: one from a file, a smaller one, several at once, a new start."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from metier.api.given import as_list, as_words
from metier.api.watching import Silent
from metier.report.content import Entry, Report, to_json
from metier.threads import settle_threads

if TYPE_CHECKING:
    from metier.road.bundles.compress import Handed
    from metier.road.multitask.meta import Handed as Start
    from metier.road.multitask.several import Handed as Several
    from metier.road.options import Progress
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


def specialize(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    test: Any = None,
    out: str | Path | None = None,
    budget: str | float = "5m",
    trials: int | None = None,
    sources: str | Sequence[str] = (),
    strategies: str | Sequence[str] = (),
    task: str | None = None,
    metric: str | None = None,
    cost: str | None = None,
    group: str | None = None,
    time: str | None = None,
    sensitive: str | Sequence[str] = (),
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
        cost: what errors cost in a binary task, as "fn=5,fp=1": answers are then those that cost
            the least, and their mean cost decides unless a metric is named.
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
        sources=tuple(as_words(sources)),
        strategies=tuple(as_words(strategies)),
        task=task,
        metric=metric,
        cost=cost,
        group=group,
        time=time,
        sensitive=tuple(as_words(sensitive)),
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


def compress(
    bundle: str | Path,
    data: Any,
    *,
    out: str | Path | None = None,
    max_size: str | int | None = None,
    max_latency: str | float | None = None,
    max_loss: float | None = None,
    strategies: str | Sequence[str] = (),
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
    from metier.road.bundles.compress import Asked
    from metier.road.bundles.compress import compress as make_smaller
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
    tried = tuple(as_words(strategies))
    asked = Asked(Path(bundle), data, limits, tried, train, unlabeled, seed, command)
    return make_smaller(asked, folder, progress or Silent(), clock)


def multitask(
    data: Any,
    *,
    target: str | Sequence[str] = (),
    test: Any = (),
    metric: str | Sequence[str] = (),
    group: str | None = None,
    source: str | None = None,
    out: str | Path | None = None,
    budget: str | float = "5m",
    trials: int | None = None,
    seed: int = 0,
    resume: bool = False,
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
        metric: what decides: one for all tasks, or one for each; each task's own when empty.
        group: a column of every file; rows with the same value stay on one side of a split.
        source: the pretrained start: a name, directory, hub id or the folder of an earlier run.
        out: the folder of the result; `runs/NAME-tasks` when None.
        budget: wall-clock for everything: seconds, or "90s", "5m", "1h".
        trials: this many settings of both ways instead of a budget.
        seed: where all random numbers come from.
        resume: give what the run in `out` ended in; begin again what did not end.
        progress: who watches.

    Raises:
        InputError: for data, options or sources that cannot be used; nothing is left behind.
    """
    started = monotonic()
    settle_threads()
    from metier.road.multitask.several import Wanted, learn_several
    from metier.road.naming import run_folder, tasks_folder
    from metier.road.options import parse_effort
    from metier.search.clock import Clock

    files, tests = as_list(data), as_list(test)
    targets, metrics = as_words(target), as_words(metric)
    clock = Clock(parse_effort(budget, trials), started)
    folder = run_folder(files[0], out or tasks_folder(files[0], resume), resume=resume)
    options: dict[str, Any] = {
        "target": targets,
        "test": tests,
        "metric": metrics,
        "group": group,
        "source": source,
        "out": out,
        "trials": trials,
    }
    options["budget"], options["seed"] = None if trials else budget, seed or None
    command = _command("multitask", files, options)
    wanted = Wanted(files, targets, tests, metrics, group, source, trials, seed, command)
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
    resume: bool = False,
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
        resume: give what the run in `out` ended in.
        progress: who watches.

    Raises:
        InputError: for data, options or sources that cannot be used; nothing is left behind.
    """
    started = monotonic()
    settle_threads()
    from metier.evidence.episodes import Shape
    from metier.road.multitask.meta import Wanted, check_words, learn_meta
    from metier.road.naming import run_folder
    from metier.road.options import parse_effort
    from metier.search.clock import Clock
    from metier.training.multitask.meta import How

    how = How(check_words(method, ways, shots), Shape(ways, shots))
    how = how if steps is None else replace(how, steps=steps)
    files, targets = as_list(data), as_words(target)
    clock = Clock(parse_effort(budget, steps), started)
    folder = run_folder(files[0], out, resume=resume)
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
