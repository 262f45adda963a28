"""The folders in which this user's cache, state and configuration of callsheet lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

__all__ = ["user_folder"]

_ON_LINUX = {"cache": ".cache", "config": ".config", "state": ".local/state"}


def user_folder(kind: Literal["cache", "config", "state"]) -> Path:
    """The folder, which need not be there; `XDG_CACHE_HOME` and so on move it. Raises RuntimeError without a home."""
    if sys.platform == "linux":  # as platformdirs does it; importing that takes longer than most commands work
        configured = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
        return (Path(configured) if configured else Path.home() / _ON_LINUX[kind]) / "callsheet"
    import platformdirs

    path: Path = getattr(platformdirs, f"user_{kind}_path")("callsheet", appauthor=False)
    return path
