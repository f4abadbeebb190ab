"""What the doctor sees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from metier import doctor


def test_libraries_say_what_brings_them() -> None:
    found = {symptom.name: symptom for symptom in doctor.libraries()}
    assert found["numpy"].status == "ok"
    missing = [s for s in found.values() if s.status == "missing"]
    assert all("pip install 'metier" in symptom.mend for symptom in missing)


def test_every_library_is_brought_by_the_extra_that_is_named(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    brought = {
        extra: {re.split(r"[\[<>=!~ ]", line)[0] for line in lines}
        for extra, lines in lists.items()
    }
    for name, extra, _ in doctor.NEEDED:
        assert name in brought[extra], f"{name} is not in the extra {extra!r}"


def test_every_extra_for_users_is_told_of(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = {extra for _, extra, _ in doctor.NEEDED if extra}
    assert told == project["optional-dependencies"].keys() - {"all", "dev"}


def test_an_import_that_fails_is_broken() -> None:
    faults = {"torch": "ImportError: libc10.so"}
    found = doctor.breakages(faults.get)
    assert [(s.name, s.status, s.found) for s in found if s.name == "import torch"] == [
        ("import torch", "broken", "ImportError: libc10.so")
    ]


def test_import_fault_is_the_last_line_of_the_complaint() -> None:
    assert doctor.import_fault("json") is None
    assert "no_such_module" in (doctor.import_fault("no_such_module") or "")


def test_torch_that_torchvision_was_built_for() -> None:
    assert doctor.torch_wanted(["numpy", "torch==2.6.0+cpu"]) == "2.6.0+cpu"
    assert doctor.torch_wanted(['torch==2.6.0; python_version > "3"']) == "2.6.0"
    assert doctor.torch_wanted(["torch>=2", "torchaudio==2.6.0"]) is None


def test_torchvision_for_another_torch_is_broken() -> None:
    found = doctor.torchvision_fault("2.13.0+cpu", "0.21.0", ["torch==2.6.0"])
    assert found is not None
    assert found.status == "broken"
    assert found.mend == "pip uninstall torchvision"
    assert doctor.torchvision_fault("2.6.0+cpu", "0.21.0", ["torch==2.6.0"]) is None


def test_machine_and_sources_are_listed() -> None:
    assert {"python", "cores", "memory"} <= {symptom.name for symptom in doctor.machine()}
    assert "embedded" in {symptom.name for symptom in doctor.default_sources()}
