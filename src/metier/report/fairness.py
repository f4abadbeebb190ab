"""Who is served worse, told to a person: groups, how far they lie apart, proxies and slices."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from metier.evidence.fairness.rates import FEWEST, TITLES, Group
from metier.evidence.fairness.served import Served
from metier.evidence.words import percent
from metier.report import wording
from metier.report.document import Block, Cell, Figures, Folded, Grid, Section, Told, Words
from metier.report.forest import Line, forest
from metier.report.plots import axis_over
from metier.types import Finding

DRAWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
"""Shares that are drawn, at most three of them."""
MOST_DRAWN, MOST_GROUPS = 3, 12
SHORT = {
    "accuracy": "Right",
    "selection_rate": "Selected",
    "true_positive_rate": "Found",
    "false_positive_rate": "False alarms",
    "precision": "Precision",
    "calibration": "Claimed − true",
    "label_accuracy": "Labels right",
    "mean_absolute_error": "Mean abs. error",
    "mean_error": "Mean error",
}


def fairness_sections(served: Served) -> tuple[Section, ...]:
    """Return what is told of who is served worse; slices alone where no column was named."""
    found = [
        Section(f"groups-{place}", f"Who is served worse, by {column}", _of_column(served, column))
        for place, column in enumerate(served.columns, start=1)
    ]
    if found:
        first = found[0]
        found[0] = Section("fairness", first.title, (*_opening(served), *first.blocks))
    if served.crossed:
        found.append(Section("crossed", "Where groups cross", _crossed(served)))
    if served.proxies:
        found.append(Section("proxies", "What gives the group away", _proxies(served)))
    found.append(Section("slices", "Served worse, and nobody had asked", _slices(served)))
    return tuple(found)


def fairness_lines(served: Served) -> tuple[str, ...]:
    """Return the same in sentences, for a card: disparities, proxies and slices."""
    told = [*served.disparities, *served.proxies, *served.slices]
    judged = [each for each in told if each.value is not None or each.name == "slices"]
    return tuple(each.verdict for each in judged)


def _opening(served: Served) -> tuple[Block, ...]:
    what = {
        "binary": f"“Selected” are the rows answered {served.positive}; “found” is the share "
        "of those that truly are; “false alarms” the share of those that truly are not.",
        "regression": "The error of a group is how far answers lie from the truth, in its unit.",
    }.get(served.kind, "“Right” is the share of rows answered right.")
    claimed = (
        "“Claimed − true” is the mean probability that was claimed less the share that came "
        "true: above zero the group is promised too much."
    )
    told = f"Measured on {served.n:,} {served.on}, with 95 % intervals. {what}"
    if served.kind != "regression":
        told += f" {claimed}"
    notes = tuple(Words(f"{note[:1].upper()}{note[1:]}.") for note in served.notes)
    return (Words(told), *notes)


def _of_column(served: Served, column: str) -> tuple[Block, ...]:
    groups = [each for each in served.groups if each.column == column]
    told = tuple(each for each in served.disparities if each.details.get("column") == column)
    return (Told(told), *_drawings(groups), _grid(groups, f"Groups by {column}"))


def _crossed(served: Served) -> tuple[Block, ...]:
    names = list(dict.fromkeys(each.column for each in served.crossed))
    blocks: list[Block] = [
        Words("Each column alone can look even where its groups, crossed, do not.")
    ]
    for name in names:
        told = tuple(e for e in served.disparities if e.details.get("column") == name)
        groups = [each for each in served.crossed if each.column == name]
        blocks += [Told(told), Folded(f"{len(groups)} groups by {name}", (_grid(groups, name),))]
    return tuple(blocks)


def _drawings(groups: Sequence[Group]) -> tuple[Block, ...]:
    names = [each.details["measure"] for each in groups[0].measures]
    shares = [name for name in DRAWN if name in names][:MOST_DRAWN]
    wanted = shares or names[:2]
    drawn = tuple(
        (picture, f"{TITLES[name][:1].upper()}{TITLES[name][1:]}; hollow: under {FEWEST} rows")
        for name in wanted
        if (picture := _forest(groups, name, name in shares)) is not None
    )
    return (Figures(drawn),) if drawn else ()


def _forest(groups: Sequence[Group], name: str, share: bool) -> Markup | None:
    lines = []
    for group in groups[:MOST_GROUPS]:
        found = _measure(group, name)
        if found is None or found.value is None or found.low is None or found.high is None:
            continue
        scale = 100.0 if share else 1.0
        ends = (scale * found.low, scale * found.high)
        note = f"{found.verdict}"
        lines.append(Line(group.name, scale * found.value, *ends, group.small, note))
    if not lines:
        return None
    scale_over = axis_over([0.0, *(each.high for each in lines), *(each.low for each in lines)], 4)
    return forest(lines, "%" if share else "in its unit", scale_over)


def _grid(groups: Sequence[Group], caption: str) -> Grid:
    names = [str(each.details["measure"]) for each in groups[0].measures] if groups else []
    head = ("Group", "Rows", *(SHORT[name] for name in names))
    rows = tuple(
        (_head(group), f"{group.n:,}", *(_cell(_measure(group, name)) for name in names))
        for group in groups
    )
    return Grid(caption, head, rows, frozenset(range(1, len(head))))


def _head(group: Group) -> Cell:
    if not group.small:
        return group.name
    return escape(group.name) + Markup(" <small>too small to judge</small>")


def _measure(group: Group, name: str) -> Finding | None:
    return next((e for e in group.measures if e.details.get("measure") == name), None)


def _cell(found: Finding | None) -> Cell:
    """A value with its interval below, and the rows it is a share of."""
    if found is None or found.value is None:
        return wording.MISSING
    if not found.details.get("share"):
        value, between = wording.number(found.value), wording.interval(found.low, found.high)
        if found.details.get("measure") == "calibration":
            value = f"{100 * found.value:+.1f}"
            ends = [100 * end for end in (found.low, found.high) if end is not None]
            between = " to ".join(f"{end:+.1f}" for end in ends)
        return escape(value) + Markup("<small>{}</small>").format(between)
    between = f"{percent(found.low or 0.0)} to {percent(found.high or 0.0)}"
    of = f"of {found.n:,}"
    return Markup("{} %<small>{}</small><small>{}</small>").format(
        percent(found.value), between, of
    )


def _proxies(served: Served) -> tuple[Block, ...]:
    told = Words(
        "The sensitive columns are no inputs, yet other columns may speak for them. A quick model "
        "predicts the group from the inputs alone, on rows that it did not learn from."
    )
    return (told, Told(served.proxies))


def _slices(served: Served) -> tuple[Block, ...]:
    told = Words(
        "Regions that nobody named: found by a shallow tree on one half of the rows, then tested "
        "on the other half, with p-values adjusted for being several. Counts and intervals are "
        "of the half that did not find the region."
    )
    return (told, Told(served.slices))


def group_rows(found: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings that are rates of groups as one row a group, for a terminal."""
    rows: dict[str, dict[str, str]] = {}
    for each in found:
        group = each.details.get("group")
        if group is None:
            continue
        row = rows.setdefault(str(group), {"group": str(group), "rows": f"{each.n or 0:,}"})
        name = str(each.details["measure"])
        row[SHORT[name].lower()] = _short(each)
    return list(rows.values())


def _short(found: Finding) -> str:
    if found.value is None or found.low is None or found.high is None:
        return wording.MISSING
    if found.details.get("share"):
        ends = f"{percent(found.low)}-{percent(found.high)}"
        return f"{percent(found.value)} % ({ends})"
    return f"{wording.number(found.value)} ({wording.interval(found.low, found.high)})"
