"""Naps: the waits between two polls of a remote job, which end early when somebody says that the job has news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from callsheet.jobs import Receipt

__all__ = ["Nap", "Naps"]

Sleep = Callable[[float], Awaitable[None]]


class Naps:
    """The jobs that this process waits for, by their provider and its id of them."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        # Weak: a wait that has ended, however it ended, is forgotten with its waiter.
        self._naps: WeakValueDictionary[tuple[str, str], Nap] = WeakValueDictionary()

    def of(self, receipt: Receipt) -> Nap:
        """How to sleep while this job is waited for."""
        key = (receipt.ref.provider, receipt.job_id)
        nap = self._naps.get(key)
        if nap is None:
            nap = self._naps[key] = Nap(self._sleep)
        return nap

    def wake(self, provider: str, job_id: str) -> bool:
        """End the job's present nap, or else its next one; False when nobody here waits for it."""
        nap = self._naps.get((provider, job_id))
        if nap is not None:
            nap.wake()
        return nap is not None


class Nap:
    """Call it as `sleep(seconds)`. A wake that comes while its owner is busy is not lost."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._task: asyncio.Future[None] | None = None
        self._woken = False

    async def __call__(self, seconds: float) -> None:
        """Sleep so long, or until woken."""
        if not self._woken:
            task = self._task = asyncio.ensure_future(self._sleep(seconds))
            try:
                await asyncio.wait([task])  # not the task itself: its end by `wake` is no cancellation of ours
            finally:
                task.cancel()
                self._task = None
            if not task.cancelled():
                task.result()
        self._woken = False

    def wake(self) -> None:
        """End the nap, or the next one."""
        self._woken = True
        if self._task is not None:
            self._task.cancel()
