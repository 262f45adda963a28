"""What was spent, and what is set aside for calls under way: money is whole billionths of a dollar here, rounded up.

A reservation is made before a call is sent, in the call's row, and counts no more when the attempt is there that tells what it
cost, in one transaction; one whose cost nobody knows keeps the sum that was set aside. Nothing is set aside any more for a call
of which nothing was sent when its process died; what was sent may be paid for, whoever is alive.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Literal, NamedTuple

from callsheet.money import Cost
from callsheet.stores.owners import Owner
from callsheet.stores.records import decode_cost
from callsheet.stores.writer import Turn, Writer

__all__ = ["Bounds", "PaidAttempt", "Reservation", "Room", "Spending", "billionths", "counted", "has_room", "reserve"]

QUARTER = 900
"""Seconds of a quarter of an hour: where a day may begin, whatever the time zone."""
_EXACT = Context(prec=60)
"""An application's own context may round to a few digits."""


def billionths(usd: Decimal) -> int:
    """A sum as the ledger adds it up."""
    return math.ceil(usd.scaleb(9, _EXACT))


class Reservation(NamedTuple):
    """The most that a call of a run may cost."""

    key: str
    run: str
    nanos: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that may be spent: by the reservation's run, and in the project from `since` on (seconds since the epoch)."""

    run: int | None
    day: int | None
    since: float


class Room(NamedTuple):
    """The answer to a reservation: None where it was made, else the bound in its way, with what it stands at.

    `moving`: enough of the reserved sum may be given back by calls under way.
    """

    bound: Literal["run", "day"] | None = None
    spent: int = 0
    reserved: int = 0
    moving: bool = False


class PaidAttempt(NamedTuple):
    """An attempt that cost something, or of which nobody knows; `cost` None when the ledger is older than costs of failures."""

    ref: str
    run: str
    job: str
    ended: float
    outcome: str
    cost: Cost | None


class Spending:
    """The money of a ledger. A reservation is durable with the step that sends its call."""

    def __init__(self, writer: Writer, owner: Owner, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._owner = owner
        self._clock = clock
        self._day = (0.0, 0.0)

    def day_began(self, now: float) -> float:
        """When the day of this moment began, by the local time; both in seconds since the epoch."""
        begin, end = self._day
        if not begin <= now < end:  # what `mktime` takes is more than a budget's other questions together
            year, month, day = time.localtime(now)[:3]
            begin, end = (time.mktime((year, month, day + more, 0, 0, 0, 0, 0, -1)) for more in (0, 1))
            self._day = (begin, end)
        return begin

    async def reserve(self, wanted: Reservation, bounds: Bounds) -> Room:
        """Set a sum aside, unless it exceeds a bound with what was spent and what others have set aside."""
        now, alive = self._clock(), self._owner.is_alive
        return await self._writer.submit(lambda turn: reserve(turn, wanted, bounds, alive, now), durable=False)

    async def attempts(self, since: float = 0.0) -> list[PaidAttempt]:
        """The attempts that ended since then, but for those that surely cost nothing; oldest first."""
        return await self._writer.submit(lambda turn: _attempts(turn, since), writes=False)


def counted(cost: Cost | None) -> int | None:
    """What a budget counts of a cost: its high end; None when nobody knows."""
    return None if cost is None or cost.high is None else billionths(cost.high)


def reserve(turn: Turn, wanted: Reservation, bounds: Bounds, alive: Callable[[str], bool], now: float) -> Room:
    """Set a sum aside, unless it exceeds a bound; `alive` tells of an owner's id whether its process lives."""
    room = has_room(turn, wanted, bounds, alive)
    if room.bound is None:
        turn.db.execute("UPDATE calls SET reserved = ?, reserved_at = ? WHERE key = ?", (wanted.nanos, now, wanted.key))
    return room


def has_room(turn: Turn, wanted: Reservation, bounds: Bounds, alive: Callable[[str], bool]) -> Room:
    """What `reserve` will answer."""
    pending = _pending(turn, wanted.key, alive)
    for bound, most in (("run", bounds.run), ("day", bounds.day)):
        if most is None:
            continue
        ours = [each for each in pending if (each.run == wanted.run if bound == "run" else each.at >= bounds.since)]
        spent = _spent_by_run(turn, wanted.run) if bound == "run" else _spent_since(turn, bounds.since)
        reserved = sum(each.nanos for each in ours)
        if spent + reserved + wanted.nanos > most:
            stuck = sum(each.nanos for each in ours if not each.moving)
            return Room("run" if bound == "run" else "day", spent, reserved, spent + stuck + wanted.nanos <= most)
    return Room()


def _spent_by_run(turn: Turn, run: str) -> int:
    (nanos,) = turn.db.execute("SELECT coalesce(sum(nanos), 0) FROM spent_by_run WHERE run = ?", (run,)).fetchone()
    return int(nanos)


def _spent_since(turn: Turn, since: float) -> int:
    """The sums of whole quarters of an hour, and what a day that begins between two of them has of the first."""
    whole = int(-(-since // QUARTER))
    query = (
        "SELECT (SELECT coalesce(sum(nanos), 0) FROM spent_by_quarter WHERE quarter >= ?) "
        "+ (SELECT coalesce(sum(nanos), 0) FROM attempts WHERE ended >= ? AND ended < ?)"
    )
    return int(turn.db.execute(query, (whole, since, whole * QUARTER)).fetchone()[0])


class _Pending(NamedTuple):
    run: str
    at: float
    nanos: int
    moving: bool


def _pending(turn: Turn, but: str, alive: Callable[[str], bool]) -> list[_Pending]:
    """The reservations of other calls under way."""
    # The condition is word for word that of the index `calls_open`, or SQLite would read the whole table.
    rows = turn.db.execute(
        "SELECT run, reserved_at, reserved, state, owner FROM calls "
        "WHERE state IN ('claimed', 'sending', 'accepted', 'submitted') AND reserved IS NOT NULL AND key <> ?",
        (but,),
    ).fetchall()
    if not rows:
        return []
    living = {owner: alive(owner) for owner in {row[4] for row in rows}}
    return [
        _Pending(run, at, nanos, living[owner])
        for run, at, nanos, state, owner in rows
        if living[owner] or state != "claimed"
    ]


def _attempts(turn: Turn, since: float) -> list[PaidAttempt]:
    rows = turn.db.execute(
        "SELECT a.ref, a.run, a.job, a.ended, a.outcome, a.cost FROM attempts a LEFT JOIN calls c USING (key) "
        "WHERE a.ended >= ? AND coalesce(json_extract(c.request, '$.mode'), 'live') = 'live' "
        "AND (a.nanos IS NULL OR a.nanos <> 0 OR a.outcome = 'succeeded') "
        "AND (a.cost IS NOT NULL OR a.sent NOT IN ('not_sent', 'rejected')) ORDER BY a.id",
        (since,),
    )
    return [
        PaidAttempt(ref, run, job, ended, outcome, None if cost is None else decode_cost(cost))
        for ref, run, job, ended, outcome, cost in rows
    ]
