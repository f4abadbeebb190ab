"""The tables say what the results say, and writing them twice changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench import manifold, meta, paired, records, several, table

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


def test_a_record_without_a_part_of_the_key_was_measured_as_usual(tmp_path: Path) -> None:
    records.append("meta", {"set": "a", "ways": 5}, 1, tmp_path)
    held, usual = records.read("meta", tmp_path), {"ways": 5, "per_class": 40}
    assert records.find(held, {"set": "a", "ways": 5, "per_class": 40}, usual) is not None
    assert records.find(held, {"set": "a", "ways": 5, "per_class": 20}, usual) is None
    assert records.find(held, {"set": "a", "ways": 2, "per_class": 40}, usual) is None
    assert records.unusual({**held[0], "per_class": 20}, usual) == " (per class 20)"
    assert records.unusual(held[0], usual) == ""


@pytest.mark.parametrize(
    ("measure", "claim", "options"),
    [
        (meta, "meta", ["--ways 3", "--shots 1", "--image-model other", "--steps 7"]),
        (several, "several", ["--trials 2", "--test 50", "--train 60"]),
    ],
)
def test_other_settings_are_measured_for_themselves(
    measure: ModuleType,
    claim: str,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what was measured before the settings were written down is not measured again."""
    monkeypatch.setattr(meta, "_measure", lambda *_: {})
    monkeypatch.setattr(several, "measure", lambda *_: [{}])
    own = "cifar10" if claim == "meta" else "tickets"
    old = {"set": own, "method": "prototypical", "limit": None, "seed": 0}
    old |= {"steps": 100, "per_class": 40} if claim == "meta" else {"train": 800}
    words = ["--results", str(tmp_path), "--sets", own]
    if claim == "meta":
        words += ["--splits", "1"]
        old |= {"split": 0, "ways": 5, "shots": 5}
    records.append(claim, old, 1, tmp_path)
    for count, given in enumerate(["", *options]):
        for _ in range(2):
            measure.main([*words, *given.split()])
            assert len(records.read(claim, tmp_path)) == 1 + count


def test_each_shape_of_episodes_has_a_table_of_its_own(tmp_path: Path) -> None:
    facts = {"set": "banking77", "method": "prototypical", "steps": 100, "per_class": 40}
    facts |= {"limit": None, "before": 0.5, "after": 0.6, "difference": 0.1, "low": 0.05}
    facts |= {"high": 0.15, "seconds": 9.0, "split": 0}
    for more in ({"ways": 5}, {"ways": 2}, {"ways": 2, "split": 1}, {"ways": 2, "per_class": 9}):
        records.append("meta", {**facts, "shots": 5, **more}, 1, tmp_path)
    told = manifold.starts(tmp_path)
    assert [line.partition(",")[0] for line in told[1::2]] == ["5-way 5-shot", "2-way 5-shot"]
    rows = [line for line in told[4].splitlines() if "banking77" in line]
    assert len(rows) == 2 and "per class 9" in rows[1]


def test_the_pages_show_the_committed_results() -> None:
    assert table.main(["--check"]) == 0
    made = table.render()
    heads = {"fairness": "Fairness", "explain": "Explanations", "sureness": "Sureness"}
    heads |= {"robust": "Robustness", "audit": "Audits"}
    for claim, head in heads.items():
        assert (f"### {head}" in made) == bool(records.read(claim))
