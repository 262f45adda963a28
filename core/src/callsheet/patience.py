"""Patience: what costs nothing is asked for again after a failure that passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import TypeVar

from callsheet.errors import ErrorKind, ProviderError, Sent

__all__ = [
    "FIRST_WAIT",
    "LONGEST_RETRY_AFTER",
    "LONGEST_WAIT",
    "PASSING",
    "PATIENCE",
    "SPREAD",
    "Patience",
    "Sleep",
    "pause",
    "spread",
]

FIRST_WAIT = 0.5
"""Seconds before the second poll, and half of those after a first failure."""
LONGEST_WAIT = 10.0
LONGEST_RETRY_AFTER = 300.0
"""Vendors keep outputs for an hour or so: a job must not be lost because somebody said "come back tomorrow"."""
SPREAD = 0.25
"""The part of a wait that chance decides, so that jobs which began together are not asked for together."""
PATIENCE = 12
"""How many tries in a row may fail."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

PASSING = frozenset({ErrorKind.CONNECTION_FAILED, ErrorKind.TIMEOUT, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED})
"""What passes of any question."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits with `sleep`, spread by `chance` (0 to 1); `warn` is told of a Retry-After that is not obeyed in full."""

    sleep: Sleep
    chance: Callable[[], float]
    warn: Callable[..., object]

    async def answer(self, ask: Callable[[], Awaitable[T]], passing: Container[ErrorKind] = PASSING) -> T:
        """What `ask` gives. Raises its first failure that does not pass, or the last one of too many.

        What the provider has finished with does not pass, whatever its kind: it was an answer, and stays the same.
        """
        for failures in range(1, PATIENCE + 1):
            try:
                return await ask()
            except ProviderError as error:
                passes = error.kind in passing and error.sent is not Sent.FINISHED
                if not passes or failures == PATIENCE:
                    raise
                await self.sleep(self._wait(failures, error.retry_after))
        raise AssertionError("unreachable")

    def _wait(self, failures: int, told: float | None) -> float:
        if told is not None and told > LONGEST_RETRY_AFTER:
            self.warn("poll.retry_after_cut", told=told, wait=LONGEST_RETRY_AFTER)
        return pause(failures, told, self.chance())


def pause(failures: int, told: float | None, chance: float) -> float:
    """Seconds after so many failures in a row: as the provider says, within the limit, else twice as long each time."""
    if told:
        return spread(min(told, LONGEST_RETRY_AFTER), chance)
    return spread(min(FIRST_WAIT * 2 ** min(failures, PATIENCE), LONGEST_WAIT), chance, early=SPREAD)


def spread(seconds: float, chance: float, early: float = 0.0) -> float:
    """About so long: a wait of our own may end `early` (a part of it) or late, one that we were told only late."""
    return seconds * (1 - early + (SPREAD + early) * chance)
