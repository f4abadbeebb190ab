"""The page of `metier multitask`: for each task, alone or shared, with the proof of both."""

from __future__ import annotations

from markupsafe import Markup

from metier.evidence.words import sentence, whole
from metier.report import wording
from metier.report.card import as_markdown
from metier.report.document import Block, Document, Figures, Grid, Section, Told, Words
from metier.report.forest import Line, forest
from metier.report.multitasked import WAYS, Multitasked, TaskFound, difference, listed, transfer
from metier.types import Finding


def multitask_document(found: Multitasked) -> Document:
    """Return the page."""
    worse = [f for f in found.findings if f.level != "info"]
    useless = any(f.name == "useless" for f in worse)
    return Document(
        kind="metier multitask",
        name=found.name,
        created=found.created,
        level="neutral" if worse or not found.sharing else "good",
        state=(
            "Some task is not learned"
            if useless
            else "Some task loses by sharing"
            if worse
            else "No task loses by what was chosen"
        ),
        headline=found.verdict,
        basis=(
            f"{found.proof_on} Intervals are for 95 %, differences are paired row by row, and "
            "verdicts consider that there are several tasks (Holm)."
        ),
        sections=(_tasks(found), _negative(found), _weights(found), _made(found)),
        notes=found.notes,
        command=found.command,
        versions=found.versions,
    )


def _tasks(found: Multitasked) -> Section:
    scores = tuple(
        (
            f"{each.name}, {wording.title(each.metric).lower()}",
            wording.value_of(each.baseline),
            _with_interval(each.single),
            _with_interval(each.shared),
            whole(each.proven.n),
        )
        for each in found.tasks
    )
    ways = tuple(
        (each.name, difference(each.proven), each.verdict, WAYS[each.chosen])
        for each in found.tasks
    )
    head = ("Task", "Always one answer", "By itself", "Shared", "Rows")
    against = ("Task", "Shared against by itself", "So the shared one is", "Chosen")
    blocks: list[Block] = [
        Words(
            "Each task was learned twice from the same rows: by a network of its own, and by one "
            "that it shares with the other tasks. Which one is handed over was chosen on rows that "
            "prove nothing; a tie goes to the shared network, which costs less."
        ),
        Grid("On the rows of the proof", head, scores, frozenset({1, 2, 3, 4})),
        Grid("Compared row by row", against, ways, frozenset({1})),
        Figures(
            (
                (_drawn(found), "Standard errors that the shared network lies above (right) or "
                 "below the task's own, with 95 % intervals"),
            )
        ),
    ]  # fmt: skip
    return Section("tasks", "Each task, alone and shared", tuple(blocks))


def _drawn(found: Multitasked) -> Markup:
    lines = []
    for each in found.tasks:
        unit = each.proven.error or 1.0
        values = (each.proven.difference, each.proven.low, each.proven.high)
        value, low, high = (v / unit for v in values)
        note = f"{each.name}: {difference(each.proven)}"
        lines.append(Line(each.name, value, low, high, each.chosen == "single", note))
    return forest(lines, "standard errors")


def _negative(found: Multitasked) -> Section:
    told = transfer(found)
    if told:
        return Section("transfer", "Negative transfer between tasks", (Told(told),))
    words = (
        "No task does worse in the shared network than by itself beyond what chance explains, "
        "neither on the rows that chose nor on those of the proof."
    )
    return Section("transfer", "Negative transfer between tasks", (Words(words),))


def _weights(found: Multitasked) -> Section:
    own = found.parameters
    rows = tuple(
        (name, wording.count(value), f"{100 * value / own.separate:.0f} %")
        for name, value in (
            ("What is handed over, shared weights once", own.hybrid),
            ("A network for each task", own.separate),
            ("One network for all tasks", own.together),
        )
    )
    words = (
        "Each folder predicts by itself and so holds the shared weights too; a server that loads "
        "the shared network once needs no more than the first line."
    )
    head = ("", "Weights", "Of a network each")
    return Section(
        "weights", "Weights in all", (Grid("Weights", head, rows, frozenset({1, 2})), Words(words))
    )


def _made(found: Multitasked) -> Section:
    rows = tuple(
        (
            f"{each.name}/specialist",
            each.kind,
            str(each.labels or ""),
            whole(each.rows),
            each.digest,
        )
        for each in found.tasks
    )
    settings = tuple((name, wording.parameters(dict(p))) for name, p in found.strategies.items())
    blocks: list[Block] = [
        Grid(
            "Each folder is an ordinary bundle",
            ("Folder", "Kind", "Labels", "Rows learned", "Digest"),
            rows,
            frozenset({2, 3}),
        ),
        Grid(f"Chosen of {found.settings} settings of each way", ("Fit", "Settings"), settings),
        Words(f"All began from {found.source}, in {wording.duration(found.seconds)}."),
    ]
    return Section("made", "What was made", tuple(blocks))


def _with_interval(found: Finding) -> str:
    return f"{wording.value_of(found)} ({wording.interval_of(found)})"


def task_card(found: TaskFound, source: str, others: tuple[str, ...], command: str) -> str:
    """Return the model card of one task's bundle."""
    share = f" The same weights also answer {listed(list(others))}." if others else ""
    lines = [
        f"# {as_markdown(found.name)}",
        f"Answers the task {as_markdown(found.name)} ({found.kind}), made by `{command}` from "
        f"{as_markdown(source)}. It is {WAYS[found.chosen]}.{as_markdown(share)}",
        as_markdown(f"{sentence(found.score.verdict)} Measured on rows it did not learn from."),
        as_markdown(f"Shared against by itself on the same rows: {difference(found.proven)}."),
        "## Use",
        '```python\nimport metier\nbundle = metier.load("specialist")\n```',
    ]
    return "\n\n".join(lines) + "\n"
