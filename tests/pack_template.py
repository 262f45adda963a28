"""Writes plugins/_template into the data file of which `callsheet plugins new` makes packages: run it after a change there."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "plugins" / "_template"
DATA = ROOT / "core" / "src" / "callsheet" / "template_plugin.json"
LEFT_BEHIND = ("__pycache__", "_cache", ".venv", "dist", ".callsheet", ".hypothesis")
"""What tools leave there: ends of the names of folders."""


def packed() -> str:
    """What belongs into the data file: the lines of each file by path."""
    files = [path for path in sorted(FOLDER.rglob("*")) if path.is_file()]
    kept = [
        path for path in files if not any(part.endswith(LEFT_BEHIND) for part in path.relative_to(FOLDER).parts[:-1])
    ]
    lines = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8").splitlines() for path in kept}
    return json.dumps(lines, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DATA.write_text(packed(), encoding="utf-8")
