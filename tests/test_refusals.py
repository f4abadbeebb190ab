"""Bad input is refused in one line, and nothing is left behind; odd input is warned of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from metier.api import specialize
from metier.cli import main
from metier.errors import InputError
from tests import tiny

ROWS = [
    f"{word} number {i},{label}"
    for i in range(15)
    for word, label in (("apple", "a"), ("pear", "b"))
]
TABLE = "x,y,label\n" + "\n".join(f"{i % 7},{i % 5},{'ab'[i % 7 > 3]}" for i in range(60))


def good(folder: Path) -> Path:
    (folder / "good.csv").write_text(TABLE)
    return folder / "good.csv"


def written(content: str | bytes, name: str = "data.csv") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def no_images(folder: Path) -> Path:
    (folder / "photos" / "cats").mkdir(parents=True)
    (folder / "photos" / "cats" / "notes.txt").write_text("none yet")
    return folder / "photos"


Made = Callable[[Path], Path]
REFUSED: list[tuple[str, Made, list[str], list[str]]] = [
    ("missing file", lambda f: f / "nowhere.csv", [], ["nowhere.csv", "does not exist"]),
    ("folder without images", no_images, [], ["photos", "images"]),
    ("wrong target", good, ["--target", "lable"], ["lable", "label"]),
    ("one class", written("x,label\n1,a\n2,a\n3,a\n"), ["--target", "label"], ["one"]),
    ("no targets", written("x,label\n1,\n2,\n3,\n"), ["--target", "label"], ["missing"]),
    ("words to regress", good, ["--task", "regression"], ["label", "number"]),
    ("empty file", written(""), [], ["empty"]),
    ("header only", written("x,label\n"), ["--target", "label"], ["no rows"]),
    ("binary as csv", written(bytes(range(256)) * 20), [], ["data.csv"]),
    ("broken json", written('{"x": 1,', "d.jsonl"), [], ["d.jsonl"]),
    ("broken parquet", written(b"PAR1 and no more", "d.parquet"), [], ["d.parquet"]),
    ("source", good, ["--source", "no-such-source"], ["no-such-source"]),
    ("strategy", good, ["--strategy", "bost"], ["bost", "did you mean 'boost'"]),
    ("strategy of texts", good, ["--strategy", "probe"], ["probe", "tabular"]),
    ("metric", good, ["--metric", "acuracy"], ["acuracy", "did you mean 'accuracy'"]),
    ("metric of numbers", good, ["--metric", "rmse"], ["rmse"]),
    ("budget", good, ["--budget", "soon"], ["soon", "5m"]),
    ("budget of nothing", good, ["--budget", "0s"], ["0s"]),
    ("sampler", good, ["--sampler", "tpr"], ["tpr", "did you mean 'tpe'"]),
    ("task", good, ["--task", "multyclass"], ["multyclass", "did you mean 'multiclass'"]),
    ("cost", good, ["--cost", "fx=2"], ["fx"]),
    ("group", good, ["--group", "who"], ["who"]),
    ("time", good, ["--time", "when"], ["when"]),
    ("group is target", good, ["--target", "y", "--group", "y"], ["'y' is the target", "group"]),
    ("time is target", good, ["--target", "y", "--time", "y"], ["'y' is the target", "time"]),
    ("test file", good, ["--test", "nowhere.csv"], ["test data", "nowhere.csv"]),
    ("seed", good, ["--seed", "-1"], ["-1", "whole number from 0"]),
    ("trials and budget", good, ["--budget", "5s", "--trials", "2"], ["--trials"]),
]


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [pytest.param(make, options, said, id=name) for name, make, options, said in REFUSED],
)
def test_refused_in_one_line_and_nothing_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: Made,
    options: list[str],
    said: list[str],
) -> None:
    data = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["specialize", str(data), *options]) == 2
    shown = capsys.readouterr()
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    for word in said:
        assert word in errors[0]
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["text,label", *ROWS]))
    return path


@pytest.mark.parametrize("broken", ["no config", "pickle", "no weights", "cut weights"])
def test_unsafe_or_broken_sources_are_refused(tmp_path: Path, texts: Path, broken: str) -> None:
    source = tiny.save_bert(tmp_path / "source")
    weights = source / "model.safetensors"
    if broken == "no config":
        (source / "config.json").unlink()
    elif broken == "cut weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        weights.rename(source / "pytorch_model.bin")
    if broken == "no weights":
        (source / "pytorch_model.bin").unlink()
    out = tmp_path / "runs" / "run"
    with pytest.raises(InputError, match=str(source)) as caught:
        specialize(texts, target="label", sources=[str(source)], trials=1, out=out)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_an_out_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    data = good(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="not empty"):
        specialize(data, trials=1, out=tmp_path / "run")
    (tmp_path / "run" / "run.toml").write_text("")
    with pytest.raises(InputError, match="holds another run"):
        specialize(data, trials=1, out=tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["diary.txt", "run.toml"]


@pytest.mark.parametrize("place", ["a file", "below a file", "nowhere to write"])
def test_out_folders_that_cannot_be(tmp_path: Path, place: str) -> None:
    data = good(tmp_path)
    out = {
        "a file": data,
        "below a file": data / "run",
        "nowhere to write": Path("/proc/1/run"),
    }[place]
    with pytest.raises(InputError, match="--out"):
        specialize(data, trials=1, out=out)


def test_a_seed_below_zero_is_refused_in_python_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed -1"):
        specialize(good(tmp_path), seed=-1, trials=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_out_folder_stays_empty_when_refused(tmp_path: Path) -> None:
    data = written("x,g,label\n" + "\n".join(f"{i},one,{'ab'[i % 2]}" for i in range(40)))(tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="group"):
        specialize(data, target="label", group="g", trials=1, out=tmp_path / "run")
    assert not any((tmp_path / "run").iterdir())


def run(data: Path, *options: str) -> list[str]:
    return ["specialize", str(data), "--trials", "1", *options]


def test_odd_tables_are_warned_of_and_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["x,x,label", *(f"{i % 7},{i % 5},{'ab'[i % 7 > 3]}" for i in range(60))]
    lines[7] += ",one too many"
    content = "\n".join(lines).encode() + "\n3,4,a".encode("latin-1")
    data = written(content)(tmp_path)
    assert main(run(data, "--target", "label", "--out", str(tmp_path / "run"), "--json")) == 0
    shown = capsys.readouterr()
    assert "warning" in shown.err
    assert json.loads(shown.out.splitlines()[-1])["task"] == "binary"


def test_texts_with_odd_letters_and_a_huge_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"caf\u00e9 {i} und so,{'ab'[i % 2]}".encode("latin-1" if i == 9 else "utf-8")
        for i in range(40)
    ]
    rows[5] = b"word " * 2_100_000 + b",a"
    data = written(b"text,label\n" + b"\n".join(rows))(tmp_path)
    out = str(tmp_path / "run")
    options = ["--target", "label", "--strategy", "classical", "--out", out]
    assert main(run(data, *options)) == 0
    assert capsys.readouterr().err.count("warning") >= 2


def test_a_broken_image_is_listed_and_the_others_are_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, shade in (("dark", 20), ("light", 220)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(12):
            image = PIL.Image.new("RGB", (24, 24), (shade + i, shade, shade - i))
            image.save(tmp_path / "photos" / label / f"{i}.png")
    (tmp_path / "photos" / "dark" / "broken.png").write_bytes(b"no image at all")
    out = tmp_path / "run"
    options = ["--strategy", "classical", "--out", str(out)]
    assert main(run(tmp_path / "photos", *options)) == 0
    assert "1 images do not open" in capsys.readouterr().err
    findings = [json.loads(line) for line in (out / "findings.jsonl").read_text().splitlines()]
    broken = next(found for found in findings if found["name"] == "unreadable images")
    assert "broken.png" in broken["details"]["reasons"][0]
