"""The commands of the page "From specialist to production" run, in their order."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.serving.conftest import METIER

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
HEAD = "set -euo pipefail\n"
METIER_SCRIPT = '#!/bin/sh\nexec "$PYTHON" -c "$METIER" "$@"\n'
WAIT = """
server=$!
trap 'kill $server; wait $server' EXIT
for _ in $(seq 600); do
  curl --silent --output /dev/null http://127.0.0.1:8000/health && break
  sleep 0.1
done
"""


def script() -> str:
    """Every shell block; the server goes to the background until the end."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    assert len(blocks) >= 5
    lines = []
    for block in blocks:
        before, serve, after = block.partition("metier serve")
        lines.append(before + (f"{serve}{after.rstrip()} &{WAIT}" if serve else ""))
    return HEAD + "\necho ----\n".join(lines)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_commands_run(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = tmp_path / "bin" / "metier"
    program.parent.mkdir()
    program.write_text(METIER_SCRIPT, encoding="utf-8")
    program.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    done = subprocess.run(
        ["bash", "-c", script().replace("8000", port)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        env={
            **os.environ,
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "METIER": METIER,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = f"serving at http://127.0.0.1:{port}\n"
    assert done.stdout.count(line) == 1
    _, _, asked, about, watched = done.stdout.replace(line, "").split("----\n")
    answers = json.loads(asked)["predictions"]
    assert len(answers) == 2 and all(row["prediction"] for row in answers)
    assert '"status":"ok"' in about and '"task":"multiclass"' in about and '"openapi"' in about
    assert '"level":"waiting"' in watched
    told = set(re.findall(r"^(metier_\w+?)(?:_bucket|_sum|_count|_created)?[ {]", watched, re.M))
    named = set(re.findall(r"`(metier_\w+)", PAGE))
    assert named <= told | {"metier_predictions_total"}
    rules = yaml.safe_load("".join(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)))
    for rule in rules["groups"][0]["rules"]:
        assert set(re.findall(r"metier_\w+", rule["expr"])) <= told


def test_the_page_is_linked() -> None:
    assert "docs/production.md" in (ROOT / "README.md").read_text(encoding="utf-8")
