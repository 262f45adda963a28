"""Which files are generated, and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from references.checks import checks
from references.command_line import command_line
from references.floors import ARCHITECTURE, architecture
from references.pages import DOCS, ROOT
from references.schemas import SCHEMAS, documents
from references.signatures import signatures

__all__ = ["FILES"]


def _schema(name: str) -> str:
    return json.dumps(documents()[name], indent=1, ensure_ascii=False) + "\n"


FILES: Mapping[Path, Callable[[], str]] = {
    DOCS / "reference" / "command-line.md": command_line,
    DOCS / "reference" / "checks.md": checks,
    DOCS / "reference" / "signatures.md": signatures,
    DOCS / ARCHITECTURE: architecture,
    **{ROOT / f"core/src/callsheet/schemas/{name}.json": partial(_schema, name) for name in SCHEMAS},
}
"""The text of each, as it has to be."""
