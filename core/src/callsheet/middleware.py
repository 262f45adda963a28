"""Middleware: code of a plugin around each call, a plain async chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from callsheet.jobs import Job, JobResult, ProviderRequest

__all__ = ["Middleware", "Proceed"]

Proceed = Callable[[], Awaitable[JobResult]]


@runtime_checkable
class Middleware(Protocol):
    """Around one model choice of one job: retries are inside, a fallback is another choice."""

    async def __call__(self, job: Job, request: ProviderRequest, proceed: Proceed) -> JobResult:
        """Give what `await proceed()` gives, perhaps with other warnings; or raise, and nothing is sent.

        `proceed` raises ProviderError as the call failed; it may be awaited again then. What is paid for is not paid again:
        it gives the same result, and of a call that may be paid for (`sent` is unknown) the same error. Artifacts cannot
        be exchanged here: they are on record by now.
        """
        ...
