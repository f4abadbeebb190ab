"""The page: whole, safe, quiet when told to be, and right in a real browser."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from metier.report.content import Confusion, Entry, Mistake, Report, to_json
from metier.report.page import render_page
from metier.types import Finding, Step
from tests.report.conftest import MARKED

HOSTILE = '<script>alert("x")</script>\'"&{{ 7*7 }}<img src=x onerror=alert(1)>'
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Outline(HTMLParser):
    """Checks nesting and collects tags, ids and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert not found.faults and not found.open
    return found


def hostile(report: Report) -> Report:
    """The same report with every text that a user could have written made hostile."""
    return replace(
        report,
        name=HOSTILE,
        verdict=HOSTILE,
        target=HOSTILE,
        labels=(HOSTILE, "b"),
        source=HOSTILE,
        command=HOSTILE,
        bundle=HOSTILE,
        leaderboard=(Entry(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, 0.5, note=HOSTILE),),
        confusion=Confusion((HOSTILE, "b"), ((1, 2), (3, 4))),
        mistakes=(Mistake(1, {HOSTILE: HOSTILE, "b": HOSTILE}, HOSTILE, HOSTILE, 0.9),),
        data_findings=(Finding(HOSTILE, HOSTILE, details={"examples": [HOSTILE]}),),
        comparisons=(Finding(HOSTILE, HOSTILE, 1.0, 0.5, 1.5, details={"unit": HOSTILE}),),
        lineage=(Step(HOSTILE, {HOSTILE: HOSTILE}),),
        settings={HOSTILE: {HOSTILE: HOSTILE}},
        versions={HOSTILE: HOSTILE},
        inputs={HOSTILE: HOSTILE},
        rows={HOSTILE: 3},
        notes=(HOSTILE,),
    )


def test_pages_are_well_nested_and_self_contained(
    tickets: Report, many_labels: Report, prices: Report, photos: Report
) -> None:
    for report in (tickets, many_labels, prices, photos):
        page = render_page(report)
        found = outline(page)
        for tag, attributes in found.tags:
            link = attributes.get("src") or attributes.get("href") or ""
            assert tag == "img" or link.startswith(("#", "data:,")) or not link
        assert not re.search(r"https?://", page)
        assert "@import" not in page and "url(" not in page


def test_the_verdict_comes_first_and_links_lead_somewhere(tickets: Report) -> None:
    page = render_page(tickets)
    found = outline(page)
    headings = [tag for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == "h1" and headings.count("h1") == 1
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    links = [a["href"] for tag, a in found.tags if tag == "a" and a.get("href")]
    assert len(ids) == len(set(ids))
    assert {link.lstrip("#") for link in links if link} == set(ids)
    order = ["leaderboard", "comparisons", "measures", "curves", "confusion", "calibration",
             "mistakes", "data", "cost", "lineage", "use", "settings"]  # fmt: skip
    assert ids == order


def test_tables_have_headers_and_pictures_have_words(tickets: Report, photos: Report) -> None:
    for report in (tickets, photos):
        found = outline(render_page(report))
        assert all("scope" in a for tag, a in found.tags if tag == "th")
        assert all(a.get("alt") for tag, a in found.tags if tag == "img")
        assert all(a.get("aria-label") for _, a in found.tags if a.get("role") == "img")


def test_nothing_that_a_user_wrote_becomes_markup(tickets: Report) -> None:
    found = outline(render_page(hostile(tickets)))
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_only_pictures_from_the_page_itself_are_shown(tickets: Report, photos: Report) -> None:
    assert render_page(photos).count("<img") == len(photos.mistakes)
    for uri in ("https://x.example/a.png", "data:image/svg+xml;base64,AAAA", "javascript:1"):
        bad = replace(tickets, mistakes=(Mistake(0, {"a": uri}, "a", "b"),))
        assert "<img" not in render_page(bad)


def test_without_examples_no_value_of_a_row_is_left(
    tickets: Report, prices: Report, photos: Report, odd_cells: tuple[Finding, ...]
) -> None:
    page = render_page(tickets, examples=False)
    assert "chargd" not in page and "parcel" not in page and "Worst mistakes" not in page
    assert "5 rows look wrongly labelled" in page
    assert 'class="point"' not in render_page(prices, examples=False)
    odd = replace(prices, data_findings=odd_cells)
    for cell in (MARKED, "7.80511e+07"):
        assert cell in render_page(odd) and cell not in render_page(odd, examples=False)
    assert "data:image" not in render_page(photos, examples=False)


def test_every_number_of_the_proof_and_every_state_is_shown(tickets: Report) -> None:
    page = render_page(tickets)
    for entry in tickets.leaderboard:
        assert entry.name in page
    for badge in ("chosen", "baseline", "tie", "cut", "failed"):
        assert f'<span class="badge {badge}">' in page
    assert "0.867 to 0.946" in page and "looked at once" in page
    assert tickets.digest in page and html.escape(tickets.command) in page


def test_many_candidates_are_folded_but_never_lost(tickets: Report) -> None:
    many = tuple(Entry(f"trial {k}", "finetune", "s", {}, 0.9 - k / 1000, n=100) for k in range(60))
    page = render_page(replace(tickets, leaderboard=(*tickets.leaderboard, *many)))
    shown, folded = page.split("more candidates</summary>")
    assert "majority" in shown and "generalist" in shown
    assert "trial 59" not in shown and "trial 59" in folded


def test_a_bare_report_is_a_page_too(tickets: Report) -> None:
    bare = Report("a", "not a date", "It failed.", "bad", "regression", "y", (), "mae", "", "",
                  "tabular", "metier specialize a.csv")  # fmt: skip
    assert "It failed." in render_page(bare) and "not a date" in render_page(bare)
    assert to_json(bare)["name"] == "a"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless --hide-scrollbars --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-sync --disable-background-networking --disable-component-update "
    "--enable-logging=stderr --v=0"
)
FRAME = """<!doctype html><body>
<iframe id="f" style="border:0;width:{width}px;height:800px" srcdoc="{page}"></iframe>
<script>
document.getElementById("f").addEventListener("load", (event) => {{
  const page = event.target.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach((each) => {{ each.open = true; }});
  const wide = [...page.body.querySelectorAll("*")]
    .filter((each) => !each.closest(".scroll") && !each.closest(".unseen"))
    .filter((each) => each.getBoundingClientRect().right > {width} + 1)
    .map((each) => each.tagName + "." + each.className);
  document.body.dataset.found = JSON.stringify(
    [root.scrollWidth, root.clientWidth, wide.slice(0, 5)]);
}});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium binary on the path")
@pytest.mark.parametrize("name", ["tickets", "many_labels", "prices", "photos"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it_without_errors_or_sideways_scrolling(
    name: str, width: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    page = render_page(request.getfixturevalue(name))
    around = tmp_path / "frame.html"
    around.write_text(FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}",
         "--window-size=1400,900", "--dump-dom", around.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'data-found="\[(\d+),(\d+),(.*?)\]"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    assert found[1] == found[2] == str(width), found[3]
    assert found[3] == "[]"
    assert "CONSOLE" not in done.stderr


def test_measures_of_classes_stand_in_one_table() -> None:
    label = "<b>late</b>"
    found = tuple(
        Finding(f"{name}[{label}]", "", 0.5, 0.4, 0.6, n=9, details={"label": label})
        for name in ("precision", "recall")
    )
    whole = Finding("accuracy", "", 0.9, 0.8, 0.95, n=40)
    report = Report(
        name="run",
        created="2026-01-01T00:00:00",
        verdict="It works.",
        verdict_level="good",
        task_kind="multiclass",
        target="label",
        labels=(label, "b", "c"),
        metric="accuracy",
        source="embedded",
        strategy="probe",
        modality="text",
        command="metier specialize data.csv",
        proof=(whole, *found),
    )
    page = render_page(report)
    assert page.count("&lt;b&gt;late&lt;/b&gt;") == 1 and "<b>late</b>" not in page
    assert "By class" in page and "0.400 to 0.600" in page


def test_what_starts_from_nothing_is_made_from_the_rows_alone() -> None:
    entry = Entry("classical-0", "classical", "none", {"characters": False}, 0.9, 0.8, 0.95, 40)
    page = render_page(
        Report(
            name="run",
            created="2026-01-01T00:00:00",
            verdict="It works.",
            verdict_level="neutral",
            task_kind="binary",
            target="label",
            labels=("a", "b"),
            metric="accuracy",
            source="none",
            strategy="classical",
            modality="text",
            command="metier specialize data.csv",
            leaderboard=(entry,),
        )
    )
    assert "<dd>your rows alone<small>classical</small></dd>" in page
    assert "<small>characters no</small>" in page
