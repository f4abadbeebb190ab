"""What was measured of trust, as Markdown: fairness, explanations, sureness, robustness, audits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench import audit, explain, fairness, records, robust, sureness
from bench.markdown import table
from bench.records import Record


def fair(folder: Path) -> list[str]:
    """How far groups lie apart before and after each mitigation, and what it costs."""
    parts: list[str] = []
    found = _whole(fairness.CLAIM, folder)
    for name, learner in dict.fromkeys((r["set"], r["learner"]) for r in found):
        own = [r for r in found if (r["set"], r["learner"]) == (name, learner)]
        columns = list(own[0]["odds_change"])
        rows = [_fair_row(r, columns) for r in own]
        heads = ["method", "accuracy", "points lost"]
        heads += [f"odds apart, {c}" for c in columns] + [f"of it left, {c}" for c in columns]
        told = f"{name}, {learner}, {own[0]['rows']} rows, each answered by a fit without it."
        parts += [told, table(heads, rows)]
    if not parts:
        return []
    lead = (
        "`odds apart` is the equalised odds difference, `of it left` its ratio to `plain`, with "
        "95 % intervals. `limit` is what `--max-disparity 0.05` picks on rows that prove nothing."
    )
    return ["### Fairness", lead, *parts]


def _fair_row(found: Record, columns: list[str]) -> list[str]:
    apart = [_between(found[f"odds[{c}]"], "value", 3) for c in columns]
    left = [_between(found["odds_change"][c], "left", 2) for c in columns]
    low, high = found["lost_interval"]
    lost = f"{found['lost']:.1f} ({low:.1f} to {high:.1f})"
    return [found["method"], f"{found['accuracy']:.3f}", lost, *apart, *left]


def _between(found: Mapping[str, Any], name: str, digits: int) -> str:
    value, low, high = (found[each] for each in (name, "low", "high"))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def explained(folder: Path) -> list[str]:
    """The gain of the chosen explanation over chance, and the glass box beside boosting."""
    found = _whole(explain.CLAIM, folder)
    if not found:
        return []
    rows = [
        [
            r["set"],
            r["method"],
            *(_between(r[name], "value", 3) for name in ("gain", "deletion", "insertion")),
            str(r["gain"]["n"]),
            _between(r["stable"]["ranks"], "value", 2),
        ]
        for r in found
        if "gain" in r
    ]
    heads = ["set", "chosen", "gain over chance", "deletion", "insertion", "rows", "same ranks"]
    parts = ["### Explanations"]
    if rows:
        parts += ["Areas in probability; `same ranks` is the correlation with another seed.",
                  table(heads, rows)]  # fmt: skip
    glass = [r for r in found if "ebm" in r]
    for r in glass:
        difference = f"{r['difference']:+.4f} ({r['low']:+.4f} to {r['high']:+.4f})"
        parts.append(
            f"{r['set']}: ROC-AUC {r['ebm']:.4f} for `ebm`, {r['boost']:.4f} for `boost`; "
            f"difference {difference} on {r['n']} test rows."
        )
    return parts


def sure(folder: Path) -> list[str]:
    """Coverage over re-splits and as delivered, calibration, and rows of another kind."""
    found = _whole(sureness.CLAIM, folder)
    if not found:
        return []
    rows = [_sure_row(r) for r in found]
    heads = ["set", "re-splits: mean coverage", "outside the 95 % band", "delivered"]
    heads += ["calibration error", "consistency p", "error on rows like training", "its p"]
    heads += ["flagged own / foreign", "AUROC"]
    lead = (
        "Coverage asked: 0.9. Calibration and test rows re-split 20 times; by chance about one "
        "split in 20 is outside. `delivered` is the bundle's own coverage on all test rows. "
        "Rows like training are half of the out-of-fold rows, calibrated on the other half."
    )
    return ["### Sureness", lead, table(heads, rows)]


def _sure_row(found: Record) -> list[str]:
    splits, told, foreign = found["resplit"], found["delivered"], found["foreign"]
    outside = sum(not s["band_low"] <= s["covered"] <= s["band_high"] for s in splits)
    errors = [
        text
        for each in (told, found.get("alike", {}))
        for text in (
            _between(each["calibration_error"], "value", 3) if "calibration_error" in each else "",
            f"{each['calibration_test']['value']:.3f}" if "calibration_test" in each else "",
        )
    ]
    return [
        found["set"],
        f"{mean(s['covered'] for s in splits):.3f}",
        f"{outside} of {len(splits)}",
        f"{told['coverage']['value']:.3f}" if "coverage" in told else "",
        *errors,
        " / ".join(f"{share:.1%}" for share in foreign["flagged"]),
        f"{foreign['auroc']:.3f}",
    ]


def robustness(folder: Path) -> list[str]:
    """Clean and robust accuracy of plain and of adversarial training."""
    found = _whole(robust.CLAIM, folder)
    if not found:
        return []
    shares = [r for r in found if "robust" in r]
    rows = [[r["set"], r["what"], str(r["train"]), *_shares(r), str(r["n"])] for r in shares]
    parts = [
        "### Robustness",
        "Robust is the accuracy under PGD-20 at 4/255 for images and under word substitution for "
        "texts, on the same rows.",
        table(["set", "training", "training rows", "clean", "robust", "rows"], rows),
    ]
    for r in found:
        if "gain" in r:
            parts.append(
                f"{r['set']}: {r['gain']:+.1f} robust points ({r['gain_low']:+.1f} to "
                f"{r['gain_high']:+.1f}) for {r['cost']:.1f} clean points "
                f"({r['cost_low']:.1f} to {r['cost_high']:.1f})."
            )
    return parts


def _shares(found: Record) -> list[str]:
    return [
        f"{found[name]:.3f} ({found[f'{name}_low']:.3f} to {found[f'{name}_high']:.3f})"
        for name in ("clean", "robust")
    ]


def audits(folder: Path) -> list[str]:
    """How long an audit takes."""
    found = _whole(audit.CLAIM, folder)
    if not found:
        return []
    rows = []
    for name, count, threads in dict.fromkeys((r["set"], r["rows"], r["threads"]) for r in found):
        own = [r for r in found if (r["set"], r["rows"], r["threads"]) == (name, count, threads)]
        seconds, peak = (median(r[key] for r in own) for key in ("seconds", "peak_mb"))
        rows.append([name, str(count), str(threads), f"{seconds:.0f} s", f"{peak:.0f} MB"])
    return ["### Audits", table(["set", "rows", "threads", "seconds", "peak memory"], rows)]


def _whole(claim: str, folder: Path) -> list[Record]:
    return [r for r in records.read(claim, folder) if r["limit"] is None]
