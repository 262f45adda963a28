"""What is seen while jobs run: rows that change on a terminal, one line an event elsewhere, nothing with --json."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from callsheet.cli.terminal import Session, printable, say
from callsheet.manifest import cost_from_json
from callsheet.storage import Event

if TYPE_CHECKING:
    from rich.console import RenderableType

    from callsheet.stores.ledger import Ledger

__all__ = ["EventLines", "JobBoard", "watching"]

_WORDS = {
    "job.started": "started",
    "job.sending": "sent",
    "job.accepted": "accepted",
    "job.submitted": "submitted",
    "job.succeeded": "succeeded",
    "job.reused": "reused",
    "job.pinned": "pinned",
    "job.failed": "failed",
    "job.unknown": "unknown",
    "job.pending": "pending",
    "job.blocked": "blocked",
    "job.aborted": "aborted",
    "job.waiting": "waits: another process is at it",
    "job.left": "left to the process that waits for it",
    "job.retried_unknown": "sent again (possibly paid twice)",
    "job.cancelled": "cancelled",
    "job.skipped": "skipped",
    "attempt.failed": "attempt failed",
    "attempt.lost": "attempt lost",
    "attempt.interrupted": "cannot be asked for now",
}
_UNDER_WAY = ("job.started", "job.sending", "job.accepted", "job.submitted", "attempt.failed", "attempt.lost")
_TOO_MUCH = frozenset({"job.started", "job.sending", "job.accepted"})
_CUT = 160


@contextmanager
def watching(session: Session, ledger: Ledger, *, untold: frozenset[str] = frozenset()) -> Iterator[None]:
    """Show what happens in this process's runs and calls. `untold` are events that get no line."""
    if session.json:
        yield
    elif session.live:
        yield from _drawn(ledger)
    else:
        end = ledger.subscribe(EventLines(say, untold | _TOO_MUCH).hear)
        try:
            yield
        finally:
            end()


def _drawn(ledger: Ledger) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live

    board = JobBoard(time.monotonic)
    end = ledger.subscribe(board.hear)
    console = Console(stderr=True)
    try:
        # What jobs write to stderr stands above the rows; stdout is for data and is left alone.
        with Live(
            console=console,
            get_renderable=lambda: board.table(console.height - 3),
            redirect_stdout=False,
            refresh_per_second=4,
        ):
            yield
    finally:
        end()


def _cost(body: Mapping[str, object]) -> str:
    cost = body.get("cost")
    return str(cost_from_json(cost)) if isinstance(cost, Mapping) else ""


def _model(body: Mapping[str, object]) -> str:
    ref = str(body.get("ref", ""))
    return f"{ref} (mock)" if ref and body.get("mocked") else ref


class EventLines:
    """A line for each event worth one."""

    def __init__(self, write: Callable[[str], None], untold: frozenset[str] = _TOO_MUCH) -> None:
        self._write = write
        self._untold = untold
        self._last: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        """Write the event's line, unless it says what this job's last one said."""
        if not event.job or event.type not in _WORDS or event.type in self._untold:
            return
        told = _cost(event.body)
        if event.type in ("attempt.failed", "attempt.lost"):
            told = printable(event.body.get("message", "")).partition("\n")[0][:_CUT]
        elif event.type == "job.aborted":
            told = str(event.body.get("outcome", ""))
        elif event.type == "job.blocked":
            told = f"needs {', '.join(map(str, _listed(event.body.get('needs'))))}"
        line = "  ".join(part for part in (event.job, _WORDS[event.type], _model(event.body), told) if part)
        if self._last.get(event.job) == line:
            return
        self._last[event.job] = line
        self._write(line)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


@dataclass(slots=True)
class _Row:
    """A job on the board; `ended` is None while it is under way."""

    job: str
    began: float
    word: str = ""
    model: str = ""
    cost: str = ""
    ended: float | None = None


@dataclass(slots=True)
class JobBoard:
    """The jobs of a run, drawn: those under way first, then those that ended last."""

    clock: Callable[[], float]
    rows: dict[str, _Row] = field(default_factory=dict)

    def hear(self, event: Event) -> None:
        """Move the job's row on."""
        if not event.job or event.type not in _WORDS:
            return
        row = self.rows.pop(event.job, None) or _Row(event.job, self.clock())
        row.word = _WORDS[event.type]
        row.model = _model(event.body) or row.model
        row.cost = _cost(event.body) or row.cost
        row.ended = None if event.type in _UNDER_WAY else self.clock()
        self.rows[event.job] = row  # at the end: the order is that of the last change

    def table(self, height: int) -> RenderableType:
        """The rows that fit into `height` lines, and a line that counts all. Called from rich's thread."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        now = self.clock()
        rows = list(self.rows.values())
        active = [row for row in rows if row.ended is None]
        ended = [row for row in rows if row.ended is not None]
        shown = [*reversed(ended[-max(0, height - 1 - len(active)) :] if height - 1 > len(active) else []), *active]
        table = Table(box=None, show_header=False, pad_edge=False)
        for justify in ("left", "left", "left", "right", "right"):
            table.add_column(justify=justify, no_wrap=True)
        for row in shown[-max(1, height - 1) :]:
            seconds = f"{(now if row.ended is None else row.ended) - row.began:.0f} s"
            cells = (row.job, row.word, row.model, seconds, row.cost)
            table.add_row(*(Text(printable(cell)) for cell in cells))
        return Group(table, Text(f"{len(ended)} done, {len(active)} under way"))
