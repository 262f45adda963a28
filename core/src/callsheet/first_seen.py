"""Plugins that this user has not had before: told once, because installing a package is all it takes to add one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from callsheet.discovery import Discovery, FoundPlugin, normalised
from callsheet.user_folders import user_folder

__all__ = ["announce_new", "new_plugins", "seen_file"]

MAX_BYTES = 1 << 20


def new_plugins(plugins: Iterable[FoundPlugin], seen: Mapping[str, object]) -> list[FoundPlugin]:
    """The usable plugins of distributions that are not in `seen`, one for each distribution."""
    new: dict[str, FoundPlugin] = {}
    for found in plugins:
        name = normalised(found.distribution)
        if found.usable and found.root is not None and name not in seen:
            new.setdefault(name, found)
    return list(new.values())


def announce_new(discovery: Discovery, file: Path | None = None) -> str:
    """A line about the plugins that are new to this user, who is taken to have read it; empty when there are none."""
    file = file or seen_file()
    seen = _read(file)
    new = new_plugins(discovery.plugins, seen)
    if not new:
        return ""
    _write(file, {**seen, **{normalised(found.distribution): found.version for found in new}})
    names = ", ".join(found.label for found in new)
    return f"new here: {names}; `callsheet plugins doctor` examines what is installed"


def seen_file() -> Path:
    """Where the plugins that were announced are kept: in the user's state folder."""
    return user_folder("state") / "plugins-seen.json"


def _read(file: Path) -> dict[str, object]:
    try:
        with file.open("rb") as opened:
            seen = json.loads(opened.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return seen if isinstance(seen, dict) else {}


def _write(file: Path, seen: Mapping[str, object]) -> None:
    draft = file.with_name(f"{file.name}.{os.urandom(6).hex()}.tmp")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(json.dumps(seen, indent=1), encoding="utf-8")
        draft.replace(file)
    except OSError:  # told again the next time
        with suppress(OSError):
            draft.unlink(missing_ok=True)
