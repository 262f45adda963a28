"""Rate gates: how fast and how many at once calls leave for what one vendor counts together, whoever makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter
from typing import Any

from callsheet.errors import RateLimitedError, Sent
from callsheet.policies import LimitPolicy
from callsheet.stores.gates import GateRow, GateRows, Place, Slot

__all__ = ["AHEAD", "FIRST_HOLD", "LATE", "LONGEST_HOLD", "MARGIN", "MEMORY", "TOGETHER", "Porter", "RateGate"]

MARGIN = 1.03
"""Slots are so much longer than the limit asks for: a process may wake late, and its request falls into another's second."""
FIRST_HOLD = 1.0
"""Seconds for which nothing is sent after a refusal without a time; each further round trip that is refused doubles it."""
LONGEST_HOLD = 60.0
AHEAD = 0.1
"""Seconds for which a process reserves slots: a ledger that is slow for a moment costs none, and others wait no longer."""
LATE = 0.02
"""A slot that began so many seconds ago is still good: the one before it may have been late, too."""
TOGETHER = 0.01
"""Seconds of slots that are reserved in one write: other processes notice no less."""
MEMORY = 60.0
"""How long another process's experience of how many calls at once are right is worth something."""


@dataclass(frozen=True, slots=True)
class Porter:
    """What gates and breakers need: `now` gives seconds since the epoch, `sleep` waits.

    `look` learns what other processes have written, now and then; `heed` hears how a write ended that nobody waits for.
    """

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    look: Callable[[], Awaitable[None]]
    heed: Callable[[asyncio.Future[Any]], None]


class RateGate:
    """The gate of one rate key. First come, first served; `longest_wait` is how long anybody waits for a refusal to end.

    Without a limit and without a refusal, nothing is asked and nothing is written.
    """

    def __init__(self, rate_key: str, limit: LimitPolicy, longest_wait: float, rows: GateRows, porter: Porter) -> None:
        self.rate_key = rate_key
        self.limit = limit
        self.width: float | None = limit.concurrency
        """How many calls at once; None as long as nobody knows a bound."""
        self.under_way = 0
        self.blocked = 0.0
        """Until when the provider wants nothing."""
        self._longest_wait = longest_wait
        self._rows = rows
        self._porter = porter
        self._line = _Line()
        self._numbers = count()
        self._coming = 0
        self._room: asyncio.Future[None] | None = None
        self._slots: list[Slot] = []
        self._over = 0.0  # what lies before this moment has been waited for
        self._held = float("-inf")
        self._refusals = 0

    async def enter(self, tokens: float = 0.0) -> float:
        """Wait until the request may leave, and give that moment. `leave` has to follow.

        Raises RateLimitedError when the provider wants nothing for so long that a wait makes no sense.
        """
        now = self._porter.now()
        if self._line.is_empty and self._has_room and not self._paced and self.blocked <= now:
            self.under_way += 1
            return now
        number = next(self._numbers)
        while True:
            await self._line.take(number, tokens)
            try:
                slot = await self._reserve(tokens)
                self._coming += slot is not None
            finally:
                self._line.leave()
            if slot is None:
                continue
            try:
                if await self._arrive(slot):
                    self.under_way += 1
                    return self._porter.now()
            finally:
                self._coming -= 1
                self._tell_of_room()

    def at_once(self) -> bool:
        """Enter without a wait; False where others wait or there is no room. `leave` has to follow.

        Where there is a limit, the request's `place` is still to be taken; who does not get it leaves, and stands in line.
        """
        if not self._line.is_empty or not self._has_room or self._slots or self.blocked > self._porter.now():
            return False
        self.under_way += 1
        return True

    def place(self, tokens: float) -> Place | None:
        """What a request takes of the limit; None when there is none."""
        of_request, of_token = self._pace
        return Place(self.rate_key, of_request, tokens * of_token) if self._paced else None

    def leave(self) -> None:
        """The request has its answer, or came to nothing."""
        self.under_way -= 1
        self._tell_of_room()

    def went_well(self) -> None:
        """One more of them at once may be right, after as many answers as are under way."""
        self._refusals = 0
        if self.width is not None and self.width != self.limit.concurrency:
            wider = self.width + 1 / self.width
            self.width = wider if self.limit.concurrency is None else min(wider, self.limit.concurrency)

    def refused(self, retry_after: float | None, entered: float) -> None:
        """Too many requests, of one that has left: nobody sends for a while, and then half as many at once.

        A call that `entered` before the last refusal was part of the same crowd, and narrows nothing.
        """
        now = self._porter.now()
        if entered > self._held:
            self._refusals += 1
            self.width = max(1.0, (self.width or self.under_way + 1.0) / 2)
        doubled = min(self._refusals - 1, 64)  # far over the longest, and a float still holds it
        own = min(FIRST_HOLD * 2.0**doubled, LONGEST_HOLD)
        self.blocked = max(self.blocked, now + (retry_after or own))
        self._held = now
        self._porter.heed(self._rows.hold(self.rate_key, self.blocked, self.width, now))

    def learn(self, row: GateRow) -> None:
        """What the ledger says, perhaps of another process's refusal."""
        self.blocked = max(self.blocked, row.blocked)
        if row.held > self._held and row.width is not None and self._porter.now() - row.held < MEMORY:
            self.width = row.width if self.width is None else min(self.width, row.width)
        self._held = max(self._held, row.held)

    def correct(self, tokens: float) -> None:
        """A call took so many tokens more than was expected (fewer, when negative)."""
        if self.limit.tokens and tokens:
            self._porter.heed(self._rows.correct(self.rate_key, tokens * self._pace[1]))

    @property
    def _paced(self) -> bool:
        return bool(self.limit.requests or self.limit.tokens)

    @property
    def _pace(self) -> tuple[float, float]:
        """The seconds that a request takes of the one limit, and a token of the other."""
        requests, tokens = self.limit.requests, self.limit.tokens
        return MARGIN / requests if requests else 0.0, MARGIN / tokens if tokens else 0.0

    @property
    def _has_room(self) -> bool:
        return self.width is None or self.under_way + self._coming < max(1, int(self.width))

    def _tell_of_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _reserve(self, tokens: float) -> Slot | None:
        """Wait, at the head of the line, for room; then give a slot that begins soon.

        None after the wait for a refusal's end: who comes back from a slot that was lost by it may have come before.
        """
        while not self._has_room:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        await self._porter.look()
        now = max(self._porter.now(), self._over)
        if self.blocked > now:
            until = self.blocked
            await self._wait_for_refusal(until - now)
            self._over = max(self._over, until)
            return None
        if not self._paced:
            return Slot(now, 0.0, 0.0)
        slot = await self._next_slot(tokens)
        await self._sleep(slot, slot.start - AHEAD - self._porter.now())
        return slot

    async def _arrive(self, slot: Slot) -> bool:
        """Wait for the slot to begin; False when the provider has refused others meanwhile."""
        await self._sleep(slot, slot.start - self._porter.now())
        return self.blocked <= max(self._porter.now(), slot.start)

    async def _wait_for_refusal(self, seconds: float) -> None:
        if seconds > self._longest_wait:
            text = (
                f"{self.rate_key} wants no requests for {seconds:.0f} s, which is longer than {self._longest_wait:g} s"
            )
            remedy = f"call later, or forget it with `callsheet health --reset {self.rate_key.partition('/')[0]}`"
            raise RateLimitedError(f"{text}: {remedy}", sent=Sent.NOT_SENT, retry_after=seconds)
        await self._porter.sleep(seconds)

    async def _next_slot(self, tokens: float) -> Slot:
        """One that was reserved already, or the next one of all processes, with some for who stands behind."""
        now = self._porter.now()
        seconds, of_tokens = self._pace
        while self._slots:
            slot = heappop(self._slots)
            if slot.start >= now - LATE and slot.tokens_seconds >= tokens * of_tokens:
                return slot
        waiting = self._rows.reserve(self.rate_key, seconds, self._party(tokens, seconds, of_tokens), now)
        try:
            slot, *more = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.add_done_callback(self._not_wanted)
            raise
        for each in more:
            heappush(self._slots, each)
        return slot

    def _party(self, tokens: float, seconds: float, of_tokens: float) -> list[float]:
        """The seconds of tokens of the call at the head of the line, and of those behind it whose turn is at once, too.

        There is room for each. So a limit that is hardly one costs hardly a write, and a tight one is shared call by call.
        """
        party, ahead, line = [tokens * of_tokens], 0.0, self._line.waiting
        room = len(line) if self.width is None else int(self.width) - self.under_way - self._coming - 1
        for behind in line[: max(room, 0)]:
            ahead += max(seconds, party[-1])
            if ahead > TOGETHER:
                break
            party.append(behind * of_tokens)
        return party

    async def _sleep(self, slot: Slot, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            await self._porter.sleep(seconds)
        except asyncio.CancelledError:
            self._keep(slot)
            raise

    def _not_wanted(self, reserved: asyncio.Future[list[Slot]]) -> None:
        if reserved.exception() is None:
            for slot in reversed(reserved.result()):
                self._porter.heed(self._rows.give_back(self.rate_key, slot))

    def _keep(self, slot: Slot) -> None:
        """For the next in line; else it is given back, where nobody else has reserved the one after it."""
        if self._line.is_waited_in:
            heappush(self._slots, slot)
        elif slot.seconds or slot.tokens_seconds:
            self._porter.heed(self._rows.give_back(self.rate_key, slot))


class _Line:
    """One at a time, by number: who comes back with an early one goes to the front."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, float, asyncio.Future[None]]] = []
        self._taken = False

    @property
    def is_empty(self) -> bool:
        return not self._taken

    @property
    def is_waited_in(self) -> bool:
        return any(not turn.done() for *_, turn in self._waiting)

    @property
    def waiting(self) -> list[float]:
        """The tokens of those who wait, in order."""
        line = sorted(self._waiting, key=itemgetter(0)) if len(self._waiting) > 1 else self._waiting
        return [tokens for _, tokens, turn in line if not turn.done()]

    async def take(self, number: int, tokens: float) -> None:
        """Wait for one's turn; `leave` has to follow."""
        if not self._taken:
            self._taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (number, tokens, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            turn.cancel()
            raise

    def leave(self) -> None:
        """The next one's turn."""
        while self._waiting:
            *_, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False
