"""Poll gates: how often one provider's remote jobs are asked for, and how its refusal of one poll holds back all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.patience import Sleep, pause

__all__ = ["LONGEST_WISH", "POLLS_A_SECOND", "PollGate"]

LONGEST_WISH = 60.0
POLLS_A_SECOND = 20.0
"""One provider is asked no oftener, however many of its jobs are waited for: vendors count, and each poll takes CPU."""

T = TypeVar("T")


class PollGate:
    """What all polls of one provider pass: open, until one is refused. `clock`, `sleep` and `chance` as in Services.

    When a refusal is over, those who were held go on one by one, no faster than all may be asked.
    """

    def __init__(self, clock: Callable[[], float], sleep: Sleep, chance: Callable[[], float]) -> None:
        self.waiting = 0
        """How many jobs are waited for, with each whose poll goes through."""
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._refusals = 0
        self._refused = float("-inf")  # when it was last refused,
        self._until = float("-inf")  # until when nobody polls,
        self._free = float("-inf")  # and when the next one may who has to wait in line

    @property
    def round(self) -> float:
        """Seconds in which each of the jobs that are waited for is asked for once, at the least."""
        return min(self.waiting / POLLS_A_SECOND, LONGEST_WISH)

    async def through(self, poll: Callable[[], Awaitable[T]]) -> T:
        """The answer of a poll, which is asked when the provider takes polls again. Raises what the poll raises."""
        asked = await self._turn()
        try:
            answer = await poll()
        except ProviderError as error:
            if _refuses(error):
                self._hold(error.retry_after, asked)
            raise
        if asked > self._refused:
            self._refusals = 0
        return answer

    async def _turn(self) -> float:
        """Wait for the moment when this poll may leave, and give it."""
        while True:
            now = self._clock()
            if now < self._refused:  # the clock was set back: nobody knows how long it still is
                self._refused = self._until = self._free = now
            if self._free <= now:
                return now
            turn = self._free
            self._free += self.round / self.waiting
            await self._sleep(turn - now)
            if self._until <= turn:  # else who went before was refused again
                return turn

    def _hold(self, told: float | None, asked: float) -> None:
        """Nobody polls for as long as was told, else for longer each time.

        What was `asked` before the last refusal belongs to the same crowd: how often that was refused says nothing.
        """
        now = self._clock()
        if asked > self._refused:
            self._refusals += 1
            self._refused = now
        self._until = max(self._until, now + pause(self._refusals, told, self._chance()))
        self._free = max(self._free, self._until)


def _refuses(error: ProviderError) -> bool:
    """True for an answer about polls in general, and not about this job."""
    told = error.kind is ErrorKind.OVERLOADED and bool(error.retry_after)
    return error.sent is not Sent.FINISHED and (told or error.kind is ErrorKind.RATE_LIMITED)
