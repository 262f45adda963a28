"""The mock's journal: what a vendor's own list of jobs would show. A line is on disk before the call is answered."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["KILL_VARIABLE", "VARIABLE", "Journal"]

VARIABLE = "CALLSHEET_MOCK_JOURNAL"
"""Names another journal file than the one in the project's state folder."""

KILL_VARIABLE = "CALLSHEET_MOCK_KILL"
"""`EVENT:N:before` or `EVENT:N:after`: the process kills itself around its N-th line of that event (for crash tests)."""

_written: Counter[str] = Counter()


def _perhaps_die(event: str, when: str) -> None:
    if os.environ.get(KILL_VARIABLE) == f"{event}:{_written[event]}:{when}":
        os.kill(os.getpid(), signal.SIGKILL)


class Journal:
    """Append-only JSON lines; several processes may write at once (each line is one write to a file opened to append)."""

    def __init__(self, workspace: Path) -> None:
        self._path = Path(os.environ.get(VARIABLE) or workspace / "journal.jsonl")

    def write(self, event: str, key: str, **more: object) -> None:
        """Add a line. `event` is accepted, rejected, aborted or collected; `key` is the call's."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"event": event, "key": key, **more}, separators=(",", ":")) + "\n"
        _written[event] += 1
        _perhaps_die(event, "before")
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, self._line_end(handle) + line.encode())
        finally:
            os.close(handle)
        _perhaps_die(event, "after")

    @staticmethod
    def _line_end(handle: int) -> bytes:
        """What a torn last line lacks, so that the next one stands alone."""
        size = os.fstat(handle).st_size
        if not size:
            return b""
        os.lseek(handle, size - 1, os.SEEK_SET)
        return b"" if os.read(handle, 1) == b"\n" else b"\n"

    def lines(self, key: str) -> Iterator[Mapping[str, object]]:
        """What was written of one call, oldest first; lines that are not the journal's are passed over."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        mark = json.dumps(key).encode()
        for line in data.split(b"\n"):
            if mark not in line:
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict) and entry.get("key") == key and "event" in entry:
                yield entry

    def count(self, event: str, key: str, job: str | None = None) -> int:
        """How often this happened to this call, or to one job of it."""
        found = (entry for entry in self.lines(key) if entry["event"] == event)
        return sum(1 for entry in found if job is None or entry.get("job") == job)
