"""Calls in flight: equal calls of one process share one request, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from callsheet.errors import CallsheetError, JobCancelledError
from callsheet.failures import cleanse
from callsheet.jobs import JobResult
from callsheet.money import Cost
from callsheet.secrets import Redactor

__all__ = ["Flight", "Flights", "Paid"]


@dataclass(frozen=True, slots=True)
class Paid:
    """A call's result; `reused` when this run sent nothing for it. `cost` is None where nobody has worked it out yet."""

    key: str
    sample: int
    result: JobResult
    reused: bool
    attempts: int
    cost: Cost | None = None


@dataclass(slots=True)
class Flight:
    """A call that this process performs, and how many other tasks wait for it."""

    landing: asyncio.Future[Paid]
    twins: int = 0


class _FlightCancelledError(JobCancelledError):
    """The task that performed a shared call was cancelled; its twins take over."""


class Flights:
    """The calls that this process performs now, by key."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._flying: dict[str, Flight] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flying

    async def twin(self, key: str, waiting: Callable[[], None]) -> Paid | None:
        """How an equal call ended; None, without a pause, when there is none and it is the caller's to do.

        `waiting` is called before a wait. Raises what the equal call raised.
        """
        while key in self._flying:
            waiting()
            flight = self._flying[key]
            flight.twins += 1
            try:
                return replace(await asyncio.shield(flight.landing), reused=True, attempts=0)
            except _FlightCancelledError:
                continue  # its task was cancelled: now it is ours to do
            finally:
                flight.twins -= 1
        return None

    def take_off(self, key: str) -> Flight:
        """A flight of the caller's own, right after `twin` gave None; it has to `land`."""
        flight = self._flying[key] = Flight(asyncio.get_running_loop().create_future())
        return flight

    def land(self, key: str, end: Paid | BaseException) -> None:
        """The flight is over; who waits for it gets the result or the error, from which secrets are masked here."""
        landing = self._flying.pop(key).landing
        if isinstance(end, Paid):
            landing.set_result(end)
            return
        if isinstance(end, CallsheetError):
            cleanse(end, self._redactor)
        landing.set_exception(end if isinstance(end, CallsheetError) else _FlightCancelledError("cancelled"))
        landing.exception()  # marks it as seen: there may be no twin who looks
