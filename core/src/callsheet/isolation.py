"""Foreign code with a deadline: it runs in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable

from callsheet.errors import PluginError
from callsheet.secrets import Secret, SecretScope

__all__ = ["SecretsAtHome", "run_apart"]


async def run_apart(work: Callable[[], object], *, seconds: float) -> object:
    """The outcome of `work`, a plain or an async function, which has a daemon thread and an event loop of its own.

    What it makes may be used here afterwards, as far as it is bound to no event loop. Raises TimeoutError after
    `seconds`, even when `work` blocks; its thread is asked to stop then, and left alone if it does not. Lets through
    what `work` raises; SystemExit and other attempts to end the program become PluginError.
    """
    apart = _Apart(work)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(apart.start())
    except BaseException:
        apart.stop()
        raise
    return apart.outcome()


class _Apart:
    """One thread, from its start to its outcome; afterwards nobody listens to it any more."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._done = asyncio.get_running_loop().create_future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._result: object = None
        self._error: BaseException | None = None

    def start(self) -> asyncio.Future[None]:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="callsheet-apart", daemon=True).start()
        return self._done

    def stop(self) -> None:
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._task.cancel)

    def outcome(self) -> object:
        error = self._error
        if isinstance(error, Exception):
            raise error
        if error is not None:
            # In a task, SystemExit would end the whole program; a cancellation of its own is no cancellation of ours.
            raise PluginError(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        return self._result

    def _run(self) -> None:
        try:
            self._result = asyncio.run(self._perform())
        except BaseException as error:  # noqa: BLE001 - whatever foreign code does, it must not stay silent
            self._error = error
        with suppress(RuntimeError):  # the loop that waited is closed
            self._done.get_loop().call_soon_threadsafe(self._tell)

    async def _perform(self) -> object:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        result = self._work()
        return await result if isawaitable(result) else result

    def _tell(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class SecretsAtHome(SecretScope):
    """A scope for code that runs apart: the resolver is asked in the event loop that it belongs to."""

    def __init__(self, scope: SecretScope, home: asyncio.AbstractEventLoop) -> None:
        self._scope = scope
        self._home = home

    async def get(self, name: str) -> Secret | None:
        """As the scope gives it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._scope.get(name), self._home))

    async def key(self) -> Secret | None:
        """As the scope gives it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._scope.key(), self._home))

    async def account(self) -> str:
        """As the scope gives it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._scope.account(), self._home))

    async def require(self, name: str) -> Secret:
        """As the scope gives it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._scope.require(name), self._home))
