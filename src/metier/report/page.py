"""The report as one HTML file that needs nothing else: no network, no fonts, no libraries."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from markupsafe import Markup

from metier.report import compression, plots, wording
from metier.report.assets import render
from metier.report.confusion import confused_pairs, heat_map, per_class
from metier.report.content import Entry, Report, ranked
from metier.report.document import Section
from metier.report.fairness import fairness_sections
from metier.report.morelabels import morelabels_section
from metier.report.shift import shift_section
from metier.report.sureness import sureness_sections
from metier.report.tradeoff import tradeoff_section
from metier.search.ladder import NOTHING
from metier.types import Finding

FRONT = 10
"""How many candidates are shown before the rest is folded away; baselines always are."""

CONSTANT = ("majority", "mean")

LIGHTS = {
    "good": "Gain proven",
    "neutral": "Specialising gained nothing proven",
    "bad": "Read this first",
}

_TASKS = {
    "binary": "one of two classes",
    "multiclass": "one of {} classes",
    "multilabel": "any of {} labels",
    "regression": "a number",
}
_PICTURE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+\Z")
_WEIGHT = {"problem": 0, "warning": 1, "info": 2}


def render_page(report: Report, *, examples: bool = True) -> str:
    """Return the report as a complete HTML document.

    Args:
        report: what is to be told; everything in it is escaped.
        examples: False leaves out every value that stems from a row of the data: the mistakes,
            the quotes of findings, and the points of prediction against truth.
    """
    if not examples:
        report = replace(report, mistakes=(), scatter=None)
    return render("page.html", report.created, _filters(report), **_context(report, examples))


def _filters(report: Report) -> dict[str, Callable[..., Any]]:
    axes = _gain_axes(report)
    return {
        "number": wording.number,
        "duration": wording.duration,
        "size": wording.size,
        "times": wording.times,
        "parameters": wording.parameters,
        "value": wording.value_of,
        "interval": wording.interval_of,
        "shorten": wording.shorten,
        "learning_curve": plots.learning_curve,
        "reliability_diagram": plots.reliability_diagram,
        "description": partial(_description, report),
        "bar": _leaderboard_bar(report),
        "gain": _gain,
        "gain_bar": lambda found: _gain_bar(axes[_unit(found)], found),
        "gain_ticks": lambda group: _gain_ticks(axes[_unit(group[0])], group),
        "is_picture": lambda text: bool(_PICTURE.match(text)),
        **compression.filters(),
    }


def _context(report: Report, examples: bool) -> dict[str, Any]:
    front, behind = _folded(report)
    sections = _sections(report)
    confusion = report.confusion
    axis = _leaderboard_axis(report)
    return {
        "report": report,
        "examples": examples,
        "made_from": "your rows alone" if report.source == NOTHING else report.source,
        "light": LIGHTS[report.verdict_level],
        "task": _TASKS[report.task_kind].format(len(report.labels)),
        "contents": _contents(report, sections),
        "sections": sections,
        "front": front,
        "behind": behind,
        "ties": any(entry.tied for entry in report.leaderboard),
        "board_ticks": _ticks(axis),
        "off_scale": any(e.value is not None and not axis.holds(e.value) for e in front + behind),
        "interval": wording.interval,
        "gains": [list(group) for _, group in groupby(_by_unit(report), _unit)],
        "heat_map": heat_map(confusion) if confusion else None,
        "pairs": confused_pairs(confusion) if confusion else [],
        "per_class": per_class(confusion) if confusion else [],
        "scatter": plots.scatter_plot(report.scatter) if report.scatter else None,
        "mistakes": report.mistakes,
        "data_findings": sorted(report.data_findings, key=lambda found: _WEIGHT[found.level]),
        "bundle_argument": shlex.quote(report.bundle),
        "python_use": _python_use(report),
        **_measures(report),
    }


def _measures(report: Report) -> dict[str, Any]:
    """Split the measures into overall ones and a table with a row for each class."""
    by_class: dict[str, dict[str, Any]] = {}
    names: dict[str, None] = {}
    overall = []
    for found in report.proof:
        label = found.details.get("label")
        if label is None:
            overall.append(found)
            continue
        name = found.name.partition("[")[0]
        names[name] = None
        row = by_class.setdefault(str(label), {"n": 0})
        row[name] = found
        row["n"] = max(row["n"], found.n or 0)
    return {
        "overall": overall,
        "class_measures": list(names),
        "by_class": list(by_class.items()),
    }


def _sections(report: Report) -> tuple[Section, ...]:
    """The parts of the page that are made of blocks."""
    found: list[Section] = []
    if report.sureness is not None:
        found += sureness_sections(replace(report.sureness, bins=()))  # drawn under Calibration
    if report.shift is not None:
        found.append(shift_section(report.shift))
    if report.more is not None:
        found.append(morelabels_section(report.more))
    if report.tradeoff is not None:
        found.append(tradeoff_section(report.tradeoff))
    if report.fairness is not None:
        found += fairness_sections(report.fairness)
    return tuple(found)


def _contents(report: Report, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Return the anchors and names of the sections that this report has."""
    parts = (
        ("leaderboard", "Leaderboard", report.leaderboard),
        ("comparisons", "What it gains", report.comparisons),
        ("measures", "All measures", report.proof),
        ("curves", "Learning curves", report.curves),
        ("confusion", "Confusion", report.confusion),
        ("calibration", "Calibration", report.reliability),
        ("calibration", "Prediction and truth", report.scatter),
        ("mistakes", "Worst mistakes", report.mistakes),
        ("data", "Data findings", report.data_findings),
        ("compression", "Smaller and faster", report.compression),
        *((section.name, section.title, True) for section in sections),
        ("cost", "Cost", report.cost),
        ("lineage", "Lineage", report.lineage),
        ("use", "Using it", True),
        ("settings", "Settings", True),
    )
    return [(anchor, words) for anchor, words, there in parts if there]


def _folded(report: Report) -> tuple[list[Entry], list[Entry]]:
    """Split the leaderboard into what is shown at once and what is folded away."""
    entries = ranked(report)
    best = {id(entry) for entry in entries[:FRONT] if entry.value is not None}
    front = [e for e in entries if id(e) in best or e.state in ("chosen", "baseline")]
    shown = {id(entry) for entry in front}
    behind = [entry for entry in entries if id(entry) not in shown]
    return (list(entries), []) if len(behind) <= 3 else (front, behind)


def _description(report: Report, entry: Entry) -> str:
    """Return what a candidate was made of, leaving out what its name already says."""
    source = "" if entry.source == NOTHING else entry.source
    parts = [part for part in (entry.strategy, source) if part and part not in entry.name]
    written = wording.parameters(entry.parameters)
    return "; ".join([*parts, written] if written else parts)


def _ticks(axis: plots.Axis) -> list[dict[str, str]]:
    return [{"at": axis.percent(tick), "text": axis.label(tick)} for tick in axis.ticks]


def _leaderboard_axis(report: Report) -> plots.Axis:
    """Return an axis on which the contenders can be told apart.

    Constant answers and the worse half of what was tried may lie beyond its ends: they would
    squeeze everything that matters into a corner.
    """
    known = [entry for entry in ranked(report) if entry.value is not None]
    tried = [entry for entry in known if entry.state == "tried"]
    kept = [
        entry
        for entry in known
        if entry.strategy not in CONSTANT
        and (entry.state != "tried" or entry.tied or entry in tried[: len(tried) // 2 + 1])
    ]
    return plots.axis_over((v for e in kept or known for v in (e.value, e.low, e.high)), 4)


def _leaderboard_bar(report: Report) -> Any:
    axis, chosen = _leaderboard_axis(report), report.chosen
    band = None
    if chosen and chosen.low is not None and chosen.high is not None:
        band = (chosen.low, chosen.high)

    def draw(entry: Entry) -> Markup:
        if entry.value is None:
            return Markup("")
        return plots.interval_bar(axis, entry.value, entry.low, entry.high, band)

    return draw


def _unit(found: Finding) -> str:
    return str(found.details.get("unit", ""))


def _by_unit(report: Report) -> list[Finding]:
    """Return the comparisons with those of one unit together, in the order units first occur."""
    order = list(dict.fromkeys(_unit(found) for found in report.comparisons))
    return sorted(report.comparisons, key=lambda found: order.index(_unit(found)))


def _gain(found: Finding) -> str:
    """Return a gain with its sign."""
    text = wording.value_of(found)
    return text if text.startswith(("+", "-")) or not found.value else f"+{text}"


def _gain_axes(report: Report) -> dict[str, plots.Axis]:
    """Return an axis that holds zero for the gains of each unit."""
    return {
        unit: plots.axis_over([0.0, *(v for f in group for v in (f.value, f.low, f.high))])
        for unit, group in groupby(_by_unit(report), _unit)
    }


def _gain_bar(axis: plots.Axis, found: Finding) -> Markup:
    if found.value is None:
        return Markup("")
    return plots.interval_bar(axis, found.value, found.low, found.high, zero=True)


def _gain_ticks(axis: plots.Axis, group: list[Finding]) -> list[dict[str, str]]:
    """Return the ticks above a group of gains; none where nothing is drawn."""
    return _ticks(axis) if any(found.value is not None for found in group) else []


def _python_use(report: Report) -> str:
    expect = f", expect={report.digest!r}" if report.digest else ""
    rows = {
        "text": '["a text", "another"]',
        "image": '["one.jpg", "two.jpg"]',
        "tabular": 'polars.read_csv("new.csv")',
    }[report.modality]
    lines = [
        "import metier",
        f"specialist = metier.load({report.bundle!r}{expect})",
        f"specialist.predict({rows}).answers",
    ]
    return "\n".join(["import polars", *lines] if report.modality == "tabular" else lines)
