"""The page of `metier audit`, for a person who signs off a model, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from metier.evidence.explanations.explained import Explained
from metier.evidence.fairness.served import Served
from metier.evidence.robustness.curves import Robustness
from metier.evidence.uncertainty.sureness import Sureness
from metier.evidence.words import sentence, whole
from metier.report import wording
from metier.report.card import as_markdown
from metier.report.document import Block, Document, Folded, Grid, Section, Told, Words
from metier.report.explanations.page import look_section
from metier.report.fairness import fairness_sections
from metier.report.robustness import robustness_sections
from metier.report.sureness import sureness_sections
from metier.runtime.manifest import Manifest
from metier.serving.drift import Drift
from metier.types import Finding

Level = Literal["good", "neutral", "bad"]
MOST_SHIFTS = 8
STATES: Mapping[Level, str] = {
    "good": "Nothing found that speaks against it",
    "neutral": "To be looked at before signing",
    "bad": "Speaks against signing",
}

HEADING = "# Audit of "
"""What an audit in words begins with, by which an earlier one is known again."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        bundle: the folder that was audited.
        digest: of the bundle.
        manifest: what the bundle says of itself.
        data: what the rows are called.
        n: the rows.
        score: every metric with its interval, the deciding one first.
        unseen: what in these rows the model was never shown.
        drift: these rows beside those of training; None where the bundle does not know those.
        sureness, served, robustness, explained: the parts; None for one that could not be.
        left_out: why a part could not be, by its name.
        rows: what was odd about the rows, and how often they were looked at.
        seconds: how long it took.
    """

    bundle: str
    digest: str
    manifest: Manifest
    data: str
    n: int
    score: tuple[Finding, ...]
    unseen: tuple[Finding, ...]
    drift: Drift | None
    sureness: Sureness | None
    served: Served | None
    robustness: Robustness | None
    explained: Explained | None
    left_out: Mapping[str, str]
    rows: tuple[Finding, ...]
    seconds: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All claims, as data, in the order of the page."""
        parts = (self.served, self.robustness, self.sureness, self.explained)
        own = (each for part in parts if part is not None for each in part.findings)
        return (*self.rows, *self.score, *own, *self.unseen)

    @property
    def worries(self) -> tuple[Finding, ...]:
        """The claims that speak against signing, problems first."""
        grave = [each for each in self.findings if each.level == "problem"]
        return (*grave, *(each for each in self.findings if each.level == "warning"))


def level_of(found: Audit) -> Level:
    """Return how grave the gravest finding is."""
    levels = {each.level for each in found.worries}
    return "bad" if "problem" in levels else "neutral" if levels or found.left_out else "good"


def audit_document(found: Audit, command: str, versions: Mapping[str, str]) -> Document:
    """Return the page: what to look at first, then each part with its figures."""
    level = level_of(found)
    return Document(
        kind="metier audit",
        name=f"{found.bundle} on {found.data}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        level=level,
        state=STATES[level],
        headline=_headline(found),
        basis=_basis(found),
        sections=audit_sections(found),
        command=command,
        versions=versions,
    )


def audit_sections(found: Audit) -> tuple[Section, ...]:
    """Return the parts of the page in the order in which they are to be read."""
    sections = [_first(found), _right(found)]
    if found.served is not None:
        sections += fairness_sections(found.served)
    if found.robustness is not None:
        sections += robustness_sections(found.robustness)
    if found.sureness is not None:
        sections += sureness_sections(found.sureness)
    if found.explained is not None:
        sections.append(look_section(found.explained))
    return (*sections, _never_shown(found), _origin(found))


def _headline(found: Audit) -> str:
    score = found.score[0]
    worries = found.worries
    right = sentence(score.verdict)
    if not worries:
        return f"{right} Nothing that was measured speaks against it."
    rest = f" {len(worries) - 1} more to look at." if len(worries) > 1 else ""
    return f"{right} First to look at: {_lowered(worries[0].verdict)}{rest}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _basis(found: Audit) -> str:
    return (
        f"Measured on {whole(found.n)} labelled rows of {found.data} in "
        f"{wording.duration(found.seconds)}; intervals are for 95 %. No row is on this page "
        "unless it was asked for. What was not measured is not vouched for."
    )


def _first(found: Audit) -> Section:
    blocks: list[Block] = []
    if found.worries:
        blocks.append(Told(found.worries))
    else:
        blocks.append(Words("No finding reached the level at which it would be put here."))
    if found.left_out:
        rows = tuple((name, reason) for name, reason in found.left_out.items())
        blocks.append(Grid("Not measured, and why", ("Part", "Reason"), rows))
    return Section("first", "What to look at first", tuple(blocks))


def _right(found: Audit) -> Section:
    overall = [each for each in found.score if "label" not in each.details]
    single = [each for each in found.score if "label" in each.details]
    blocks: list[Block] = [_grid("On these rows; the first decided", overall)]
    if single:
        blocks.append(Folded("Each class on its own", (_grid("By class", single),)))
    return Section("right", "How often it is right", tuple(blocks))


def _grid(caption: str, score: Sequence[Finding]) -> Grid:
    rows = tuple(
        (
            wording.title(each.name),
            wording.value_of(each),
            wording.interval_of(each),
            "" if each.n is None else whole(each.n),
        )
        for each in score
    )
    return Grid(caption, ("Measure", "Value", "95 % interval", "Rows"), rows, frozenset({1, 2, 3}))


def _never_shown(found: Audit) -> Section:
    blocks: list[Block] = [
        Words(
            "What these rows hold that training did not. An answer to such a row is a guess, "
            "however sure it sounds."
        )
    ]
    if found.unseen:
        blocks.append(Told(found.unseen))
    else:
        blocks.append(Words("No value beyond those of training, and no class without rows."))
    if found.drift is not None:
        blocks += _drift(found.drift)
    return Section("unseen", "What it was never shown", tuple(blocks))


def _drift(found: Drift) -> list[Block]:
    told = {
        "waiting": "Too few rows to compare with those of training.",
        "steady": "Taken together, these rows look like those of training.",
        "watch": "Taken together, these rows differ a little from those of training.",
        "alarm": "Taken together, these rows differ from those of training.",
    }[found.level]
    moved = [shift for shift in found.shifts if shift.level in ("watch", "alarm")][:MOST_SHIFTS]
    usual = _percent(found.unlike_usual)
    unlike = f"{_percent(found.unlike)} are unlike those of training, where {usual} are usual."
    rows = tuple(
        (
            each.signal,
            wording.number(each.index),
            each.bin,
            *map(_percent, (each.usual, each.recent)),
        )
        for each in moved
    )
    blocks: list[Block] = [Words(f"{told} {unlike}")]
    if rows:
        head = ("Signal", "Stability index", "Most changed", "At training", "Here")
        blocks.append(Grid("What changed most", head, rows, frozenset({1, 3, 4})))
    return blocks


def _origin(found: Audit) -> Section:
    rows = tuple(_provenance(found))
    target = ", ".join(map(str, found.manifest.facts.get("target", ()))) or "its target"
    use = Words(
        f"Made to predict {target} for rows of the kind and origin that it was trained on. Its "
        "weights come under the license of their source; none is claimed here."
    )
    where = Grid("Where it comes from", ("", ""), rows)
    return Section("origin", "Intended use and origin", (use, where))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _provenance(found: Audit) -> list[tuple[str, str]]:
    manifest = found.manifest
    steps = " > ".join(str(step["strategy"]) for step in manifest.lineage)
    proof: Any = manifest.facts.get("proof") or {}
    rows = [
        ("Digest", found.digest),
        ("Source", f"{manifest.source.get('name', 'none')} ({manifest.source.get('digest', '')})"),
        ("Made by", steps),
        ("Reads", ", ".join(f"{c.name} ({c.kind})" for c in manifest.columns)),
        ("Answers", ", ".join(manifest.decision.labels[:50]) or "a number"),
        ("Proven when it was made", str(proof.get("verdict", ""))),
        ("Libraries", ", ".join(f"{name} {v}" for name, v in manifest.versions.items())),
    ]
    return [(name, told) for name, told in rows if told]


def audit_words(found: Audit) -> str:
    """Return the audit in Markdown, to stand with the model card: words and numbers, no rows."""
    parts: list[str] = [
        f"{HEADING}{as_markdown(found.bundle)}",
        as_markdown(_headline(found)),
        as_markdown(_basis(found)),
        "## What to look at first",
        _list([each.verdict for each in found.worries]) or "Nothing.",
    ]
    if found.left_out:
        parts += ["## Not measured", _list([f"{k}: {why}" for k, why in found.left_out.items()])]
    chapters: list[tuple[str, Sequence[Finding]]] = [
        ("How often it is right", found.score),
        ("Who is served worse", _of_served(found.served)),
        ("How it breaks", () if found.robustness is None else found.robustness.findings),
        ("How sure it is", () if found.sureness is None else found.sureness.findings),
        ("What it looks at", () if found.explained is None else found.explained.findings),
        ("What it was never shown", found.unseen),
    ]
    for title, findings in chapters:
        if findings:
            parts += [f"## {title}", _list([sentence(each.verdict) for each in findings])]
    origin = [f"{name}: {told}" for name, told in _provenance(found)]
    return "\n\n".join([*parts, "## Intended use and origin", _list(origin)]) + "\n"


def _of_served(found: Served | None) -> Sequence[Finding]:
    return () if found is None else (*found.disparities, *found.proxies, *found.slices)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {as_markdown(line)}" for line in lines)
