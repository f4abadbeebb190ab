"""The page and the card of `metier meta`: does the learned start carry further than the old one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from metier.evidence.episodes import Carried, Shape
from metier.evidence.words import percent, points, whole
from metier.report import wording
from metier.report.card import as_markdown
from metier.report.document import Document, Figures, Grid, Section, Words
from metier.report.forest import Line, forest
from metier.types import Finding

ABOUT = {
    "prototypical": "prototypical networks (Snell et al., 2017)",
    "reptile": "Reptile (Nichol et al., 2018)",
    "fomaml": "first-order MAML (Finn et al., 2017)",
}


@dataclass(frozen=True)
class Started:
    """A start that was learned, and what it is worth on classes that it never saw.

    Args:
        name: of the folder.
        source: where it began, with `digest`.
        origin: of an earlier run that it began from; empty for another source.
        method: how it learned.
        shape: of the episodes that judge.
        learned: classes learned from, by task.
        held: classes kept for judging, by task.
        carried: accuracies on episodes of those, before and after.
        steps: episodes learned from.
        seed: where random numbers began.
        created, command, versions, seconds: how it came to be.
    """

    name: str
    source: str
    digest: str
    origin: Mapping[str, object]
    method: str
    shape: Shape
    learned: Mapping[str, tuple[str, ...]]
    held: Mapping[str, tuple[str, ...]]
    carried: Carried
    steps: int
    seed: int
    created: str
    command: str
    versions: Mapping[str, str]
    seconds: float

    @property
    def helps(self) -> bool:
        """Whether it is better than where it began, beyond the draw of the episodes."""
        return self.carried.verdict == "better"

    @property
    def headline(self) -> str:
        """The one sentence to take away."""
        c = self.carried
        gap = f"{_points(c.difference)} points ({_points(c.low)} to {_points(c.high)})"
        if self.helps:
            return f"The learned start helps on classes that it never saw: {gap}."
        told = "is worse than" if c.verdict == "worse" else "is no better than"
        return f"The learned start {told} the untouched source: {gap}. Prefer that one."

    @property
    def verdict(self) -> str:
        """The same with all that is behind it."""
        c = self.carried
        shape = f"{self.shape.ways}-way {self.shape.shots}-shot"
        gap = f"{_points(c.difference)} points ({_points(c.low)} to {_points(c.high)})"
        on = (
            f"{shape} accuracy {percent(c.after)} % by the nearest class mean, {percent(c.before)} "
            f"% from {self.source} untouched: {gap} on {whole(c.n)} episodes of "
            f"{sum(map(len, self.held.values()))} classes that it never saw"
        )
        if self.helps:
            return f"The learned start helps: {on}."
        told = "is worse than" if c.verdict == "worse" else "does not help beyond"
        return f"The learned start {told} the untouched source, which is to be preferred: {on}."

    @property
    def finding(self) -> Finding:
        """The claim, as data."""
        c = self.carried
        details = {"before": c.before, "after": c.after, "p": c.p, "unit": "points"}
        value, low, high = (100 * v for v in (c.difference, c.low, c.high))
        level: Literal["info", "warning"] = "info" if self.helps else "warning"
        return Finding("meta", self.verdict, value, low, high, c.n, level, details=details)


def started_from_json(data: Mapping[str, Any]) -> Started:
    """Build it again from what `report.content.to_json` makes of it."""
    classes = {
        name: {file: tuple(own) for file, own in data[name].items()} for name in ("learned", "held")
    }
    rebuilt = {"shape": Shape(**data["shape"]), "carried": Carried(**data["carried"])}
    return Started(**{**data, **classes, **rebuilt})


def meta_document(found: Started) -> Document:
    """Return the page."""
    return Document(
        kind="metier meta",
        name=found.name,
        created=found.created,
        level="good" if found.helps else "neutral",
        state="It helps" if found.helps else "It does not help",
        headline=found.headline,
        basis=(
            "Judged on the same episodes for both, drawn from classes that were not learned from. "
            "Intervals are for 95 % and over episodes: classes of another kind may do otherwise."
        ),
        sections=(_accuracy(found), _classes(found), _made(found)),
        command=found.command,
        versions=found.versions,
    )


def _accuracy(found: Started) -> Section:
    c = found.carried
    both = (
        (f"{found.source}, untouched", c.before, c.before_low, c.before_high),
        ("The learned start", c.after, c.after_low, c.after_high),
    )
    rows = tuple(
        (name, f"{percent(v)} %", f"{percent(a)} to {percent(b)}") for name, v, a, b in both
    )
    lines = [Line(name, 100 * v, 100 * a, 100 * b) for name, v, a, b in both]
    caption = f"{found.shape.ways}-way {found.shape.shots}-shot, nearest class mean"
    drawn = (forest(lines, "% right"), "Mean accuracy of the episodes, with 95 % intervals")
    grid = Grid(caption, ("Start", "Right", "95 % interval"), rows, frozenset({1, 2}))
    return Section("accuracy", "On classes that it never saw", (grid, Figures((drawn,))))


def _classes(found: Started) -> Section:
    rows = tuple(
        (name, ", ".join(found.learned.get(name, ())), ", ".join(found.held.get(name, ())))
        for name in {**found.learned, **found.held}
    )
    head = ("Data", "Learned from", "Judged by")
    return Section("classes", "The classes", (Grid("Divided by the seed alone", head, rows),))


def _made(found: Started) -> Section:
    words = (
        f"Learned by {ABOUT[found.method]}: {found.steps} episodes, in "
        f"{wording.duration(found.seconds)}, from {found.source} ({found.digest}). Use it "
        f"wherever a source is named: --source {found.name}."
    )
    return Section("made", "How it was made", (Words(words),))


def start_card(found: Started) -> str:
    """Return the README of the new source: what it is, where it comes from, what it is worth."""
    lines = [
        f"# {as_markdown(found.name)}",
        as_markdown(
            f"A start for few labels, learned from episodes by {ABOUT[found.method]}; "
            f"{found.steps} episodes, seed {found.seed}."
        ),
        as_markdown(found.verdict),
        "## Lineage",
        "\n".join(
            f"- {as_markdown(line)}"
            for line in (
                f"from {found.source}, SHA-256 {found.digest}",
                *(f"{name}: {told}" for name, told in found.origin.items() if told),
                *(f"classes of {name}: {', '.join(own)}" for name, own in found.learned.items()),
                f"made by {found.command}",
            )
        ),
        "Its weights come under the license of the source that it began from.",
    ]
    return "\n\n".join(lines) + "\n"


def _points(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{points(value)}"
