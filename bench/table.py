"""The results as Markdown: printed, written into the pages between their markers, or compared.

`docs/figures.md` has all tables, the README one. The markers are `<!-- bench:start -->` and
`<!-- bench:end -->`. Writing twice changes nothing, and `--check` says (exit code 1) whether the
pages show what the results say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import judged, manifold, records, scarce, sections, trusted, unlabelled

MARKED = re.compile(r"(<!-- bench:(?:start|begin) -->\n)(.*?)(<!-- bench:end -->)", re.DOTALL)
CLAIMS = (
    "quality",
    "speed",
    "sources",
    "weight",
    "budget",
    "resume",
    "compress",
    "web",
    "serve",
    "several",
    "meta",
    "costs",
    "fairness",
    "explain",
    "sureness",
    "robust",
    "audit",
    "labels",
    "semi",
    "domains",
    "fewshot",
)
NOTHING = "Not measured yet: `make bench`."
TOLD = ("torch", "transformers", "scikit-learn", "lightgbm", "onnxruntime", "setfit", "flaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Print, write or compare the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__)
    parser.add_argument("--results", type=Path, default=records.RESULTS)
    parser.add_argument("--readme", type=Path, default=records.ROOT / "README.md")
    parser.add_argument("--figures", type=Path, default=records.ROOT / "docs" / "figures.md")
    parser.add_argument("--write", action="store_true", help="write them into both pages")
    parser.add_argument("--check", action="store_true", help="compare them with both pages")
    args = parser.parse_args(argv)
    made = render(args.results)
    if not (args.write or args.check):
        print(made)
        return 0
    stale = []
    for page, own in ((args.figures, made), (args.readme, _brief(args.results))):
        before = page.read_text(encoding="utf-8")
        after = insert(before, own)
        if before != after:
            stale.append(page.name)
        if args.write and before != after:
            page.write_text(after, encoding="utf-8")
    if args.check and stale:
        told = " and ".join(stale)
        print(f"{told}: not what the results say; run python -m bench.table --write")
        return 1
    return 0


def _brief(folder: Path) -> str:
    return "\n\n".join(judged.brief(folder)) or NOTHING


def render(folder: Path = records.RESULTS) -> str:
    """Return all tables that the results in a folder can fill."""
    parts = [
        *judged.sections(folder),
        *sections.speeds(folder),
        *_of_sources(folder),
        *sections.compressions(folder),
        *sections.webs(folder),
        *sections.servers(folder),
        *sections.weights(folder),
        *sections.budgets(folder),
        *sections.resumed(folder),
        *manifold.tasks(folder),
        *manifold.starts(folder),
        *manifold.prices(folder),
        *trusted.fair(folder),
        *trusted.explained(folder),
        *trusted.sure(folder),
        *trusted.robustness(folder),
        *trusted.audits(folder),
        *scarce.fewshots(folder),
        *scarce.asked(folder),
        *unlabelled.semis(folder),
        *unlabelled.domain_pairs(folder),
        *_measured_with(folder),
    ]
    return "\n\n".join(parts) if parts else NOTHING


def insert(text: str, made: str) -> str:
    """Return a text with what lies between its markers replaced.

    Raises SystemExit when it has no markers.

    >>> old = ("<!-- bench:start -->", "old", "<!-- bench:end -->")
    >>> insert(chr(10).join(old), "new").splitlines()[1]
    'new'
    """
    if not MARKED.search(text):
        raise SystemExit("no <!-- bench:start --> ... <!-- bench:end --> to write between")
    return MARKED.sub(lambda found: f"{found[1]}{made}\n{found[3]}", text, count=1)


def _of_sources(folder: Path) -> list[str]:
    """The ranking of sources, from the summary that its own script writes."""
    path = folder / "sources.json"
    if not path.exists():
        return []
    from bench.sourcestable import to_markdown

    return ["### Sources", to_markdown(json.loads(path.read_text(encoding="utf-8"))).strip()]


def _measured_with(folder: Path) -> list[str]:
    """One line an environment that a result was measured in."""
    known = records.environments(folder)
    shown = [
        record
        for claim in CLAIMS
        for record in records.read(claim, folder)
        if record.get("limit") is None
    ]
    lines = []
    for key in dict.fromkeys(r["environment"] for r in shown if "environment" in r):
        facts = known[key]
        versions = ", ".join(f"{n} {facts['versions'][n]}" for n in TOLD if n in facts["versions"])
        machine = f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads used"
        lines.append(f"Measured on {machine}; Python {facts['python']}, {versions}.")
    return lines


if __name__ == "__main__":
    sys.exit(main())
