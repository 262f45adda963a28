"""Checks of what is left when a caller goes away: at every await point, and while a reply never comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from callsheet.handler import Batches, RemoteJobs, Streams
from callsheet.jobs import Receipt
from callsheet.testing.batch_checks import Batch
from callsheet.testing.exchange import Fault
from callsheet.testing.live_stage import CLOSING, LiveCall, ProblemError, live, said_by
from callsheet.testing.purity import sleeps
from callsheet.testing.report import Check
from callsheet.testing.stage import SECONDS
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE", "left_over"]

MOST_POINTS = 80
"""How many await points of one call are tried."""
_NO_JOBS = "no handler has remote jobs"
_Work = Callable[[], Coroutine[Any, Any, object]]


class _CancelledAt:
    """Drives work, and cancels its own task at the k-th suspension, as whoever owns the task could."""

    def __init__(self, work: Coroutine[Any, Any, object], at: int) -> None:
        self._work = work
        self._left = at
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._work.__await__()
        try:
            waited = next(steps)
            while True:
                self._left -= 1
                if not self._left:
                    self.reached = True
                    task.cancel()
                try:
                    told = yield waited
                except BaseException as error:  # noqa: BLE001 - handed on, as `yield from` does
                    waited = steps.throw(error)
                else:
                    waited = steps.send(told)
        except StopIteration as done:
            return done.value


async def _cancelled_everywhere(call: LiveCall, name: str, work: _Work) -> AsyncIterator[str]:
    """Cancel the work at its first await point, at its second, … until it ends before that."""
    call.server.journal.clear()
    await work()
    usual = {each.route for each in call.server.journal}
    await left_over(call, asyncio.all_tasks())
    for at in range(1, MOST_POINTS + 1):
        call.server.journal.clear()
        others = asyncio.all_tasks()
        driven = _CancelledAt(work(), at)
        task = asyncio.ensure_future(_awaited(driven))
        await asyncio.wait([task], timeout=SECONDS)
        if not task.done():
            task.cancel()
            raise ProblemError(f"{name}, cancelled at its await point {at}, does not end")
        if not driven.reached:
            task.result()  # whoever fails by itself is told of as of any call that breaks
            return
        problem = _swallowed(task)
        if len(call.server.paid) > 1:
            problem = f"has sent {len(call.server.paid)} paid requests"
        problem = problem or await left_over(call, others)
        strange = [each for each in call.server.journal if each.route not in usual]
        if strange and not problem:
            problem = f"sends {strange[0].method} {strange[0].path}, which it does not send otherwise"
        if problem:
            yield f"{name}, cancelled at its await point {at}, {problem}"
            return


async def _awaited(work: Awaitable[object]) -> object:
    return await work


def _swallowed(task: asyncio.Future[object]) -> str:
    if task.cancelled():
        return ""
    error = task.exception()
    return f"lets {said_by(error)} out, and not CancelledError" if error else "swallows the CancelledError"


async def left_over(call: LiveCall, others: set[asyncio.Task[Any]]) -> str:
    """What a call has left behind: a connection in use, a request that the server still holds, a task."""
    connections = call.client.runtime.services.connections
    try:
        await call.server.until(lambda: not connections.busy, CLOSING)
        await connections.aclose()  # those that wait for the next call
        await _quiet(call)
    except TimeoutError:
        return "leaves its connection open"
    for _ in range(20):
        left = asyncio.all_tasks() - others
        if not left:
            return ""
        await asyncio.sleep(0)
    await asyncio.wait(left, timeout=CLOSING)
    names = ", ".join(sorted(task.get_name() for task in left if not task.done()))
    return f"leaves a task running ({names})" if names else ""


async def _quiet(call: LiveCall) -> None:
    """Wait until the server has taken what was on its way, and has no connection any more. Raises TimeoutError."""
    server = call.server
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)  # it is taken after all that came before it
    await server.until(lambda: server.open_connections > 0, CLOSING)
    writer.close()
    await writer.wait_closed()
    await server.until(lambda: not server.open_connections, CLOSING)


async def _call(call: LiveCall) -> AsyncIterator[str]:
    """The paid request itself."""
    name = "submit" if isinstance(call.handler, RemoteJobs) else "invoke"
    async for problem in _cancelled_everywhere(call, name, call.send):
        yield problem


async def _questions(call: LiveCall) -> AsyncIterator[str]:
    """Poll, collect, and abort."""
    receipt, handler = await call.receipt(), call.handler
    context = call.context()
    async for problem in _cancelled_everywhere(call, "poll", lambda: handler.poll(receipt, call.context())):
        yield problem
    told = replace(context, answer=(await call.ended(receipt, context)).answer)
    async for problem in _cancelled_everywhere(
        call, "collect", lambda: handler.collect(receipt, replace(told, fetched={}))
    ):
        yield problem
    if hasattr(handler, "abort"):
        async for problem in _cancelled_everywhere(call, "abort", lambda: handler.abort(receipt, call.context())):
            yield problem


async def _stream(call: LiveCall) -> AsyncIterator[str]:
    """Reading a stream to its end."""

    async def read() -> None:
        async with aclosing(call.handler.stream(call.request, call.context())) as events:
            async for _ in events:
                pass

    async for problem in _cancelled_everywhere(call, "stream", read):
        yield problem


async def _batch(call: LiveCall) -> AsyncIterator[str]:
    """Sending a batch, and reading its answers."""
    batch = Batch.of(call)
    handler, items = batch.handler, batch.items
    async for problem in _cancelled_everywhere(
        call, "submit_batch", lambda: handler.submit_batch(items, batch.context)
    ):
        yield problem
    receipt = await batch.submitted()
    await batch.collected(receipt)
    async for problem in _cancelled_everywhere(
        call, "collect_batch", lambda: handler.collect_batch(receipt, items, batch.context)
    ):
        yield problem


async def _deadline(call: LiveCall) -> AsyncIterator[str]:
    """The reply never comes, and the caller's time is over: the timeout comes through, and nothing is left open."""
    route = await call.paid_route()
    call.server.fail(route, Fault(stall=True))
    others = asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    timer = asyncio.timeout(None)

    async def wait() -> object:
        async with timer:
            return await call.send(call.context("late"))

    task = asyncio.ensure_future(wait())
    await call.server.until(lambda: call.server.holding > 0 or task.done(), SECONDS)
    timer.reschedule(loop.time())
    await asyncio.wait([task], timeout=CLOSING)
    if not task.done():
        task.cancel()
        yield "waits on after the caller's timeout"
        return
    error = None if task.cancelled() else task.exception()
    if not isinstance(error, TimeoutError):
        yield f"the caller's timeout becomes {said_by(error) if error else 'a result'}, and not TimeoutError"
    if len(call.server.asked(route)) != 1:
        yield f"sends {len(call.server.asked(route))} requests until the caller's timeout"
    left = await left_over(call, others)
    if left:
        yield f"after the caller's timeout it {left}"


async def _nothing(call: LiveCall) -> AsyncIterator[str]:
    """A whole call, and then: no task, no connection in use."""
    others = asyncio.all_tasks()
    await call.result()
    left = await left_over(call, others)
    if left:
        yield f"a whole call {left}"
    elif hasattr(call.handler, "stream"):
        async with aclosing(call.handler.stream(call.request, call.context("read"))) as events:
            async for event in events:
                if isinstance(event, Receipt):
                    break
        left = await left_over(call, others)
        if left:
            yield f"a stream that was left at its receipt {left}"


async def _sleepless(call: LiveCall) -> AsyncIterator[str]:
    """Sending, polling, collecting, reading a stream: none of it sleeps."""
    with sleeps() as places:
        await call.result()
        if hasattr(call.handler, "stream"):
            async with aclosing(call.handler.stream(call.request, call.context("read"))) as events:
                async for _ in events:
                    pass
    for place in places:
        yield f"sleeps in a call ({place})"


TABLE: tuple[CheckRow, ...] = (
    (
        live(_call),
        Check(
            "cancel-call",
            "a call that is cancelled, at whatever await point, ends at once: one paid request at most, nothing more, nothing left open",
            "catch no CancelledError (nor BaseException), shield nothing, and keep connections in `async with`",
        ),
    ),
    (
        live(_questions, RemoteJobs, why=_NO_JOBS),
        Check(
            "cancel-questions",
            "poll, collect and abort can be cancelled at every await point",
            "catch no CancelledError (nor BaseException), shield nothing, and keep connections in `async with`",
        ),
    ),
    (
        live(_stream, Streams, why="no handler has `stream`"),
        Check(
            "cancel-stream",
            "a stream can be cancelled at every await point",
            "read inside of `async with context.http.stream(…)`, and close what you read from in `aclosing`",
        ),
    ),
    (
        live(_batch, Batches, why="no handler has batches"),
        Check(
            "cancel-batch",
            "sending and collecting a batch can be cancelled at every await point",
            "catch no CancelledError (nor BaseException), shield nothing, and keep connections in `async with`",
        ),
    ),
    (
        live(_deadline),
        Check(
            "deadline",
            "when a reply never comes, the caller's timeout comes through and the connection is closed",
            "let TimeoutError and CancelledError through: deadlines are the core's, and it knows what they mean",
        ),
    ),
    (
        live(_sleepless),
        Check(
            "waits-nowhere",
            "nothing of a call sleeps: submit, poll, collect, a stream",
            "ask once and return; RemoteStatus.poll_after tells the core how long to wait",
        ),
    ),
    (
        live(_nothing),
        Check(
            "nothing-left",
            "after a call no task runs on and no connection is in use",
            "await all that you start, and leave `async with context.http.stream(…)` before you return",
        ),
    ),
)
