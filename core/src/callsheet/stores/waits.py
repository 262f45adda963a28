"""Who waits for a call that another process works on: a job that somebody waits for is not aborted."""

from __future__ import annotations

from collections.abc import Callable

from callsheet.stores.writer import Turn

__all__ = ["add_wait", "is_awaited", "remove_wait"]


def add_wait(turn: Turn, key: str, owner: str, alive: Callable[[str], bool]) -> None:
    """Write that this owner waits for the call; what dead owners wrote is removed."""
    for (other,) in turn.db.execute("SELECT DISTINCT owner FROM waits").fetchall():
        if other != owner and not alive(other):
            turn.db.execute("DELETE FROM waits WHERE owner = ?", (other,))
    turn.db.execute("INSERT OR IGNORE INTO waits (key, owner) VALUES (?, ?)", (key, owner))


def remove_wait(turn: Turn, key: str, owner: str) -> None:
    """The owner has what it waited for, or waits no longer."""
    turn.db.execute("DELETE FROM waits WHERE key = ? AND owner = ?", (key, owner))


def is_awaited(turn: Turn, key: str, owner: str, alive: Callable[[str], bool]) -> bool:
    """True when another living owner waits for the call."""
    others = turn.db.execute("SELECT owner FROM waits WHERE key = ? AND owner <> ?", (key, owner)).fetchall()
    return any(alive(other) for (other,) in others)
