"""Fixtures of the stores' tests: the event loop, an owner, a ledger, and child processes that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner

CHILD = Path(__file__).with_name("child_process.py")


class Child:
    """A real process that runs one function of child_process.py and talks by lines."""

    def __init__(self, *arguments):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, CHILD, *map(str, arguments)], stdin=pipe, stdout=pipe)

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def tell(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self):
        """Kill -9, and return the lines that had not been read."""
        os.kill(self.process.pid, signal.SIGKILL)
        rest = self.process.stdout.read().decode().split()
        self.close()
        return rest

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def child():
    """Start a child process; those still alive at the end are killed."""
    started = []

    def start(*arguments):
        started.append(Child(*arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def owner(tmp_path):
    with_lock = Owner.start(tmp_path)
    yield with_lock
    with_lock.close()


@pytest.fixture
async def ledger(tmp_path, owner):
    async with await Ledger.open(tmp_path / "ledger.sqlite3", owner) as opened:
        yield opened
