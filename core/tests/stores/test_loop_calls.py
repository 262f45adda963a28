"""Calls that a thread has its event loop make: with real threads and this process's own descriptors."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from pathlib import Path
from threading import Thread, get_ident

import pytest

from callsheet.errors import ConfigError
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
    half = loop.create_future()

    def make(number: int) -> None:
        made.append((number, get_ident()))
        if number == 49:
            half.set_result(None)

    def work() -> None:
        for number in range(50):
            calls.ask(make, number)

    thread = Thread(target=work)
    thread.start()
    await half
    thread.join()
    for number in range(50, 60):
        calls.ask(make, number)
    calls.close()
    assert made == [(number, get_ident()) for number in range(60)]
    assert open_descriptors() == before


async def test_one_that_fails_keeps_no_other_waiting(descriptors):
    """The loop's exception handler hears of it."""
    loop, heard, made = asyncio.get_running_loop(), [], asyncio.Event()
    loop.set_exception_handler(lambda _loop, context: heard.append(context["exception"]))
    calls = LoopCalls(loop)

    def fail() -> None:
        raise ValueError("a call")

    calls.ask(fail)
    calls.ask(made.set)
    await made.wait()
    calls.close()
    assert [str(error) for error in heard] == ["a call"]


async def test_calls_belong_to_nobodys_work(descriptors):
    """They see no context variable of whoever opened the way: a span, or the fields of its log lines."""
    WHOSE.set("the opener's")
    calls, seen = LoopCalls(asyncio.get_running_loop()), asyncio.get_running_loop().create_future()
    calls.ask(lambda: seen.set_result(WHOSE.get()))
    assert await seen == "nobody's"
    calls.close()


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
