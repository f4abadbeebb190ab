"""The playground, in a real browser, as wide as a phone and as a desk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest

from metier.serving.page import render_page
from tests.browser import CHROMIUM, Page, browse
from tests.serving import bundles
from tests.serving.conftest import Doubtful, Live, live

PHONE, DESK = 360, 1280
SENTENCE = "my card is lost, please help"
NEEDED = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium binary on the path")
PICTURES = os.environ.get("METIER_PICTURES")
"""A folder for pictures of the page, for who wants to look at it."""

TOO_WIDE = """(() => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  return [...document.body.querySelectorAll("*")]
    .filter((each) => !each.closest(".scroll") && !each.closest(".drop"))
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
    .map((each) => `${each.tagName}.${each.className}`).slice(0, 5);
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page may throw or log an error, its policy broken included."""
    yield
    if "tab" in request.fixturenames:
        page = request.getfixturevalue("tab")
        told = page.faults()
        page.events.clear()
        assert told == []


def show(tab: Page, server: Live, width: int, dark: bool = False) -> None:
    tab.size(width, 900, phone=width == PHONE, dark=dark)
    tab.open(f"http://127.0.0.1:{server.port}/")
    tab.until("document.readyState === 'complete' && location.protocol === 'http:'")


def fill(tab: Page, selector: str, text: str) -> None:
    """Type into a field as a person does."""
    tab.run(f"document.querySelector({selector!r}).focus()")
    tab.send("Input.insertText", text=text)


def open_page(tab: Page, server: Live, width: int = DESK, dark: bool = False) -> None:
    show(tab, server, width, dark)
    tab.until("!document.getElementById('room').hidden")


def keep(tab: Page, name: str) -> None:
    if PICTURES:
        tab.picture(Path(PICTURES) / f"{name}.png")


def test_the_page_is_whole_in_itself() -> None:
    page = render_page()
    assert "/* style */" not in page.html and "/* script */" not in page.html
    assert "http://" not in page.html and "https://" not in page.html
    assert "'unsafe" not in page.policy and page.policy.startswith("default-src 'none'")


@NEEDED
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_sentence_is_answered(tab: Page, text: Live, width: int) -> None:
    open_page(tab, text, width, dark=width == PHONE)
    assert tab.until("document.getElementById('title').textContent.startsWith('Tells')")
    fill(tab, "textarea", SENTENCE)
    tab.run("document.getElementById('ask').click()")
    assert tab.until("document.querySelector('.said')?.textContent") == "card"
    assert tab.run("document.getElementById('doubt').hidden"), "it knows nothing of its doubt"
    assert tab.run("[...document.querySelectorAll('.bars .num')].length") == 2
    first = tab.run("document.querySelector('.bars li .num').textContent")
    (row,) = text.ask("/predict", {"rows": [{"text": SENTENCE}]}).json["predictions"]
    assert first == f"{100 * row['probabilities']['card']:.0f} %"
    assert " ms" in tab.run("document.querySelector('.told').textContent")
    assert tab.run("document.querySelector('.bars .fill').getBoundingClientRect().width") > 50
    assert tab.run(TOO_WIDE) == []
    root = "document.documentElement"
    assert tab.run(f"{root}.scrollWidth") == tab.run(f"{root}.clientWidth") <= width
    keep(tab, f"text-{width}")


@NEEDED
def test_a_row_is_filled_in_and_the_keyboard_is_enough(tab: Page, table: Live) -> None:
    open_page(tab, table, PHONE)
    fill(tab, "[data-column=size]", "3.5")
    fill(tab, "[data-column=colour]", "blue")
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                 windowsVirtualKeyCode=13)  # fmt: skip
    assert tab.until("document.querySelector('.said')?.textContent") == "4.5"
    assert tab.run(TOO_WIDE) == []
    keep(tab, "table-phone")


@NEEDED
def test_an_image_is_chosen_and_answered(tab: Page, image: Live, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    PIL.Image.new("RGB", (300, 200), (200, 90, 40)).save(picture)
    open_page(tab, image, PHONE)
    tab.run("document.getElementById('ask').click()")
    assert tab.until("document.querySelector('.wrong')?.textContent") == "Choose an image first."
    tab.choose("input[type=file]", picture)
    assert tab.until("document.querySelector('.said')?.textContent") in ("card", "billing")
    assert tab.until("document.querySelector('.drop img')?.naturalWidth") == 300
    assert tab.until("document.getElementById('says').textContent") == "Nobody knows"
    keep(tab, "image-phone")


@NEEDED
def test_labels_that_may_be_right_are_shown_when_asked_for(tab: Page, own: Doubtful) -> None:
    with live(own("text")) as server:
        open_page(tab, server, PHONE)
        assert tab.run("document.getElementById('doubt').textContent") == (
            "Show all labels that may be right, at 90\u00a0%"
        )
        fill(tab, "textarea", SENTENCE)
        tab.run("document.getElementById('ask').click()")
        tab.until("document.querySelector('.said')?.textContent")
        assert tab.run("document.querySelector('.maybe')") is None
        assert "coverage" not in tab.run("document.getElementById('curl').textContent")
        tab.run("document.getElementById('wanted').click()")
        told = tab.until("document.querySelector('.maybe')?.textContent")
        body = {"rows": [{"text": SENTENCE}], "coverage": 0.9}
        (row,) = server.ask("/predict", body).json["predictions"]
        assert row["set"] and len(row["set"]) < 2
        assert told == f"May be right, at 90\u00a0%: {', '.join(row['set'])}"
        assert '"coverage":0.9' in tab.run("document.getElementById('curl').textContent")
        assert tab.run(TOO_WIDE) == []
        keep(tab, "set-phone")


@NEEDED
def test_labels_that_a_picture_may_have_are_asked_for_in_a_form(
    tab: Page, own: Doubtful, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    PIL.Image.new("RGB", (300, 200), (200, 90, 40)).save(picture)
    with live(own("image")) as server:
        open_page(tab, server)
        tab.run("document.getElementById('wanted').click()")
        tab.choose("input[type=file]", picture)
        told = tab.until("document.querySelector('.maybe')?.textContent")
        assert "at 90\u00a0%" in told
        assert "-F coverage=0.9" in tab.run("document.getElementById('curl').textContent")


@NEEDED
def test_a_number_comes_with_its_range(tab: Page, own: Doubtful) -> None:
    with live(own("table")) as server:
        open_page(tab, server, PHONE)
        fill(tab, "[data-column=size]", "3.5")
        fill(tab, "[data-column=colour]", "blue")
        tab.run("document.getElementById('ask').click()")
        told = tab.until("document.querySelector('.maybe')?.textContent")
        body = {"rows": [{"size": 3.5, "colour": "blue"}], "coverage": 0.9}
        (row,) = server.ask("/predict", body).json["predictions"]
        assert told == f"between {row['low']:.6g} and {row['high']:.6g}, at 90\u00a0%"
        tab.run("document.getElementById('wanted').click()")
        tab.until("document.querySelector('.said') && !document.querySelector('.maybe')")
        keep(tab, "range-phone")


@NEEDED
def test_what_is_wrong_is_said_in_words(tab: Page, table: Live) -> None:
    open_page(tab, table)
    tab.run("document.getElementById('ask').click()")
    assert tab.until("document.querySelector('.wrong')?.textContent") == "Fill in something first."


@NEEDED
def test_a_closed_door_opens_with_the_token(tab: Page, written: Callable[[str], Path]) -> None:
    with live(written("text"), token="s3cret") as server:
        show(tab, server, PHONE)
        tab.until("!document.getElementById('door').hidden")
        for given in ("wrong", "s3cret"):
            tab.run("document.getElementById('token').value = ''")
            fill(tab, "#token", given)
            tab.run("document.querySelector('#door button').click()")
            if given == "wrong":
                tab.until("document.getElementById('denied').textContent.includes('not the token')")
        tab.until("!document.getElementById('room').hidden")
        fill(tab, "textarea", "card")
        tab.run("document.getElementById('ask').click()")
        assert tab.until("document.querySelector('.said')?.textContent") == "card"
        assert "METIER_TOKEN" in tab.run("document.getElementById('curl').textContent")
    # The browser itself logs each answer 401.
    assert len(tab.faults()) == 2 and all("401" in told for told in tab.faults())
    tab.events.clear()


@NEEDED
def test_the_page_tells_of_drift(tab: Page, written: Callable[[str], Path]) -> None:
    with live(written("text")) as server:
        for seed in range(3):
            rows = [{"text": text} for text in bundles.texts(100, seed + 9)]
            server.ask("/predict", {"rows": rows})
        open_page(tab, server, PHONE)
        tab.until("!!document.querySelector('#level.steady')")
        server.ask("/predict", {"rows": [{"text": "gardens and rain again"}] * 250})
        open_page(tab, server, PHONE)
        tab.until("!!document.querySelector('#level.alarm')")
        told = tab.run("document.getElementById('unlike').textContent")
        assert "unlike those of training" in told
        assert tab.run("document.querySelectorAll('#signals tr').length") == 4
        assert tab.run(TOO_WIDE) == []
        keep(tab, "drift-phone")


@NEEDED
def test_hostile_names_are_only_shown(tab: Page, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    folder = bundles.write_named(tmp_path / "bundle", hostile)
    with live(folder) as server:
        open_page(tab, server)
        fill(tab, "textarea", hostile)
        tab.run("document.getElementById('ask').click()")
        assert tab.until("document.querySelector('.said')?.textContent") == hostile
        assert tab.run("document.querySelectorAll('img').length") == 0
