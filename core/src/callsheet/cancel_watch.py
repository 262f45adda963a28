"""Noticing that another process asked for a run to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from callsheet.errors import CallsheetError
from callsheet.services import Services

__all__ = ["CancelWatch"]

LOOK_SECONDS = 0.5
"""How often a run looks whether it shall stop."""

T = TypeVar("T")


class CancelWatch:
    """Carries out a run's work, and cancels it when the ledger holds a request to stop the run.

    `sleep` is the time between two looks; it is not that of the services, because it belongs to no job.
    """

    def __init__(self, services: Services, run: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._services = services
        self._run = run
        self._sleep = sleep
        self._requested = False
        self._task: asyncio.Task[Any] | None = None

    @property
    def stopped_it(self) -> bool:
        """True when the work was cancelled by a request, and its own caller did not cancel it as well."""
        return self._requested and (self._task is None or not self._task.cancelling())

    async def over(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. Raises CancelledError when it was cancelled, from here or from outside."""
        self._task = asyncio.current_task()
        task = asyncio.create_task(work)
        look = asyncio.create_task(self._look(task))
        try:
            return await task
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    async def _look(self, task: asyncio.Task[Any]) -> None:
        while not task.done():
            await self._sleep(LOOK_SECONDS)
            try:
                self._requested = await self._services.ledger.is_cancel_requested(self._run)
            except CallsheetError as error:
                self._services.log.warning("ledger.failed", run=self._run, error=str(error))
            if self._requested:
                task.cancel()
                return
