"""What the documents say is true: examples run, commands parse, generated pages are current."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest

import metier
from metier.arguments import parse
from metier.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(metier.__path__, "metier.")
    if not found.name.endswith(".__main__")
)
CHEAP = {"sources", "strategies"}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands() -> list[tuple[str, list[str]]]:
    """Every `metier` command line in a shell block, with the name of its page."""
    return [
        (page.name, shlex.split(line)[1:])
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("metier ")
    ]


@pytest.mark.parametrize("name", ["metier", *MODULES])
def test_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_pages_show_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda part: " ".join(part)[:60])
def test_commands_in_pages_parse(page: str, words: list[str]) -> None:
    assert parse(words).command == words[0]


@pytest.mark.parametrize("words", [w for _, w in commands() if w[0] in CHEAP], ids=" ".join)
def test_cheap_commands_in_pages_run(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_pages_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")
        for name in re.findall(r"\bmetier\.(\w+)\(", block):
            assert name in metier.__all__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert missing == []


def test_make_targets_in_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for block in blocks(page, "sh"):
            assert set(re.findall(r"^make ([a-z]+)", block, re.M)) <= targets


def test_the_page_of_commands_is_current() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    rendered = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))["render"]()
    assert written == rendered, "run `make docs`"


def test_the_table_of_extras_is_complete() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M))
    assert told == set(project["optional-dependencies"]) - {"bench", "dev"}


def test_rooms_are_on_the_map() -> None:
    source = ROOT / "src" / "metier"
    rooms = [f"`{each.name}/`" for each in source.iterdir() if (each / "__init__.py").is_file()]
    files = [f"`{each.name}`" for each in source.glob("*.py") if each.name != "__init__.py"]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [name for name in (*rooms, *files) if name not in page] == []


def test_the_demo_tickets_are_as_described() -> None:
    lines = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    import polars as pl

    tickets = pl.read_csv(ROOT / "examples" / "tickets.csv")
    assert tickets.columns == ["text", "intent", "product", "customer_age_group"]
    counts = dict(re.findall(r"^\| (\w+) \| (\d+) \|$", lines, re.M))
    found = tickets["intent"].value_counts()
    assert {name: int(count) for name, count in counts.items()} == dict(found.iter_rows())
    wrong = re.findall(r"^\| (\d+) \| (.+?) \| (\w+) \| \w+ \|$", lines, re.M)
    assert len(wrong) == 5
    for row, text, label in wrong:
        assert tickets.row(int(row))[:2] == (text, label)
