"""The watch on a pure function: what it sees, what it lets pass, and that it goes away."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import os
import posixpath
import random
import secrets
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path, PurePosixPath

import pytest

from callsheet.testing import LoopbackServer
from callsheet.testing.purity import sleeps, watched

SEEN = {
    "clock": (time.time, "reads the clock (time.time)"),
    "date": (dt.datetime.now, "reads the clock (datetime.now)"),
    "random": (random.random, "depends on chance (random)"),
    "choice": (lambda: random.choice("ab"), "depends on chance (getrandbits)"),
    "uuid": (uuid.uuid4, "depends on chance (urandom)"),
    "token": (secrets.token_hex, "depends on chance (urandom)"),
    "environ": (lambda: os.environ.get("HOME"), "reads the environment (os.environ)"),
    "getenv": (lambda: os.getenv("NOTHING"), "reads the environment (os.environ)"),
    "file": (lambda: Path(__file__).read_bytes(), "uses files or the system (open)"),
    "stat": (lambda: Path(__file__).exists(), "uses files or the system (stat)"),
    "socket": (lambda: socket.socket().close(), "reaches the network (socket)"),
    "name": (lambda: socket.getaddrinfo("127.0.0.1", 1), "reaches the network (getaddrinfo)"),
    "process": (lambda: subprocess.run([sys.executable, "-V"], capture_output=True), "starts a process (subprocess)"),
}
PURE = {
    "sort": lambda: sorted({"b": 1, "a": 2}),
    "seeded": lambda: random.Random(3).random(),
    "path": lambda: PurePosixPath("a") / "b",
    "join": lambda: posixpath.normpath(posixpath.join("a", "..", "b")),
    "date of its own": lambda: dt.date(2026, 11, 1).isoformat(),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_not_pure_is_seen(name: str) -> None:
    """However it is called, with the place of the caller."""
    function, what = SEEN[name]
    function()  # what it imports at first is another matter
    with watched() as acts:
        function()
    assert what in [act for act, _ in acts]
    assert all("testing/test_purity.py:" in place for _, place in acts)


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_passes(name: str) -> None:
    """Computing is no act."""
    PURE[name]()
    with watched() as acts:
        PURE[name]()
    assert acts == []


def test_the_first_time_only_the_network_counts() -> None:
    """A handler may load its data files then."""
    with watched(network_only=True) as acts:
        Path(__file__).read_bytes()
        time.time()
        socket.socket().close()
    assert [act for act, _ in acts] == ["reaches the network (socket)"]


def test_what_a_collection_does_is_not_the_plugins_doing() -> None:
    """Somebody's callback of the garbage collector may look at the clock; the collector is as it was afterwards."""

    def look_at_the_clock(_phase: str, _info: dict[str, int]) -> None:
        time.perf_counter()

    gc.callbacks.append(look_at_the_clock)
    try:
        with watched() as acts:
            hoard = [[number] for number in range(50_000)]
    finally:
        gc.callbacks.remove(look_at_the_clock)
    assert (acts, len(hoard), gc.isenabled()) == ([], 50_000, True)


def test_the_watch_goes_away() -> None:
    """Also when the function raises; a profiler that was there before is back."""
    before = sys.getprofile()
    with pytest.raises(ZeroDivisionError), watched():
        raise ZeroDivisionError
    assert sys.getprofile() is before


async def test_who_sleeps_is_seen() -> None:
    """Both kinds of sleep, with the place; giving way to others is none, nor is a sleep of the core's own."""
    answers = iter([False, True])
    with LoopbackServer() as server, sleeps() as places:
        await asyncio.sleep(0)
        await server.until(lambda: bool(next(answers)))
    assert places == []
    with sleeps() as places:
        time.sleep(0.0001)  # noqa: ASYNC251 - who does just that is to be found
        await asyncio.sleep(0.0001)
    assert [place.partition(":")[0] for place in places] == ["testing/test_purity.py"] * 2
