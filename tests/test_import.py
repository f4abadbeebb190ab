"""The bare import and the help stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import metier

HEAVY = (
    "torch", "transformers", "sklearn", "scipy", "optuna", "lightgbm", "onnx", "onnxruntime",
    "polars", "pandas", "numpy", "rich", "PIL", "tokenizers",
)  # fmt: skip


def modules_after(code: str) -> set[str]:
    """The modules that are loaded after `code` has run in a fresh interpreter."""
    listing = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_bare_import_loads_nothing_heavy() -> None:
    assert modules_after("import metier").isdisjoint(HEAVY)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "from metier.cli import main\ntry: main(['specialize', '--help'])\nexcept SystemExit: pass"
    )
    assert modules_after(code).isdisjoint(HEAVY)


def test_predicting_needs_no_training_library() -> None:
    loaded = modules_after("import metier; metier.load")
    assert loaded.isdisjoint({"torch", "transformers", "sklearn", "polars", "pandas", "onnx"})


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'specialise'"):
        _ = metier.specialise  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [n for n in metier.__all__ if n != "__version__"])
def test_public_names_are_documented_functions(name: str) -> None:
    found = getattr(metier, name)
    assert callable(found)
    assert found.__doc__


def test_public_names_are_listed() -> None:
    assert set(metier.__all__) <= set(dir(metier))
