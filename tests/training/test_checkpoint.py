from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from metier.training.checkpoint import NAME, Checkpoint, restore, save


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7.0), "random": torch.get_rng_state()}
    save(tmp_path, Checkpoint(tensors, {"step": 3, "curve": [[1, 0.5, None]]}))
    found = restore(tmp_path)
    assert found is not None and found.facts == {"step": 3, "curve": [[1, 0.5, None]]}
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())


def test_views_that_share_memory_are_saved_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    save(tmp_path, Checkpoint({"a": whole[:3], "b": whole[2:]}, {}))
    found = restore(tmp_path)
    assert found is not None
    assert found.tensors["b"].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_the_file_is_safetensors_and_not_pickle(tmp_path: Path) -> None:
    save(tmp_path, Checkpoint({"a": torch.zeros(2)}, {"step": 1}))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert path.name == NAME
    assert json.loads(content[8 : 8 + size])["__metadata__"] == {"facts": '{"step": 1}'}


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert restore(tmp_path) is None


def test_a_fault_while_saving_leaves_the_last_one(tmp_path: Path) -> None:
    save(tmp_path, Checkpoint({"a": torch.ones(1)}, {"step": 1}))
    with pytest.raises(TypeError):
        save(tmp_path, Checkpoint({"a": torch.ones(1)}, {"step": object()}))
    found = restore(tmp_path)
    assert found is not None and found.facts["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == [NAME]
