"""The watch on a pure function: what it sees, what it lets pass, and that it goes away."""

from __future__ import annotations

import datetime as dt
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

from callsheet.testing.purity import watched

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


def test_the_watch_goes_away() -> None:
    """Also when the function raises; a profiler that was there before is back."""
    before = sys.getprofile()
    with pytest.raises(ZeroDivisionError), watched():
        raise ZeroDivisionError
    assert sys.getprofile() is before
