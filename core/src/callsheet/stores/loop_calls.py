"""How a thread has its event loop make calls: as `call_soon_threadsafe` does, at a lower price."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

__all__ = ["LoopCalls"]

_ONE = (1).to_bytes(8, sys.byteorder)


class LoopCalls:
    """Calls that one other thread asks for, made by the event loop in their order. To be made and closed on the loop's thread.

    asyncio wakes a loop through a pair of sockets, of which it reads until one read fails; a paid call waits for its ledger
    twice, and noticed that. Here it is one descriptor (eventfd(2), or a pipe where there is none), read once for each call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        if hasattr(os, "eventfd"):
            self._out = self._in = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        else:
            self._out, self._in = os.pipe()
        Context().run(loop.add_reader, self._out, self._one)  # what is called is no part of the work that opened this

    def ask(self, function: Callable[..., object], *values: object) -> None:
        """From the other thread, which must have ended when this is closed."""
        self._asked.append((function, values))
        os.write(self._in, _ONE)

    def close(self) -> None:
        """Make the calls that were asked for last, and ask for no more."""
        self._loop.remove_reader(self._out)
        for descriptor in {self._out, self._in}:
            os.close(descriptor)
        while self._asked:
            self._make()

    def _one(self) -> None:
        os.read(self._out, len(_ONE))
        self._make()

    def _make(self) -> None:
        function, values = self._asked.popleft()
        function(*values)
