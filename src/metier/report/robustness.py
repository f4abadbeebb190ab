"""How robust a model is, told to a person: curves of damage, a table of attacks."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from markupsafe import Markup, escape

from metier.evidence.catalogue import METRICS
from metier.evidence.compare import Comparison
from metier.evidence.robustness.curves import Assault, Broken, Curve, Robustness
from metier.evidence.words import points, whole
from metier.report.document import Block, Cell, Figures, Folded, Grid, Section, Told, Words
from metier.report.plots import HEIGHT, WIDTH, Axis, Panel, axis_over, frame
from metier.report.svg import hover, picture, tag
from metier.report.wording import MISSING, number
from metier.types import Finding

SEVERITIES = Axis(0.0, 5.0, (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
SURE = 0.05


def robustness_sections(found: Robustness) -> tuple[Section, ...]:
    """Return what a page says of a model's robustness: damage first, then attacks, where any was
    made."""
    sections = [Section("robustness", "What damaged inputs cost", tuple(_natural(found)))]
    if found.assaults or found.notes:
        sections.append(Section("attacks", "What an attack can do", tuple(_attacks(found))))
    return tuple(sections)


def score_lines(found: Robustness) -> list[dict[str, str]]:
    """Return one line a kind of damage and one an attack, for the terminal."""
    lines = [{"input": "as it is", "score": f"{_shown(found.clean, found.metric)} {found.metric}"}]
    for curve in found.curves:
        own = [_shown(dose.score, found.metric) for dose in curve.doses]
        lines.append({"input": f"{curve.name}, slight to severe", "score": ", ".join(own)})
    for each in found.assaults:
        told = f"{_shown(each.score, found.attacked)} ({_between(each.score, found.attacked)})"
        lines.append({"input": each.name, "score": f"{told} {found.attacked}"})
    return lines


def _natural(found: Robustness) -> list[Block]:
    metric = METRICS[found.metric]
    n = whole(found.clean.n or 0)
    said = (
        f"The same {n} rows, damaged in ways that happen by themselves, from slight (1) to severe "
        f"(5). The line is {metric.title}, the whiskers its 95 % interval, and the dashed line is "
        f"the score of the rows as they are: {_shown(found.clean, found.metric)}."
    )
    if not found.curves:
        return [Words("No kind of damage is known for these inputs.")]
    drawn = tuple((_curve(each, found), _caption(each, found)) for each in found.curves)
    return [Words(said), Figures(drawn), Folded("All scores", (_doses(found),))]


def _caption(curve: Curve, found: Robustness) -> str:
    """What the curve comes to, in one line."""
    real = [d for d in curve.doses if d.p_adjusted < SURE and d.change.difference < 0]
    title = curve.name[:1].upper() + curve.name[1:]
    if not real:
        return f"{title}: no loss that can be told from chance"
    first, last = real[0], curve.doses[-1]
    return f"{title}: falls from severity {first.severity} on; {_lost(last.change)} at the last"


def _curve(curve: Curve, found: Robustness) -> Markup:
    """Draw the score over the severities; 0 is the rows as they are."""
    ends = [v for d in curve.doses for v in (d.score.value, d.score.low, d.score.high)]
    panel = Panel(SEVERITIES, _up(found, ends), HEIGHT)
    metric = METRICS[found.metric]
    parts = frame(panel, "severity", metric.title)
    clean = found.clean.value
    if clean is not None:
        (x0, y), (x1, _) = panel.at(0, clean), panel.at(5, clean)
        parts.append(tag("line", cls="ideal", x1=x0, x2=x1, y1=y, y2=y))
    known = [d for d in curve.doses if d.score.value is not None]
    spots = [panel.at(d.severity, d.score.value or 0.0) for d in known]
    if clean is not None:
        spots = [panel.at(0, clean), *spots]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    parts.append(tag("polyline", cls="line valid", points=path))
    for dose in known:
        x, y = panel.at(dose.severity, dose.score.value or 0.0)
        if dose.score.low is not None and dose.score.high is not None:
            (_, low), (_, high) = (panel.at(0, v) for v in (dose.score.low, dose.score.high))
            parts.append(tag("line", cls="whisker thin", x1=x, x2=x, y1=low, y2=high))
        note = hover(f"{dose.told}: {_shown(dose.score, found.metric)}")
        parts.append(tag("circle", cls="knot valid", body=note, cx=x, cy=y, r=3.2))
    spoken = "; ".join(f"severity {d.severity} {_shown(d.score, found.metric)}" for d in known)
    return picture(WIDTH, HEIGHT, parts, f"{curve.name}: {spoken}")


def _up(found: Robustness, ends: Sequence[float | None]) -> Axis:
    """One scale for all curves, so that they can be compared at a glance."""
    every = [
        v
        for curve in found.curves
        for d in curve.doses
        for v in (d.score.value, d.score.low, d.score.high)
    ]
    clean = found.clean
    return axis_over((*every, *ends, clean.value, clean.low, clean.high))


def _doses(found: Robustness) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for curve in found.curves:
        for dose in curve.doses:
            rows.append(
                (
                    f"{curve.name} {dose.severity}",
                    dose.told,
                    _shown(dose.score, found.metric),
                    _between(dose.score, found.metric),
                    _change(dose.change),
                    _sure(dose.p_adjusted),
                )
            )
    return Grid(
        "Every kind and severity against the same rows as they are; p adjusted for being several "
        "(Holm)",
        ("damage", "strength", METRICS[found.metric].title, "95 % interval", "change", "p"),
        tuple(rows),
        frozenset({2, 3, 4, 5}),
    )


def _attacks(found: Robustness) -> list[Block]:
    blocks: list[Block] = []
    if found.assaults:
        metric = METRICS[found.attacked]
        n = found.assaults[0].change.n
        clean = MISSING if found.untouched is None else _shown(found.untouched, found.attacked)
        blocks.append(
            Words(
                f"Inputs changed on purpose, as little as each line says, until the answer is "
                f"wrong. On the same {whole(n)} rows as they are, {metric.title} is {clean}. What "
                "an attack breaks is broken for certain; what it does not, another one may."
            )
        )
        blocks.append(_assaults(found))
    if any(each.family == "words" for each in found.assaults):
        blocks.append(
            Words(
                "Neighbours in a table of embeddings need not mean the same; some substitutions "
                "change what a text says, so the score is lower than a reader would give."
            )
        )
    if found.signs:
        blocks.append(Told(found.signs))
    blocks += [Words(note) for note in found.notes]
    if found.examples:
        blocks.append(Folded("Inputs that were broken", (_examples(found.examples),)))
    return blocks


def _assaults(found: Robustness) -> Grid:
    rows: list[tuple[Cell, ...]] = [_line(each, found.attacked) for each in found.assaults]
    return Grid(
        "Each attack on the same rows; p adjusted for being several (Holm)",
        ("attack", METRICS[found.attacked].title, "95 % interval", "change", "p"),
        tuple(rows),
        frozenset({1, 2, 3, 4}),
    )


def _line(each: Assault, metric: str) -> tuple[Cell, ...]:
    about = f"sees {each.sees}: {each.about}"
    return (
        Markup("{}<small>{}</small>").format(each.name, about),
        _shown(each.score, metric),
        _between(each.score, metric),
        _change(each.change),
        _sure(each.p_adjusted),
    )


def _examples(examples: Sequence[Broken]) -> Grid:
    rows: list[tuple[Cell, ...]] = [
        (f"row {each.row}", *_before_and_after(each), each.truth, each.answered)
        for each in examples
    ]
    head = ("row", "before", "after", "truth", "answer after")
    return Grid("Right before the attack, wrong after it", head, tuple(rows))


def _before_and_after(each: Broken) -> tuple[Cell, Cell]:
    if each.pictures is not None:
        before, after = each.pictures
        return _image(before, "before"), _image(after, "after")
    return each.before, _marked(each.before, each.after)


def _image(content: bytes, spoken: str) -> Markup:
    data = base64.b64encode(content).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}" width="128">').format(data, spoken)


def _marked(before: str, after: str) -> Markup:
    """The text after the attack, what was replaced in bold."""
    old, new = before.split(" "), after.split(" ")
    if len(old) != len(new):
        return Markup(escape(after))
    return Markup(" ").join(
        Markup("<strong>{}</strong>").format(b) if a != b else escape(b)
        for a, b in zip(old, new, strict=True)
    )


def _shown(score: Finding, metric: str) -> str:
    return MISSING if score.value is None else METRICS[metric].show(score.value)


def _between(score: Finding, metric: str) -> str:
    if score.low is None or score.high is None:
        return MISSING
    show = METRICS[metric].show
    return f"{show(score.low).removesuffix(' %')} to {show(score.high)}"


def _change(change: Comparison) -> str:
    """The change in the metric's own unit; below 0 is worse, whichever way the metric points."""
    if METRICS[change.metric].share:
        return f"{100 * change.difference:+.1f} points"
    return f"{change.difference:+.3g}"


def _lost(change: Comparison) -> str:
    if METRICS[change.metric].share:
        return f"{points(change.difference)} points"
    return number(abs(change.difference))


def _sure(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
