"""What it costs to trust a score: the true order of sources, and the regret of each way to pick.

The regret of a pick is the test accuracy of the best source less that of the pick, in points, with
the standard error of the difference over test rows (each row's outcome averaged over the seeds
first). Which source is best is itself known only up to that error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.markdown import table
from bench.records import Record

DEFAULT = "mobilenet-v2-imagenet"
"""The source among the candidates that metier takes when none is named."""
FULL_EPOCHS = 6
"""Passes that a fine-tuning of every layer makes, as `Finetune` does unless told otherwise."""
TOP = 3


def summarise(found: Sequence[Record]) -> dict[str, Any]:
    """Return the true orders, regrets and costs of all sets for which every source was measured."""
    cells = [r for r in found if r["kind"] == "cell"]
    full = {r["source"]: r["seconds_per_row"] for r in found if r["kind"] == "full"}
    sources = sorted({r["source"] for r in cells})
    by_set = {name: [r for r in cells if r["set"] == name] for name in _unique(cells, "set")}
    done = {name: own for name, own in by_set.items() if len(own) == len(sources) > 1}
    return {
        "sources": sources,
        "sets": {name: _of_set(own) for name, own in done.items()},
        "costs": {name: _costs(own, full) for name, own in done.items()},
    }


def to_markdown(summary: Mapping[str, Any]) -> str:
    """Return the regrets, the true orders and the costs; nothing when no set is complete."""
    if not summary["sets"]:
        return ""
    tables = (_regret_table(summary), _order_table(summary), _cost_table(summary))
    return "\n\n".join((_note(summary), *tables))


def _of_set(own: Sequence[Record]) -> dict[str, Any]:
    names = [r["source"] for r in own]
    outcomes = np.stack([_outcomes(r) for r in own])
    accuracy = outcomes.mean(axis=1)
    order = np.argsort(-accuracy, kind="stable")
    best = int(order[0])
    picks = {}
    for way, ranked in _ways(own).items():
        gap = outcomes[best] - outcomes[ranked[0]]
        error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
        picks[way] = {
            "pick": names[ranked[0]],
            "regret": round(100 * float(gap.mean()), 3),
            "error": round(100 * error, 3),
            "within_error": bool(gap.mean() <= error),
            "place_of_best": ranked.index(best) + 1,
        }
    return {
        "train": own[0]["train"],
        "test": own[0]["test"],
        "order": [
            {
                "source": names[i],
                "accuracy": round(float(accuracy[i]), 5),
                "over_seeds": round(float(np.std(own[i]["accuracy"], ddof=1)), 5),
                "valid": round(float(np.mean(own[i]["valid"])), 5),
                "scores": own[i]["scores"],
            }
            for i in order
        ],
        "picks": picks,
    }


def _ways(own: Sequence[Record]) -> dict[str, list[int]]:
    """Every way to put the sources in order, as positions, best first."""
    from metier.search.shortlist import Ranked, order

    names = [r["source"] for r in own]
    ways = {score: _descending([r["scores"][score] for r in own]) for score in own[0]["scores"]}
    measured = [Ranked(r["source"], r["width"], r["parameters"], r["scores"]) for r in own]
    ranking = order(measured, 0, DEFAULT)
    together = [names.index(each.source) for each in ranking.sources]
    raced = [names.index(each.source) for each in ranking.sources if each.shortlisted]
    valid = [float(np.mean(r["valid"])) for r in own]
    raced.sort(key=lambda i: -valid[i])
    ways["mean rank"] = together
    if DEFAULT in names:
        default = names.index(DEFAULT)
        ways["always the default"] = [default, *(i for i in together if i != default)]
    ways["race of the shortlist"] = [*raced, *(i for i in together if i not in raced)]
    return ways


def _costs(own: Sequence[Record], full: Mapping[str, float]) -> dict[str, Any]:
    """Seconds for scoring all sources once, and for fine-tuning all of them once."""
    scoring = sum(r["score_seconds"] for r in own)
    top = sum(r["seconds"][0] for r in own)
    found: dict[str, Any] = {
        "scoring": round(scoring, 2),
        "top": round(top, 2),
        "share_of_top": round(scoring / top, 4),
    }
    if all(r["source"] in full for r in own):
        # A lower bound: no pass for the head, no validation.
        rows = 0.8 * own[0]["train"] * FULL_EPOCHS
        whole = sum(full[r["source"]] * rows for r in own)
        found |= {"all_layers": round(whole, 1), "share_of_all_layers": round(scoring / whole, 4)}
    return found


def _note(summary: Mapping[str, Any]) -> str:
    sets = summary["sets"].values()
    three = sum(s["picks"]["mean rank"]["place_of_best"] <= TOP for s in sets)
    near = sum(s["picks"]["race of the shortlist"]["within_error"] for s in sets)
    return (
        f"{len(summary['sources'])} image networks, scored on the training rows and fine-tuned "
        "(top third of the blocks) with three seeds. Regret: points of test accuracy behind the "
        "best source, with the standard error of the difference, and the place that the best "
        f"source had. By mean rank it was among the top {TOP} on {three} of {len(sets)} sets; "
        f"racing the shortlist ended within one standard error of it on {near} of {len(sets)}."
    )


def _regret_table(summary: Mapping[str, Any]) -> str:
    sets = summary["sets"]
    ways = list(next(iter(sets.values()))["picks"])
    rows = []
    for way in ways:
        picks = [s["picks"][way] for s in sets.values()]
        mean = np.mean([p["regret"] for p in picks])
        error = np.sqrt(np.sum([p["error"] ** 2 for p in picks])) / len(picks)
        cells = [f"{p['regret']:.1f} ± {p['error']:.1f} ({p['place_of_best']})" for p in picks]
        rows.append([way, *cells, f"{mean:.1f} ± {error:.1f}"])
    return table(["picked by", *sets, "mean"], rows)


def _order_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for source in summary["sources"]:
        cells = []
        for own in summary["sets"].values():
            place = next(i for i, each in enumerate(own["order"]) if each["source"] == source)
            each = own["order"][place]
            cells.append(
                f"{100 * each['accuracy']:.1f} ± {100 * each['over_seeds']:.1f} ({place + 1})"
            )
        rows.append([source, *cells])
    heads = [f"{name}, {own['train']}/{own['test']}" for name, own in summary["sets"].items()]
    return table(["test accuracy (place), sd over seeds", *heads], rows)


def _cost_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for name, cost in summary["costs"].items():
        whole = cost.get("all_layers")
        rows.append(
            [
                name,
                f"{cost['scoring']:.0f}",
                f"{cost['top']:.0f} ({cost['share_of_top']:.0%})",
                "" if whole is None else f"{whole:.0f} ({cost['share_of_all_layers']:.1%})",
            ]
        )
    heads = ["seconds for all sources", "scoring", "fine-tuning the top (scoring is)"]
    return table([*heads, f"fine-tuning all layers, {FULL_EPOCHS} epochs (scoring is)"], rows)


def _outcomes(record: Record) -> NDArray[np.float64]:
    """The share of seeds that answered each test row right."""
    return np.array([int(c) for c in record["right"]]) / len(record["accuracy"])


def _descending(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda i: -values[i])


def _unique(found: Sequence[Record], field: str) -> list[Any]:
    return list(dict.fromkeys(r[field] for r in found))
