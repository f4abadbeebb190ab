"""What the page, the card and the terminal are made from: plain values, nothing of torch.

The api fills one `Report`; the renderers only read it. Everything is JSON when it is written with
`to_json`, so that a finished run can print the same answer again.

Conventions that the renderers rely on:

- A `Finding` may say the unit of its value in ``details["unit"]``: ``bytes``, ``seconds``,
  ``count``, ``points``, ``percent``, ``per second``; any other word is printed after the number.
- In `Report.comparisons` a value is the gain of the specialist over what the name says, in the
  metric's own unit, **positive is better**, whichever way the metric points.
- Findings quote rows only in ``details["examples"]`` (a list of strings), never in the verdict:
  that is what a report without examples leaves out.
- Row numbers are 0-based, in the file that the user gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from metier.evidence.fairness.rates import Group
from metier.evidence.fairness.served import Served
from metier.evidence.morelabels import Learned, MoreLabels
from metier.evidence.uncertainty.sureness import Sureness, sureness_from_json
from metier.evidence.unlabelled.shift import Shift, shift_from_json
from metier.runtime.postprocess import TaskKind
from metier.search.front import Compression, Limits, Shrunk, Side
from metier.search.tradeoff import Fairness, Point, Tradeoff
from metier.types import Finding, Modality, Step

State = Literal["chosen", "tried", "baseline", "failed", "cut"]
Level = Literal["good", "neutral", "bad"]


@dataclass(frozen=True)
class Entry:
    """One line of the leaderboard, on the rows that the selection used.

    `value` with `low` and `high` is the deciding metric; None for what never got one.
    `tied` marks what a paired comparison on shared rows cannot tell from the chosen one.
    `bytes` is the size of the finished model, where it was written or can be told.
    """

    name: str
    strategy: str
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seconds: float = 0.0
    bytes: int | None = None
    state: State = "tried"
    note: str = ""
    tied: bool = False


@dataclass(frozen=True)
class Curve:
    """A learning curve: two series over the same steps; either may be empty.

    `measure` names what is on the vertical axis (``loss``, ``accuracy``).
    """

    name: str
    steps: tuple[float, ...]
    train: tuple[float, ...] = ()
    valid: tuple[float, ...] = ()
    measure: str = "loss"


@dataclass(frozen=True)
class Confusion:
    """Counts of truth (rows) against answer (columns), both in the order of `labels`."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Scatter:
    """Truth and prediction of regression rows, in the target's own unit."""

    truth: tuple[float, ...]
    prediction: tuple[float, ...]


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: mean confidence, share right, and how many rows."""

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True)
class Mistake:
    """A row that the specialist got wrong, most confident first.

    `inputs` maps a column to its value as text, or to a ``data:image/...`` URI of a thumbnail.
    `probability` is that of the wrong answer; None for regression.
    """

    row: int
    inputs: Mapping[str, str]
    truth: str
    answer: str
    probability: float | None = None


@dataclass(frozen=True)
class Report:
    """One run, told to a person. The order of the fields is the order of the page.

    Args:
        name: the name of the run.
        created: when it ended, ISO 8601.
        verdict: the one sentence that matters, in plain words and with its interval.
        verdict_level: green, amber or red.
        metric: the deciding metric; the finding of that name in `proof` is the headline.
        command: the command line that made this run, as the user could type it again.
        proof: every metric with its interval, on the rows that `proof_on` names.
        proof_on: one sentence: which rows, and whether the recipe was refitted afterwards.
        baselines: the deciding metric of each baseline on the same rows, by registered name.
        looks: how many times the rows of the proof were looked at.
        digest: what ``metier load --expect`` takes.
        higher_is_better: the direction of `metric`.
        bundle: the folder of the specialist, as the user would type it.
        inputs: input columns and their kinds.
        rows: how many rows played which part, such as ``{"train": 480, "test": 120}``.
        label_counts: how many rows a label has, in the training data.
        leaderboard_on: one sentence: which rows the leaderboard was measured on.
        confidence: the coverage that the intervals were made for.
        compression: what was tried to meet limits of size or latency; None when there were none.
        sureness: how sure it is and with what right, on the rows of the proof.
        tradeoff: what was tried to keep groups together; None when there was no limit.
        fairness: who is served worse on the rows of the proof; None when no column was named.
        more: whether more labels would help; None when there was no time to find out.
        shift: how unlike the rows without labels are; None when there were none.
    """

    name: str
    created: str
    verdict: str
    verdict_level: Level
    task_kind: TaskKind
    target: str
    labels: tuple[str, ...]
    metric: str
    source: str
    strategy: str
    modality: Modality
    command: str
    leaderboard: tuple[Entry, ...] = ()
    proof: tuple[Finding, ...] = ()
    proof_on: str = ""
    baselines: tuple[Finding, ...] = ()
    comparisons: tuple[Finding, ...] = ()
    curves: tuple[Curve, ...] = ()
    confusion: Confusion | None = None
    scatter: Scatter | None = None
    reliability: tuple[Bin, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    data_findings: tuple[Finding, ...] = ()
    cost: tuple[Finding, ...] = ()
    lineage: tuple[Step, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    looks: int = 1
    digest: str = ""
    notes: tuple[str, ...] = ()
    higher_is_better: bool = True
    bundle: str = "specialist"
    inputs: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    label_counts: Mapping[str, int] = field(default_factory=dict)
    leaderboard_on: str = ""
    confidence: float = 0.95
    compression: Compression | None = None
    sureness: Sureness | None = None
    fairness: Served | None = None
    tradeoff: Tradeoff | None = None
    more: MoreLabels | None = None
    shift: Shift | None = None

    @property
    def headline(self) -> Finding | None:
        """The deciding metric as it was proven, if it was."""
        return next((found for found in self.proof if found.name == self.metric), None)

    @property
    def chosen(self) -> Entry | None:
        """The line of the leaderboard that the user gets."""
        return next((entry for entry in self.leaderboard if entry.state == "chosen"), None)


def ranked(report: Report) -> tuple[Entry, ...]:
    """Return the leaderboard from best to worst; what has no value comes last, in its order."""
    sign = -1.0 if report.higher_is_better else 1.0

    def place(entry: Entry) -> tuple[bool, float, bool]:
        value = 0.0 if entry.value is None else sign * entry.value
        return entry.value is None, value, entry.state != "chosen"

    return tuple(sorted(report.leaderboard, key=place))


def to_json(value: Any) -> Any:
    """Turn a report, or any part of one, into what `json.dumps` writes; not-a-number becomes None.

    >>> to_json(Bin(confidence=0.9, accuracy=float("nan"), n=3))
    {'confidence': 0.9, 'accuracy': None, 'n': 3}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(each) for each in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def from_json(data: Mapping[str, Any]) -> Report:
    """Build a report again from `to_json(report)`."""
    plain = dict(data)
    for name, kind in _PARTS.items():
        plain[name] = tuple(_build(kind, each) for each in plain.get(name, ()))
    for name, whole in (("confusion", Confusion), ("scatter", Scatter)):
        plain[name] = None if plain.get(name) is None else _build(whole, plain[name])
    if plain.get("compression") is not None:
        plain["compression"] = compression_from_json(plain["compression"])
    if plain.get("sureness") is not None:
        plain["sureness"] = sureness_from_json(plain["sureness"])
    if plain.get("fairness") is not None:
        plain["fairness"] = served_from_json(plain["fairness"])
    if plain.get("tradeoff") is not None:
        plain["tradeoff"] = tradeoff_from_json(plain["tradeoff"])
    if plain.get("shift") is not None:
        plain["shift"] = shift_from_json(plain["shift"])
    if plain.get("more") is not None:
        plain["more"] = more_from_json(plain["more"])
    return Report(**{name: _frozen(value) for name, value in plain.items()})


def served_from_json(data: Mapping[str, Any]) -> Served:
    """Build who is served worse again from its `to_json`."""

    def group(each: Mapping[str, Any]) -> Group:
        return Group(**{**each, "measures": tuple(_build(Finding, m) for m in each["measures"])})

    parts: dict[str, Any] = {
        **{name: tuple(group(each) for each in data[name]) for name in ("groups", "crossed")},
        **{
            name: tuple(_build(Finding, each) for each in data[name])
            for name in ("disparities", "proxies", "slices")
        },
        **{name: tuple(data[name]) for name in ("columns", "notes")},
    }
    return Served(**{**data, **parts})


def more_from_json(data: Mapping[str, Any]) -> MoreLabels:
    """Build what more labels would bring again from its `to_json`."""
    rebuilt = {
        "points": tuple(Learned(**each) for each in data["points"]),
        "gains": tuple(_build(Finding, each) for each in data["gains"]),
        "last": _build(Finding, data["last"]),
    }
    return MoreLabels(**{**data, **rebuilt})


def tradeoff_from_json(data: Mapping[str, Any]) -> Tradeoff:
    """Build what was tried to keep groups together again from its `to_json`."""
    proof = None if data.get("proof") is None else _build(Finding, data["proof"])
    rebuilt = {
        "asked": Fairness(**data["asked"]),
        "points": tuple(Point(**each) for each in data["points"]),
        "proof": proof,
    }
    return Tradeoff(**{**data, **rebuilt})


def compression_from_json(data: Mapping[str, Any]) -> Compression:
    """Build what was tried to meet limits again from its `to_json`."""

    def side(found: Mapping[str, Any] | None) -> Side | None:
        return None if found is None else Side(**found)

    tried = tuple(Shrunk(**{**each, "side": side(each["side"])}) for each in data["tried"])
    rebuilt = {"limits": Limits(**data["limits"]), "parent": Side(**data["parent"])}
    return Compression(**{**data, **rebuilt, "tried": tried})


_PARTS: dict[str, type] = {
    "leaderboard": Entry,
    "proof": Finding,
    "baselines": Finding,
    "comparisons": Finding,
    "curves": Curve,
    "reliability": Bin,
    "mistakes": Mistake,
    "data_findings": Finding,
    "cost": Finding,
    "lineage": Step,
}


def _build(kind: type, data: Mapping[str, Any]) -> Any:
    gap = float("nan") if kind in (Curve, Bin, Scatter) else None
    return kind(**{name: _frozen(value, gap) for name, value in data.items()})


def _frozen(value: Any, gap: float | None = None) -> Any:
    """Lists as tuples, all the way down, `gap` for None; mappings stay as they are."""
    if isinstance(value, list | tuple):
        return tuple(_frozen(each, gap) for each in value)
    return gap if value is None else value
