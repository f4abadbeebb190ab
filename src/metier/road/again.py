"""What was asked of a run that has one answer, kept beside it: asked again, it is found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metier.cache import write_aside
from metier.errors import OptionError
from metier.road.asked import ASKED


def recall(folder: Path, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer that a folder holds to a question, None when it has none yet.

    Raises OptionError when something else was asked of it, or it holds no run.
    """
    path = folder / ASKED
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise OptionError(f"--out {folder}: holds no run to go on with; give another folder")
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    if known.get("question") != json.loads(json.dumps(question)):
        raise OptionError(
            f"--out {folder}: its run was asked something else, or of other data; ask the same to "
            "--resume, or give another folder"
        )
    answer: dict[str, Any] | None = known.get("answer")
    return answer


def keep_answer(folder: Path, question: Mapping[str, Any], answer: Any = None) -> None:
    """Write down what is asked of a folder, and the answer as plain JSON once there is one."""
    told = {"question": question, **({} if answer is None else {"answer": answer})}
    write_aside(folder / ASKED, json.dumps(told).encode())
