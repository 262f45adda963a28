"""The rows of rate gates: when the next request of a rate key may leave, for all processes of a project."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import NamedTuple

from callsheet.stores.writer import Turn, Writer

__all__ = ["GateRow", "GateRows", "Place", "Slot", "give_back", "take"]

CLOCK_STEP = 1.0
"""Seconds by which the clock may go back before what was written under it counts no more."""
_SELECT = "SELECT rate_key, free, tokens_free, seen, blocked, held, width FROM gates"
_FORGET = "DELETE FROM gates WHERE rate_key = ? OR instr(rate_key, ? || '/') = 1 RETURNING rate_key"


class GateRow(NamedTuple):
    """A rate key's gate; times are seconds since the epoch, 0 for never.

    `free` and `tokens_free` say when the next slot begins by the limits of requests and of tokens, `seen` when one was last
    reserved, `blocked` until when the provider wants nothing, `held` when it last said so and `width` how many calls at
    once seemed right then.
    """

    rate_key: str
    free: float = 0.0
    tokens_free: float = 0.0
    seen: float = 0.0
    blocked: float = 0.0
    held: float = 0.0
    width: float | None = None


class Slot(NamedTuple):
    """A reserved moment to send a request: its `start`, and the seconds that it takes of the two limits."""

    start: float
    seconds: float
    tokens_seconds: float


class Place(NamedTuple):
    """What a request takes of a rate key: so many `seconds` of the limit of requests, and of the one of tokens."""

    rate_key: str
    seconds: float
    tokens_seconds: float


class GateRows:
    """The gates that a ledger keeps. What is written is queued at once, in order, whoever waits for the answer.

    A power cut may undo the last of it: what was reserved in the seconds before is not needed by then.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def reserve(self, rate_key: str, seconds: float, tokens_seconds: Sequence[float], now: float) -> Future[list[Slot]]:
        """The next free slots, one for each of `tokens_seconds`; nobody else gets them: first come, first served everywhere."""

        def write(turn: Turn) -> list[Slot]:
            row = _row(turn, rate_key)
            start = _start(row, now)
            slots: list[Slot] = []
            for of_tokens in tokens_seconds:
                slots.append(Slot(start, seconds, of_tokens))
                start += max(seconds, of_tokens)
            _give(turn, row, slots[-1], now)
            return slots

        return self._writer.submit(write, durable=False)

    def take(self, place: Place, now: float) -> Future[Slot | None]:
        """A slot that begins now; None, and nothing is taken, where the next one begins later."""
        return self._writer.submit(lambda turn: take(turn, place, now), durable=False)

    def give_back(self, rate_key: str, slot: Slot) -> Future[None]:
        """A slot that nobody uses; it stays lost when somebody has reserved the one after it."""
        return self._writer.submit(lambda turn: give_back(turn, rate_key, slot), durable=False)

    def correct(self, rate_key: str, tokens_seconds: float) -> Future[None]:
        """A request took so much more of the limit of tokens than was reserved for it; less, when negative."""

        def write(turn: Turn) -> None:
            turn.db.execute(
                "UPDATE gates SET tokens_free = tokens_free + ? WHERE rate_key = ?", (tokens_seconds, rate_key)
            )

        return self._writer.submit(write, durable=False)

    def hold(self, rate_key: str, until: float, width: float | None, now: float) -> Future[None]:
        """The provider wants nothing of this rate key until then."""

        def write(turn: Turn) -> None:
            turn.db.execute(
                "INSERT INTO gates (rate_key, free, tokens_free, seen, blocked, held, width) VALUES (?, 0, 0, 0, ?, ?, ?) "
                "ON CONFLICT (rate_key) DO UPDATE SET blocked = max(blocked, excluded.blocked), held = excluded.held, "
                "width = excluded.width",
                (rate_key, until, now, width),
            )

        return self._writer.submit(write, durable=False)

    def read(self) -> Future[list[GateRow]]:
        """All gates, by rate key."""
        return self._writer.submit(
            lambda turn: [GateRow(*row) for row in turn.db.execute(_SELECT + " ORDER BY rate_key")], writes=False
        )

    def reset(self, provider: str) -> Future[list[str]]:
        """Forget a provider's gates, with what they are blocked by. Gives their rate keys."""

        def write(turn: Turn) -> list[str]:
            return sorted(rate_key for (rate_key,) in turn.db.execute(_FORGET, (provider, provider)))

        return self._writer.submit(write, durable=False)


def take(turn: Turn, place: Place, now: float) -> Slot | None:
    """A slot that begins now; None, and nothing is taken, where the next one begins later."""
    row = _row(turn, place.rate_key)
    if _start(row, now) > now:
        return None
    slot = Slot(now, place.seconds, place.tokens_seconds)
    _give(turn, row, slot, now)
    return slot


def give_back(turn: Turn, rate_key: str, slot: Slot) -> None:
    """Free a slot, unless somebody has reserved the one after it."""
    start, seconds, tokens_seconds = slot
    turn.db.execute(
        "UPDATE gates SET free = ?, tokens_free = ? WHERE rate_key = ? AND free = ? AND tokens_free = ?",
        (start, start, rate_key, start + seconds, start + tokens_seconds),
    )


def _start(row: GateRow, now: float) -> float:
    """When the next slot begins. After the clock was set back, else everybody would wait for the time that was."""
    return now if _set_back(row, now) else max(now, row.free, row.tokens_free, row.blocked)


def _set_back(row: GateRow, now: float) -> bool:
    return row.seen > now + CLOCK_STEP


def _give(turn: Turn, row: GateRow, last: Slot, now: float) -> None:
    """What is free comes after the last slot."""
    turn.db.execute(
        "INSERT INTO gates (rate_key, free, tokens_free, seen, blocked, held) VALUES (?, ?, ?, ?, 0, 0) "
        "ON CONFLICT (rate_key) DO UPDATE SET free = excluded.free, tokens_free = excluded.tokens_free, "
        "seen = excluded.seen, blocked = CASE WHEN ? THEN 0 ELSE blocked END",
        (row.rate_key, last.start + last.seconds, last.start + last.tokens_seconds, now, _set_back(row, now)),
    )


def _row(turn: Turn, rate_key: str) -> GateRow:
    row = turn.db.execute(_SELECT + " WHERE rate_key = ?", (rate_key,)).fetchone()
    return GateRow(rate_key) if row is None else GateRow(*row)
