"""Deadlines: until when a job has to be done, and how what is still under way then is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from callsheet.errors import ProviderTimeoutError, Sent

__all__ = ["attempt_within", "earliest", "share"]

T = TypeVar("T")


async def attempt_within(seconds: float | None, waiting: Awaitable[T], ref: str) -> T:
    """The answer of one request. Raises ProviderTimeoutError: nobody knows then what the provider made of it."""
    if seconds is None:
        return await waiting
    try:
        async with asyncio.timeout(seconds) as scope:
            return await waiting
    except TimeoutError as error:
        if not scope.expired():
            raise
        text = f"{ref} gave no answer within {seconds:g} s (deadlines.attempt)"
        raise ProviderTimeoutError(text, sent=Sent.UNKNOWN, ref=ref) from error


def earliest(*moments: float | None) -> float | None:
    """The first of these moments; None is never."""
    known = [moment for moment in moments if moment is not None]
    return min(known) if known else None


def share(now: float, until: float | None, choices: int) -> float | None:
    """Until when the first of so many model choices may take: each gets an equal part of what is left."""
    return None if until is None else now + max(until - now, 0.0) / choices
