"""Calls that a thread has its event loop make: with real threads and this process's own descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
from contextvars import ContextVar
from pathlib import Path
from threading import Event, Thread, get_ident
from threading import enumerate as enumerate_threads
from unittest.mock import Mock

import pytest

from callsheet.errors import CallsheetError, ConfigError
from callsheet.stores.ledger import Ledger
from callsheet.stores.loop_calls import LoopCalls
from callsheet.stores.owners import Owner

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["eventfd", "pipe"])
def descriptors(request, monkeypatch):
    """With what the loop is woken; where there is no eventfd, with a pipe."""
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd")
    return {"eventfd": 1, "pipe": 2}[request.param]


async def test_calls_are_made_in_order_and_on_the_loops_thread(descriptors):
    """However many are asked for before the loop looks; what is still to be made is made at the end."""
    before = open_descriptors()
    loop = asyncio.get_running_loop()
    calls, made = LoopCalls(loop), []
    assert open_descriptors() == before + descriptors
    half, end = loop.create_future(), loop.create_future()

    def make(number: int) -> None:
        made.append((number, get_ident()))
        if number == 49:
            half.set_result(None)

    def work() -> None:
        for number in range(50):
            calls.ask(make, number)
        going_on.wait()
        for number in range(50, 60):
            calls.ask(make, number)
        calls.ask(end.set_result, None)
        calls.end()

    going_on = Event()
    thread = Thread(target=work)
    thread.start()
    await half
    going_on.set()
    thread.join()
    await end
    await asyncio.sleep(0)
    assert made == [(number, get_ident()) for number in range(60)]
    assert open_descriptors() == before


async def test_more_calls_than_a_pipe_holds(descriptors):
    """The thread does not wait for the loop."""
    calls, made, done = LoopCalls(asyncio.get_running_loop()), [], asyncio.Event()
    for number in range(20_000):
        calls.ask(made.append, number)
    calls.ask(done.set)
    assert made == []
    await done.wait()
    assert made == list(range(20_000))
    calls.close()


async def test_one_that_fails_keeps_no_other_waiting(descriptors):
    """The loop's exception handler hears of it; also at the end."""
    loop, heard, made = asyncio.get_running_loop(), [], asyncio.Event()
    loop.set_exception_handler(lambda _loop, context: heard.append(str(context["exception"])))
    calls = LoopCalls(loop)

    def fail(number: int) -> None:
        raise ValueError(f"call {number}")

    calls.ask(fail, 1)
    calls.ask(made.set)
    await made.wait()
    made.clear()
    calls.ask(fail, 2)
    calls.ask(made.set)
    calls.close()
    await made.wait()
    assert heard == ["call 1", "call 2"]


async def test_calls_belong_to_nobodys_work(descriptors):
    """They see no context variable of whoever opened the way (a span, the fields of its log lines), nor one another's."""
    WHOSE.set("the opener's")
    calls, seen, done = LoopCalls(asyncio.get_running_loop()), [], asyncio.Event()

    def look() -> None:
        seen.append(WHOSE.get())
        WHOSE.set("the call's before")

    for function in (look, look, done.set):
        calls.ask(function)
    await done.wait()
    calls.ask(look)
    calls.close()
    await asyncio.sleep(0)
    assert seen == ["nobody's"] * 3


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_program_may_be_ended_when_a_call_is_due(descriptors, end):
    """The loop is left with the call before it, hears of it a second time when its tasks are cancelled, and is closed."""
    before, made, opened = open_descriptors(), [], []

    async def main() -> None:
        calls = LoopCalls(asyncio.get_running_loop())
        opened.append(calls)
        calls.ask(made.append, 1)
        await asyncio.sleep(0)
        assert made == []
        raise end(3)

    with pytest.raises(end):
        asyncio.run(main())
    assert made == [1]
    opened[0].ask(made.append, 2)
    opened[0].end()  # the thread goes on after the loop: nobody waits for what it has to say
    assert (made, open_descriptors()) == ([1], before)


async def test_a_ledger_gives_its_descriptors_back(tmp_path: Path):
    """Closed, refused, or given up while it was opening."""
    owner = Owner.start(tmp_path)
    before = open_descriptors()
    path = tmp_path / "ledger.sqlite3"
    for _ in range(3):
        async with await Ledger.open(path, owner) as ledger:
            assert await ledger.runs() == []
    other = tmp_path / "other.sqlite3"
    other.write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    for _ in range(3):
        with pytest.raises(ConfigError):
            await Ledger.open(other, owner)
    for _ in range(3):
        opening = asyncio.create_task(Ledger.open(path, owner))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    async with asyncio.timeout(60):
        while open_descriptors() > before:  # the threads of those that were given up end by themselves
            await asyncio.sleep(0)
    owner.close()


def test_a_ledger_outlives_no_loop(tmp_path: Path):
    """One that was still opening, and one that was left open, when their loops were closed."""
    owner = Owner.start(tmp_path)
    before, left = open_descriptors(), []

    async def give_up() -> None:
        opening = asyncio.create_task(Ledger.open(tmp_path / "ledger.sqlite3", owner))
        await asyncio.sleep(0)
        opening.cancel()

    async def leave() -> None:
        left.append(await Ledger.open(tmp_path / "ledger.sqlite3", owner))

    for _ in range(5):
        asyncio.run(give_up())
    asyncio.run(leave())
    asyncio.run(left[0].close())
    for thread in enumerate_threads():
        if thread.name == "callsheet-ledger":
            thread.join()
    assert open_descriptors() == before
    owner.close()


async def test_a_process_without_descriptors_is_told_so(tmp_path: Path, monkeypatch):
    """And one without another thread keeps none of them."""
    owner = Owner.start(tmp_path)
    before = open_descriptors()
    for function, error, said in (
        ("os.eventfd", OSError(errno.EMFILE, "Too many open files"), "cannot be opened: Too many open files"),
        ("threading.Thread.start", RuntimeError("can't start new thread"), "can't start new thread"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(function, Mock(side_effect=error))
            with pytest.raises((CallsheetError, RuntimeError), match=said):
                await Ledger.open(tmp_path / "ledger.sqlite3", owner)
        assert open_descriptors() == before
    owner.close()
