"""The rows of runs, of what happened in them, and of what was chosen for a sheet's jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from callsheet.errors import CallsheetError, ConfigError
from callsheet.secrets import Redactor
from callsheet.storage import Event, RunRecord
from callsheet.stores.records import decode_mapping, encode_mapping, masked
from callsheet.stores.writer import Turn

__all__ = ["EventRow", "Pick", "ShownEvent", "shown"]

EventRow = tuple[str, str, Mapping[str, object]]
"""An event to be written: type (`noun.past_tense`), job id or "", and a JSON body."""


class ShownEvent(NamedTuple):
    """An event without secrets, with its body also as JSON text."""

    type: str
    job: str
    body: Mapping[str, object]
    text: str


_CANCEL = "cancel:"
_SELECT_RUN = "SELECT id, sheet, mode, status, owner, started, ended, output, request FROM runs"


@dataclass(frozen=True, slots=True)
class Pick:
    """Which call satisfied a sheet's job; `parts` are the digests of its request's parts, to say why it is stale."""

    sheet: str
    job: str
    key: str
    ref: str
    parts: Mapping[str, str] = field(default_factory=dict)


def shown(events: Iterable[EventRow], redactor: Redactor) -> list[ShownEvent]:
    """The events as they are told and kept."""
    return [ShownEvent(kind, job, *masked(body, redactor)) for kind, job, body in events]


def add_events(turn: Turn, run: str, now: float, events: Iterable[ShownEvent]) -> list[Event]:
    """Append events to a run; those outside of one (`run` is "") are told and not kept."""
    added = []
    for kind, job, body, text in events:
        seq = 0
        if run:
            values = (run, now, kind, job, text)
            cursor = turn.db.execute("INSERT INTO events (run, at, type, job, body) VALUES (?, ?, ?, ?, ?)", values)
            seq = int(cursor.lastrowid or 0)
        added.append(Event(seq, run, now, kind, job, body))
    turn.events.extend(added)
    return added


def events_of(turn: Turn, run: str, after: int) -> list[Event]:
    """A run's events whose seq is greater than `after`."""
    rows = turn.db.execute(
        "SELECT seq, run, at, type, job, body FROM events WHERE run = ? AND seq > ? ORDER BY seq", (run, after)
    )
    return [Event(seq, of, at, kind, job, decode_mapping(body)) for seq, of, at, kind, job, body in rows]


def start_run(turn: Turn, record: RunRecord, request: str, now: float, events: Iterable[ShownEvent]) -> None:
    """Write a new run, with what it was asked for as JSON text. Raises CallsheetError when its id is taken."""
    if turn.db.execute("SELECT 1 FROM runs WHERE id = ?", (record.id,)).fetchone():
        raise CallsheetError(f"there is a run {record.id} already")
    head = (record.id, record.sheet, record.mode, record.status, record.owner, record.started, record.ended)
    values = (*head, record.output, request)
    turn.db.execute(
        "INSERT INTO runs (id, sheet, mode, status, owner, started, ended, output, request) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    add_events(turn, record.id, now, events)


def finish_run(turn: Turn, run: str, status: str, now: float, events: Iterable[ShownEvent]) -> RunRecord:
    """Write how a run ended."""
    record = find_run(turn, run)
    turn.db.execute("UPDATE runs SET status = ?, ended = ? WHERE id = ?", (status, now, record.id))
    turn.db.execute("DELETE FROM meta WHERE name = ?", (_CANCEL + record.id,))
    add_events(turn, record.id, now, events)
    return replace(record, status=status, ended=now)


def reopen_run(
    turn: Turn, run: str, owner: str, *, alive: Callable[[str], bool], now: float, events: Iterable[ShownEvent]
) -> RunRecord:
    """Make `owner` work on an ended or orphaned run. Raises CallsheetError while another living process does."""
    record = find_run(turn, run)
    if record.ended is None and record.owner != owner and alive(record.owner):
        raise CallsheetError(f"the run {record.id} is still at work in another process: wait for it or end it")
    values = ("running", owner, record.id)
    turn.db.execute("UPDATE runs SET status = ?, ended = NULL, owner = ? WHERE id = ?", values)
    turn.db.execute("DELETE FROM meta WHERE name = ?", (_CANCEL + record.id,))
    add_events(turn, record.id, now, events)
    return replace(record, status="running", ended=None, owner=owner)


def request_cancel(turn: Turn, run: str, now: float) -> RunRecord:
    """Ask the process that works on a run to stop; nothing happens to a run that has ended."""
    record = find_run(turn, run)
    if record.ended is None and not is_cancel_requested(turn, record.id):
        turn.db.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (_CANCEL + record.id, str(now)))
        add_events(turn, record.id, now, [ShownEvent("run.cancel_requested", "", {}, "{}")])
    return record


def is_cancel_requested(turn: Turn, run: str) -> bool:
    """True while somebody waits for this run to stop."""
    return turn.db.execute("SELECT 1 FROM meta WHERE name = ?", (_CANCEL + run,)).fetchone() is not None


def find_run(turn: Turn, run: str) -> RunRecord:
    """The run with this id, or the only one whose id begins so. Raises ConfigError when there is none or several."""
    row = turn.db.execute(_SELECT_RUN + " WHERE id = ?", (run,)).fetchone()
    if row:
        return _run_record(row)
    # Not LIKE: an id may hold % and _.
    query = _SELECT_RUN + " WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 6"
    rows = turn.db.execute(query, (len(run), run)).fetchall() if run else []
    if len(rows) == 1:
        return _run_record(rows[0])
    if not rows:
        raise ConfigError(f"there is no run {run!r}: `callsheet runs list` shows those there are", missing=True)
    ids = ", ".join(row[0] for row in rows[:5])
    raise ConfigError(f"several runs begin with {run!r}: {ids}{', …' if len(rows) > 5 else ''}")


def list_runs(turn: Turn, limit: int) -> list[RunRecord]:
    """The latest runs, newest first."""
    rows = turn.db.execute(_SELECT_RUN + " ORDER BY started DESC, id DESC LIMIT ?", (limit,))
    return [_run_record(row) for row in rows]


def put_pick(turn: Turn, pick: Pick) -> None:
    """Write which call satisfied a job, in place of an older pick."""
    turn.db.execute(
        "INSERT INTO picks (sheet, job, key, ref, parts) VALUES (?, ?, ?, ?, ?) ON CONFLICT (sheet, job) "
        "DO UPDATE SET key = excluded.key, ref = excluded.ref, parts = excluded.parts",
        (pick.sheet, pick.job, pick.key, pick.ref, encode_mapping(pick.parts)),
    )


def picks_of(turn: Turn, sheet: str) -> dict[str, Pick]:
    """A sheet's picks by job."""
    rows = turn.db.execute("SELECT sheet, job, key, ref, parts FROM picks WHERE sheet = ? ORDER BY job", (sheet,))
    return {row[1]: _pick(row) for row in rows}


def pick_of(turn: Turn, sheet: str, job: str) -> Pick | None:
    """One job's pick."""
    query = "SELECT sheet, job, key, ref, parts FROM picks WHERE sheet = ? AND job = ?"
    row = turn.db.execute(query, (sheet, job)).fetchone()
    return _pick(row) if row else None


def selection_of(turn: Turn, sheet: str) -> dict[str, str]:
    """The refs that the user chose, by producer."""
    rows = turn.db.execute("SELECT producer, ref FROM selections WHERE sheet = ? ORDER BY producer", (sheet,))
    return dict(rows.fetchall())


def put_selection(turn: Turn, sheet: str, producer: str, ref: str) -> None:
    """Keep the user's choice for a producer."""
    turn.db.execute(
        "INSERT INTO selections (sheet, producer, ref) VALUES (?, ?, ?) "
        "ON CONFLICT (sheet, producer) DO UPDATE SET ref = excluded.ref",
        (sheet, producer, ref),
    )


def clear_selection(turn: Turn, sheet: str) -> None:
    """Forget the user's choices for a sheet."""
    turn.db.execute("DELETE FROM selections WHERE sheet = ?", (sheet,))


def _run_record(row: tuple[Any, ...]) -> RunRecord:
    run, sheet, mode, status, owner, started, ended, output, request = row
    return RunRecord(run, sheet, mode, status, owner, started, ended, output, decode_mapping(request))


def _pick(row: tuple[Any, ...]) -> Pick:
    parts = {name: str(value) for name, value in decode_mapping(row[4]).items()}
    return Pick(row[0], row[1], row[2], row[3], parts)
