"""The tables say what the results say, and writing them twice changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import paired, records, table

README = "# A\n\n<!-- bench:start -->\nold\n<!-- bench:end -->\n\nrest\n"


def enter(folder: Path, method: str, seed: int, right: list[int], seconds: float) -> None:
    """Enter a cell of four test rows, of which `right` are answered right."""
    key = {"set": "sst2", "method": method, "seed": seed, "limit": None}
    truth = np.array(["a", "b", "a", "b"])
    wrong = np.array(["b", "a", "b", "a"])
    predicted = np.where(np.isin(np.arange(4), right), truth, wrong)
    records.write_predictions(records.predictions_path(key, folder), truth, predicted, ["a", "b"])
    facts = {"metric": "accuracy", "score": len(right) / 4, "rows": [10, 4], "budget": 60.0}
    facts |= {"seconds": seconds, "peak_mb": 100.0, "notes": {"bundle_bytes": 1}}
    records.append("quality", {**key, **facts}, 1, folder)


def test_the_best_peer_and_the_gap_come_from_the_rows(tmp_path: Path) -> None:
    for seed in (0, 1):
        enter(tmp_path, "tfidf+lr", seed, [0], 1.0)
        enter(tmp_path, "trainer", seed, [0, 1], 9.0)
        enter(tmp_path, "metier", seed, [0, 1, 2], 8.0)
    made = table.render(tmp_path)
    assert "| sst2 | trainer 0.500 | +25.00 " in made
    assert "**0.750 ± 0.000**" in made
    assert "Mean gap over 1 sets: +25.00 points. Significantly worse: none." in made


def test_a_method_that_failed_is_listed(tmp_path: Path) -> None:
    enter(tmp_path, "trainer", 0, [0], 1.0)
    key = {"set": "sst2", "method": "setfit", "seed": 0, "limit": None}
    records.append("quality", {**key, "error": "ImportError: no"}, 1, tmp_path)
    assert "- setfit on sst2: ImportError: no" in table.render(tmp_path)


def test_a_sure_difference_is_significant_and_none_is_not() -> None:
    assert paired.judge(np.repeat([[1.0, 0.0]], [30, 70], axis=1)).p < 0.001
    assert paired.judge(np.zeros((1, 50))).p == 1.0
    even = paired.judge(np.repeat([[1.0, -1.0, 0.0]], [20, 20, 60], axis=1))
    assert even.low < 0 < even.high and even.p > 0.5


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    figures = tmp_path / "figures.md"
    figures.write_text(README)
    words = ["--results", str(tmp_path), "--readme", str(readme), "--figures", str(figures)]
    assert table.main([*words, "--check"]) == 1
    assert table.main([*words, "--write"]) == 0
    once = readme.read_text()
    assert table.main([*words, "--write"]) == 0
    assert readme.read_text() == once
    assert table.main([*words, "--check"]) == 0
    assert once.startswith("# A") and once.endswith("rest\n") and "old" not in once


def test_a_text_without_markers_is_refused() -> None:
    with pytest.raises(SystemExit, match="bench:start"):
        table.insert("nothing", "made")


def test_results_name_no_folder_of_the_machine() -> None:
    for path in records.RESULTS.glob("*.json*"):
        text = path.read_text(encoding="utf-8")
        assert str(records.ROOT.parent) not in text, path.name


def test_a_cell_is_found_by_its_key(tmp_path: Path) -> None:
    records.append("speed", {"set": "a", "repeat": 0}, 1, tmp_path)
    held = records.read("speed", tmp_path)
    assert records.find(held, {"set": "a", "repeat": 0}) is not None
    assert records.find(held, {"set": "a", "repeat": 1}) is None
    records.remove("speed", {"set": "a"}, tmp_path)
    assert records.read("speed", tmp_path) == []


def test_the_pages_show_the_committed_results() -> None:
    assert table.main(["--check"]) == 0
    made = table.render()
    heads = {"fairness": "Fairness", "explain": "Explanations", "sureness": "Sureness"}
    heads |= {"robust": "Robustness", "audit": "Audits"}
    for claim, head in heads.items():
        assert (f"### {head}" in made) == bool(records.read(claim))
