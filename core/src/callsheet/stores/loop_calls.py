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
_MANY = 1024 * len(_ONE)


class LoopCalls:
    """Calls that one other thread asks for, made by the event loop in their order. To be made on the loop's thread.

    asyncio wakes a loop through a pair of sockets, of which it reads until one read fails; a paid call waits for its ledger
    twice, and noticed that. Here it is one descriptor (eventfd(2), or a pipe where there is none). It only says that there
    may be something to do: a loop may hear of it twice, or when it is done already. Raises OSError when none is left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        if hasattr(os, "eventfd"):
            self._out = self._in = os.eventfd(0, os.EFD_CLOEXEC)
        else:
            self._out, self._in = os.pipe()
        for descriptor in {self._out, self._in}:
            os.set_blocking(descriptor, False)
        loop.add_reader(self._out, self._make)

    def ask(self, function: Callable[..., object], *values: object) -> None:
        """From the other thread. Each call has a context of its own: it is no part of the work of whoever waits for it."""
        self._asked.append((function, values))
        self._ring()

    def end(self) -> None:
        """From the other thread, as its last: what was asked for is made, and the descriptors are given back."""
        try:
            self._loop.call_soon_threadsafe(self.close)
        except RuntimeError:  # the loop is closed, and nobody waits for anything any more
            self._give_back()

    def close(self) -> None:
        """As `end`, where there is no other thread (any more)."""
        self._loop.remove_reader(self._out)
        self._give_back()
        for function, values in self._asked:
            self._loop.call_soon(function, *values, context=Context())

    def _make(self) -> None:
        try:
            try:  # noqa: SIM105 - as below
                os.read(self._out, _MANY)
            except BlockingIOError:
                pass  # it is made already
            while self._asked:
                function, values = self._asked.popleft()
                Context().run(function, *values)
        finally:
            if self._asked:  # one has failed, or the program is being ended: the others are made all the same
                self._ring()

    def _ring(self) -> None:
        try:  # noqa: SIM105 - `suppress` costs more than what it does here
            os.write(self._in, _ONE)
        except BlockingIOError:
            pass  # the pipe is full: the loop will look

    def _give_back(self) -> None:
        for descriptor in {self._out, self._in}:
            os.close(descriptor)
