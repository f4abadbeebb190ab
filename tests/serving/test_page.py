"""The playground, in a real browser, as wide as a phone and as a desk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest

from metier.serving.page import render_page
from tests.serving import bundles
from tests.serving.browser import CHROMIUM, Tab, browse
from tests.serving.conftest import Live, live

PHONE, DESK = 360, 1280
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
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browse(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page may throw or log an error, its policy broken included."""
    yield
    if "tab" in request.fixturenames:
        found = request.getfixturevalue("tab").complaints
        told, found[:] = list(found), []
        assert told == []


def open_page(tab: Tab, server: Live, width: int = DESK, dark: bool = False) -> None:
    tab.show(f"http://127.0.0.1:{server.port}/", width, dark=dark)
    tab.wait("!document.getElementById('room').hidden")


def keep(tab: Tab, name: str) -> None:
    if PICTURES:
        tab.picture(Path(PICTURES) / f"{name}.png")


def test_the_page_is_whole_in_itself() -> None:
    page = render_page()
    assert "/* style */" not in page.html and "/* script */" not in page.html
    assert "http://" not in page.html and "https://" not in page.html
    assert "'unsafe" not in page.policy and page.policy.startswith("default-src 'none'")


@NEEDED
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_sentence_is_answered(tab: Tab, text: Live, width: int) -> None:
    open_page(tab, text, width, dark=width == PHONE)
    assert tab.value("document.getElementById('title').textContent").startswith("Tells")
    tab.type("textarea", "my card is lost, please help")
    tab.value("document.getElementById('ask').click()")
    assert tab.wait("document.querySelector('.said')?.textContent") == "card"
    assert tab.value("[...document.querySelectorAll('.bars .num')].length") == 2
    first = tab.value("document.querySelector('.bars li .num').textContent")
    shares = [
        row["probabilities"]["card"]
        for row in text.ask("/predict", {"rows": [{"text": "my card is lost, please help"}]}).json[
            "predictions"
        ]
    ]
    assert first == f"{100 * shares[0]:.0f} %"
    assert " ms" in tab.value("document.querySelector('.told').textContent")
    assert tab.value("document.querySelector('.bars .fill').getBoundingClientRect().width") > 50
    assert tab.value(TOO_WIDE) == []
    assert tab.value("document.documentElement.scrollWidth") == width
    keep(tab, f"text-{width}")


@NEEDED
def test_a_row_is_filled_in_and_the_keyboard_is_enough(tab: Tab, table: Live) -> None:
    open_page(tab, table, PHONE)
    tab.type("[data-column=size]", "3.5")
    tab.type("[data-column=colour]", "blue")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                 windowsVirtualKeyCode=13)  # fmt: skip
    assert tab.wait("document.querySelector('.said')?.textContent") == "4.5"
    assert tab.value(TOO_WIDE) == []
    keep(tab, "table-phone")


@NEEDED
def test_an_image_is_chosen_and_answered(tab: Tab, image: Live, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    PIL.Image.new("RGB", (300, 200), (200, 90, 40)).save(picture)
    open_page(tab, image, PHONE)
    tab.value("document.getElementById('ask').click()")
    assert tab.wait("document.querySelector('.wrong')?.textContent") == "Choose an image first."
    tab.choose_file("input[type=file]", picture)
    assert tab.wait("document.querySelector('.said')?.textContent") in ("card", "billing")
    assert tab.wait("document.querySelector('.drop img')?.naturalWidth") == 300
    assert tab.wait("document.getElementById('says').textContent") == "Nobody knows"
    keep(tab, "image-phone")


@NEEDED
def test_what_is_wrong_is_said_in_words(tab: Tab, table: Live) -> None:
    open_page(tab, table)
    tab.value("document.getElementById('ask').click()")
    assert tab.wait("document.querySelector('.wrong')?.textContent") == "Fill in something first."


@NEEDED
def test_a_closed_door_opens_with_the_token(tab: Tab, written: Callable[[str], Path]) -> None:
    with live(written("text"), token="s3cret") as server:
        tab.show(f"http://127.0.0.1:{server.port}/", PHONE)
        tab.wait("!document.getElementById('door').hidden")
        for given in ("wrong", "s3cret"):
            tab.value("document.getElementById('token').value = ''")
            tab.type("#token", given)
            tab.value("document.querySelector('#door button').click()")
            if given == "wrong":
                tab.wait("document.getElementById('denied').textContent.includes('not the token')")
        tab.wait("!document.getElementById('room').hidden")
        tab.type("textarea", "card")
        tab.value("document.getElementById('ask').click()")
        assert tab.wait("document.querySelector('.said')?.textContent") == "card"
        assert "METIER_TOKEN" in tab.value("document.getElementById('curl').textContent")
    # The browser itself logs each answer 401.
    assert len(tab.complaints) == 2 and all("401" in told for told in tab.complaints)
    tab.complaints.clear()


@NEEDED
def test_the_page_tells_of_drift(tab: Tab, written: Callable[[str], Path]) -> None:
    with live(written("text")) as server:
        for seed in range(3):
            rows = [{"text": text} for text in bundles.texts(100, seed + 9)]
            server.ask("/predict", {"rows": rows})
        open_page(tab, server, PHONE)
        tab.wait("!!document.querySelector('#level.steady')")
        server.ask("/predict", {"rows": [{"text": "gardens and rain again"}] * 250})
        open_page(tab, server, PHONE)
        tab.wait("!!document.querySelector('#level.alarm')")
        assert "unlike any of training" in tab.value(
            "document.getElementById('unlike').textContent"
        )
        assert tab.value("document.querySelectorAll('#signals tr').length") == 4
        assert tab.value(TOO_WIDE) == []
        keep(tab, "drift-phone")


@NEEDED
def test_hostile_names_are_only_shown(tab: Tab, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    folder = bundles.write_named(tmp_path / "bundle", hostile)
    with live(folder) as server:
        open_page(tab, server)
        tab.type("textarea", hostile)
        tab.value("document.getElementById('ask').click()")
        assert tab.wait("document.querySelector('.said')?.textContent") == hostile
        assert tab.value("document.querySelectorAll('img').length") == 0
