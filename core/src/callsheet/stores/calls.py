"""The rows of paid calls: who may work on one, and what is known of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from callsheet.errors import CallsheetError
from callsheet.jobs import Attempt
from callsheet.models import ModelRef
from callsheet.money import Cost
from callsheet.storage import CallRecord, CallState
from callsheet.stores.history import ShownEvent, add_events
from callsheet.stores.records import (
    decode_cost,
    decode_failure,
    decode_mapping,
    decode_receipt,
    decode_result,
    encode_mapping,
)
from callsheet.stores.writer import Turn

__all__ = ["Claim", "Claiming", "LostOwnershipError", "NewCall", "Verdict", "owned"]

Verdict = Literal["claimed", "done", "mine", "held", "taken_over", "unknown"]

_SELECT = (
    "SELECT key, state, ref, operation, job, run, owner, epoch, request_digest, request, created, updated, request_id, "
    "receipt, result, failure, reserved, reserved_at FROM calls"
)
_SELECT_MANY = _SELECT + " WHERE key IN (SELECT value FROM json_each(?))"  # noqa: S608 - a constant
# `json_valid(receipt)` and the extract are word for word those of the index `calls_of_job`.
_JOB_ID = " WHERE (json_valid(receipt) AND json_extract(receipt, '$.job_id') "
_SELECT_JOB = _SELECT + _JOB_ID + "= ?) ORDER BY created, key"
_SELECT_BEGINNING = _SELECT + _JOB_ID + "BETWEEN ? AND ?) OR key BETWEEN ? AND ? ORDER BY created, key"
_REPLACE = (
    "INSERT OR REPLACE INTO calls (key, state, ref, operation, job, run, owner, epoch, request_digest, request, "
    "created, updated, request_id, receipt, result, failure, reserved, reserved_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class LostOwnershipError(CallsheetError):
    """The call is another owner's by now (or gone): what was known of it here must not be written over theirs."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim.

    `verdict`: `claimed` (ours, nothing sent) · `taken_over` (ours; `previous` says how far a dead owner got) · `done`
    (`record.result` is there) · `mine` (this process already works on it) · `held` (another living process does) ·
    `unknown` (it may have been paid; somebody has to decide). `previous` is the row as it was, when we changed it.
    """

    record: CallRecord
    verdict: Verdict
    previous: CallRecord | None = None

    @property
    def is_new(self) -> bool:
        """True when the call is ours, and nothing was sent of it that is not known to have failed."""
        unsent = self.previous is not None and self.previous.state is CallState.CLAIMED
        return self.verdict == "claimed" or (self.verdict == "taken_over" and unsent)


@dataclass(frozen=True, slots=True)
class NewCall:
    """What a claim says of the call; `request` is JSON data without secrets."""

    key: str
    ref: str
    operation: str
    job: str
    run: str
    request_digest: str
    request: Mapping[str, object]


class Claiming:
    """One claim, and how to take it back when the task that asked for it was cancelled meanwhile.

    One for an `unsent` call leaves what a dead owner had sent as it is, for whoever asks for that very call.
    """

    def __init__(
        self,
        new: NewCall,
        owner: str,
        alive: Callable[[str], bool],
        *,
        retry_unknown: bool,
        lost: int | None = None,
        unsent: bool = False,
    ) -> None:
        self._new = new
        self._request = encode_mapping(new.request)
        self._owner = owner
        self._alive = alive
        self._retry_unknown = retry_unknown
        self._lost = lost
        self._unsent = unsent
        self._before: tuple[Any, ...] | None = None
        self._old: CallRecord | None = None
        self._epoch = 0

    def carry_out(self, turn: Turn, now: float, events: Iterable[ShownEvent]) -> Claim:
        """Claim the key. The events are written only when the row changed (`claimed`, `taken_over`)."""
        self.look(turn)
        return self.write(turn, now, events)

    def look(self, turn: Turn) -> Verdict:
        """What `write`, which has to follow in the same transaction, will answer."""
        self._before, self._epoch = _row(turn.db, self._new.key), 0
        self._old = None if self._before is None else _record(self._before)
        return "claimed" if self._old is None else self._verdict(self._old)

    def write(
        self,
        turn: Turn,
        now: float,
        events: Iterable[ShownEvent],
        *,
        leaving: bool = False,
        reserved: int | None = None,
    ) -> Claim:
        """Take the call, unless somebody has it. A claimed one is `sending` if it is `leaving`, with this sum set aside."""
        old, row = self._old, self._before
        verdict: Verdict = "claimed" if old is None else self._verdict(old)
        if verdict == "claimed":
            state = CallState.SENDING if leaving else CallState.CLAIMED
            epoch = _last_epoch(turn.db, self._new.key) if old is None else old.epoch
            record = self._fresh(state, epoch + 1, now if old is None else old.created, now)
            turn.db.execute(_REPLACE, (*_columns(record, self._request), reserved, now))
        elif verdict == "taken_over" and old is not None and row is not None:
            # State, receipt and request stay: they say what the dead owner had done.
            changes = (self._owner, old.epoch + 1, self._new.run, self._new.job, now, old.key)
            turn.db.execute(
                "UPDATE calls SET owner = ?, epoch = ?, run = ?, job = ?, updated = ? WHERE key = ?", changes
            )
            record = _record(_row(turn.db, old.key) or row)
        else:
            assert old is not None
            return Claim(old, verdict)
        self._epoch = record.epoch
        add_events(turn, self._new.run, now, events)
        return Claim(record, verdict, old)

    def take_back(self, turn: Turn) -> bool:
        """Put the row back as it was before `carry_out`; only the epoch stays grown. False when it was not ours (any more)."""
        if not self._epoch:
            return False
        row = _row(turn.db, self._new.key)
        if row is None or (row[6], row[7]) != (self._owner, self._epoch):
            return False
        if self._before is None:
            turn.db.execute("DELETE FROM calls WHERE key = ?", (self._new.key,))
        else:
            turn.db.execute(_REPLACE, (*self._before[:7], self._epoch, *self._before[8:]))
        return True

    def _verdict(self, old: CallRecord) -> Verdict:
        if old.state is CallState.SUCCEEDED:
            return "claimed" if old.epoch == self._lost else "done"
        if old.state is CallState.FAILED:
            return "claimed"
        if old.state is CallState.UNKNOWN:
            return "claimed" if self._retry_unknown else "unknown"
        if old.owner == self._owner:
            return "mine"
        left = not self._alive(old.owner) and (old.state is CallState.CLAIMED or not self._unsent)
        return "taken_over" if left else "held"

    def _fresh(self, state: CallState, epoch: int, created: float, now: float) -> CallRecord:
        new = self._new
        head = (new.key, state, new.ref, new.operation, new.job, new.run, self._owner, epoch)
        return CallRecord(*head, new.request_digest, new.request, created, now)


def release(turn: Turn, key: str, epoch: int, *, owner: str, now: float, events: Iterable[ShownEvent]) -> None:
    """Forget a call of which nothing was sent. Raises LostOwnershipError, or CallsheetError when it is not `claimed`."""
    row = owned(turn.db, key, owner, epoch)
    if row[1] != CallState.CLAIMED:
        raise CallsheetError(f"the call {key} is {row[1]}: only one of which nothing was sent can be released")
    turn.db.execute("DELETE FROM calls WHERE key = ? AND owner = ? AND epoch = ?", (key, owner, epoch))
    add_events(turn, row[5], now, events)


def let_go(turn: Turn, key: str, epoch: int, *, owner: str, now: float) -> None:
    """Give up an open call as it stands: whoever asks for it next takes it over. Nothing happens to any other."""
    turn.db.execute(
        "UPDATE calls SET owner = '', updated = ? WHERE key = ? AND owner = ? AND epoch = ? "
        "AND state IN ('claimed', 'sending', 'accepted', 'submitted')",
        (now, key, owner, epoch),
    )


def paid_or_open(turn: Turn, keys: Iterable[str], alive: Callable[[str], bool]) -> set[str]:
    """Those of the keys that are not free: all that are known but the failed, and what was given up before it was sent."""
    query = "SELECT key, state, owner FROM calls WHERE key IN (SELECT value FROM json_each(?)) AND state != 'failed'"
    rows = turn.db.execute(query, (json.dumps(list(keys)),)).fetchall()
    return {key for key, state, owner in rows if state != CallState.CLAIMED or (owner and alive(owner))}


def get_many(turn: Turn, keys: Iterable[str]) -> dict[str, CallRecord]:
    """The records of those keys which are known."""
    wanted = list(dict.fromkeys(keys))
    rows = turn.db.execute(_SELECT_MANY, (json.dumps(wanted),))
    found = {row[0]: _record(row) for row in rows}
    return {key: found[key] for key in wanted if key in found}


def batch_calls(turn: Turn, batch: str) -> list[CallRecord]:
    """The calls that left in the batch with this key, oldest first."""
    within = " WHERE key <> ? AND receipt IS NOT NULL AND json_extract(receipt, '$.key') = ? ORDER BY created, key"
    return [_record(row) for row in turn.db.execute(_SELECT + within, (batch, batch))]


def calls_of_job(turn: Turn, job_id: str, *, beginning: bool) -> list[CallRecord]:
    """The calls whose job has this id at the provider; with `beginning`, whose job's id or whose key begins so."""
    if not job_id:
        return []
    if not beginning:
        return [_record(row) for row in turn.db.execute(_SELECT_JOB, (job_id,))]
    first_last = (job_id, job_id + chr(0x10FFFF))
    return [_record(row) for row in turn.db.execute(_SELECT_BEGINNING, (*first_last, *first_last))]


def open_calls(turn: Turn, run: str | None) -> list[CallRecord]:
    """The calls that somebody works on, or worked on when it died; oldest first."""
    # The condition is word for word that of the index `calls_open`, or SQLite would read the whole table.
    query = _SELECT + " WHERE state IN ('claimed', 'sending', 'accepted', 'submitted')"
    order = " ORDER BY created, key"
    rows = turn.db.execute(query + order) if run is None else turn.db.execute(query + " AND run = ?" + order, (run,))
    return [_record(row) for row in rows]


def attempts(turn: Turn, key: str) -> list[Attempt]:
    """All attempts ever made for a key, in the order they were recorded."""
    rows = turn.db.execute(
        "SELECT ref, number, started, ended, outcome, kind, sent, message, cost FROM attempts WHERE key = ? ORDER BY id",
        (key,),
    )
    return [
        Attempt(ModelRef.parse(ref), number, started, ended, outcome, kind, sent, message, _cost(cost))
        for ref, number, started, ended, outcome, kind, sent, message, cost in rows
    ]


def _cost(text: str | None) -> Cost | None:
    return None if text is None else decode_cost(text)


def _row(db: sqlite3.Connection, key: str) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = db.execute(_SELECT + " WHERE key = ?", (key,)).fetchone()
    return row


def owned(db: sqlite3.Connection, key: str, owner: str, epoch: int) -> tuple[Any, ...]:
    """The row of a call that the owner holds. Raises LostOwnershipError when it does not."""
    row = _row(db, key)
    if row is None or (row[6], row[7]) != (owner, epoch):
        raise LostOwnershipError(
            f"the call {key} is no longer held by this process (epoch {epoch}): another one has taken it over, "
            "and its record stands"
        )
    return row


def _last_epoch(db: sqlite3.Connection, key: str) -> int:
    # A released row is gone, but its attempts are not: they must not share an epoch with later ones.
    return int(db.execute("SELECT coalesce(max(epoch), 0) FROM attempts WHERE key = ?", (key,)).fetchone()[0])


def _columns(new: CallRecord, request: str) -> tuple[Any, ...]:
    """The row of a call that has just begun, as far as `_record` reads it; `request` is that of the record as text."""
    head = (new.key, new.state.value, new.ref, new.operation, new.job, new.run, new.owner, new.epoch)
    return (*head, new.request_digest, request, new.created, new.updated, "", None, None, None)


def _record(row: tuple[Any, ...]) -> CallRecord:
    key, state, ref, operation, job, run, owner, epoch, request_digest, request, created, updated, request_id = row[:13]
    return CallRecord(
        key=key,
        state=CallState(state),
        ref=ref,
        operation=operation,
        job=job,
        run=run,
        owner=owner,
        epoch=epoch,
        request_digest=request_digest,
        request=decode_mapping(request),
        created=created,
        updated=updated,
        request_id=request_id,
        receipt=None if row[13] is None else decode_receipt(row[13]),
        result=None if row[14] is None else decode_result(row[14]),
        failure=None if row[15] is None else decode_failure(row[15]),
    )
