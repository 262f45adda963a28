"""The command line, `callsheet …`. Nothing is imported before a command is asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Carry out a command line (default: the process's own) and exit with its code."""
    from callsheet.cli.entry import execute

    raise SystemExit(execute(sys.argv[1:] if argv is None else list(argv)))
