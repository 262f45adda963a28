"""The mock's journal: what a vendor's own list of jobs would show. A line is on disk before the call is answered."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["VARIABLE", "Journal"]

VARIABLE = "CALLSHEET_MOCK_JOURNAL"
"""Names another journal file than the one in the project's state folder."""


class Journal:
    """Append-only JSON lines; several processes may write at once (each line is one write to a file opened to append)."""

    def __init__(self, workspace: Path) -> None:
        self._path = Path(os.environ.get(VARIABLE) or workspace / "journal.jsonl")

    def write(self, event: str, key: str, **more: object) -> None:
        """Add a line. `event` is accepted, rejected, aborted or collected; `key` is the call's."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"event": event, "key": key, **more}, separators=(",", ":")) + "\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def lines(self, key: str) -> Iterator[Mapping[str, object]]:
        """What was written of one call, oldest first; a torn last line is passed over."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            if key not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("key") == key:
                yield entry

    def count(self, event: str, key: str) -> int:
        """How often this happened to this call."""
        return sum(1 for entry in self.lines(key) if entry["event"] == event)
