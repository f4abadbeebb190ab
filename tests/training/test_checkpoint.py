from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from metier.training.checkpoint import NAME, Checkpoint, restore, save

RESET = Path("/proc/self/clear_refs")


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7.0), "random": torch.get_rng_state()}
    save(tmp_path, Checkpoint(tensors, {"step": 3, "curve": [[1, 0.5, None]]}))
    found = restore(tmp_path)
    assert found is not None and found.facts == {"step": 3, "curve": [[1, 0.5, None]]}
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())


@pytest.mark.skipif(not RESET.exists(), reason="only Linux tells the most that was used")
def test_numbers_are_not_copied_to_be_saved(tmp_path: Path) -> None:
    tensors = {str(i): torch.ones(8 << 20) for i in range(3)}
    RESET.write_text("5", encoding="ascii")
    before = used("VmRSS")
    save(tmp_path, Checkpoint(tensors, {}))
    assert used("VmHWM") - before < 24 << 20
    assert (tmp_path / NAME).stat().st_size > 96 << 20


def used(what: str) -> int:
    """A figure of this process's memory, in bytes."""
    told = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) << 10 for line in told if line.startswith(f"{what}:"))


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
