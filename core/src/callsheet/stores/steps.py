"""The steps that a call takes: made ready before they are submitted, written together with their attempt and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from callsheet.errors import CallsheetError
from callsheet.jobs import Attempt, JobResult, Receipt
from callsheet.secrets import Redactor
from callsheet.storage import CallState, Failure
from callsheet.stores.calls import owned
from callsheet.stores.history import EventRow, Pick, add_events, put_pick, shown
from callsheet.stores.records import encode_cost, encode_failure, encode_receipt, encode_result, masked
from callsheet.stores.spending import counted
from callsheet.stores.writer import Turn

__all__ = ["Change", "Step", "Stepping"]

# Which states a step may start from: the check and the step are one statement.
_BEFORE: Mapping[CallState, str] = {
    CallState.CLAIMED: "IN ()",
    CallState.SENDING: "= 'claimed'",
    CallState.ACCEPTED: "= 'sending'",
    CallState.SUBMITTED: "IN ('sending', 'accepted')",
    CallState.SUCCEEDED: "IN ('sending', 'accepted', 'submitted')",
    CallState.FAILED: "IN ('claimed', 'sending', 'accepted', 'submitted')",
    CallState.UNKNOWN: "IN ('sending', 'accepted', 'submitted')",
}
# A receipt is written only where there is one: the index `calls_of_job` is made of it.
_ADVANCE: Mapping[tuple[CallState, bool], str] = {
    (state, receipt): (
        "UPDATE calls SET state = ?, updated = ?, request_id = coalesce(?, request_id), result = coalesce(?, result), "  # noqa: S608 - constants
        f"failure = coalesce(?, failure){', receipt = ?' * receipt} "
        f"WHERE key = ? AND owner = ? AND epoch = ? AND state {before} RETURNING run, job, reserved"
    )
    for state, before in _BEFORE.items()
    for receipt in (False, True)
}
_ADD_ATTEMPT = (
    "INSERT INTO attempts (key, epoch, ref, number, started, ended, outcome, kind, sent, message, cost, run, job, nanos) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a call, with what is known since; None leaves a column as it is."""

    key: str
    epoch: int
    state: CallState
    request_id: str | None = None
    receipt: Receipt | None = None
    result: JobResult | None = None
    failure: Failure | None = None
    attempt: Attempt | None = None
    pick: Pick | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A change and the events that tell of it: what several calls do at once."""

    change: Change
    events: tuple[EventRow, ...]


class Stepping:
    """One step that `owner` takes. Raises CallsheetError for one that lacks its receipt or its result."""

    def __init__(self, change: Change, events: Iterable[EventRow], owner: str, redactor: Redactor) -> None:
        if change.state is CallState.SUCCEEDED and change.result is None:
            raise CallsheetError(f"the call {change.key} cannot succeed without a result")
        if change.state is CallState.SUBMITTED and change.receipt is None:
            raise CallsheetError(f"the call {change.key} cannot be submitted without a receipt")
        self._change = change
        self._ours = (change.key, owner, change.epoch)
        self._statement = _ADVANCE[change.state, change.receipt is not None]
        self._known = _known(change, redactor)
        self._attempt = None if change.attempt is None else _attempt(change, change.attempt)
        self._nanos = None if change.attempt is None else counted(change.attempt.cost)
        self._events = shown(events, redactor)

    def carry_out(self, turn: Turn, now: float) -> None:
        """Take the step. Raises LostOwnershipError, or CallsheetError when it is not allowed."""
        change, values = self._change, (self._change.state.value, now, *self._known, *self._ours)
        rows = turn.db.execute(self._statement, values).fetchall()
        if not rows:
            state = owned(turn.db, *self._ours)[1]
            raise CallsheetError(f"the call {change.key} is {state}: it cannot become {change.state}")
        run, job, set_aside = rows[0]
        if self._attempt is not None:
            # what was set aside becomes what it cost, where that is known
            turn.db.execute(_ADD_ATTEMPT, (*self._attempt, run, job, set_aside if self._nanos is None else self._nanos))
        if change.pick is not None:
            put_pick(turn, change.pick)
        add_events(turn, run, now, self._events)


def _known(change: Change, redactor: Redactor) -> tuple[str | None, ...]:
    receipt = () if change.receipt is None else (encode_receipt(change.receipt),)
    return (
        change.request_id,
        None if change.result is None else encode_result(_shown(change.result, redactor)),
        None if change.failure is None else encode_failure(change.failure),
        *receipt,
    )


def _shown(result: JobResult, redactor: Redactor) -> JobResult:
    """What a provider tells beside its answer may quote the key; the answer is what was paid for, and is kept whole."""
    if not result.meta and not result.warnings:
        return result
    warnings = tuple(replace(warning, message=redactor.text(warning.message)) for warning in result.warnings)
    return replace(result, meta=masked(result.meta, redactor)[0], warnings=warnings)


def _attempt(change: Change, attempt: Attempt) -> tuple[Any, ...]:
    cost = None if attempt.cost is None else encode_cost(attempt.cost)
    values = (attempt.number, attempt.started, attempt.ended, attempt.outcome, attempt.kind, attempt.sent)
    return (change.key, change.epoch, str(attempt.ref), *values, attempt.message, cost)
