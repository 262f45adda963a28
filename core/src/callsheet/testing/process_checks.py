"""Checks of what a call leaves behind in the process, in one of its own: other plugins and the user's program live there, too."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from callsheet.testing.child import run_child
from callsheet.testing.live_stage import LiveCall, live
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["TABLE", "left_by_calls"]


def check_process(subject: Subject) -> Iterator[Finding]:
    """Whatever a call of each handler changes that is not its own."""
    given = (subject.name, dict(subject.samples), dict(subject.streams))
    told = run_child("left_by_calls", given, hash_seed=5)
    if told["reason"]:
        raise NotApplicableError(told["reason"])
    yield from (Finding(where, problem) for where, problem in told["found"])


def left_by_calls(subject: Subject) -> dict[str, object]:
    """The child's side: what was `found`, or the `reason` why there is nothing to look at."""
    try:
        return {"reason": "", "found": [(each.where, each.problem) for each in live(_left)(subject)]}
    except NotApplicableError as missing:
        return {"reason": str(missing), "found": []}


async def _left(call: LiveCall) -> AsyncIterator[str]:
    before, threads = _state(), set(threading.enumerate())
    await call.result()
    for name, value in _state().items():
        if value != before[name]:
            yield f"a call changes {name} for the whole process"
    for thread in set(threading.enumerate()) - threads:
        if not thread.name.startswith("asyncio_"):  # those of the loop, which ends them itself
            yield f"a call leaves the thread {thread.name} running"


def _state() -> dict[str, object]:
    return {
        "the environment": dict(os.environ),
        "the timeout of all sockets": socket.getdefaulttimeout(),
        "the working folder": str(Path.cwd()),
    }


TABLE: tuple[CheckRow, ...] = (
    (
        check_process,
        Check(
            "process-kept",
            "a call changes nothing of the process, and leaves no thread behind",
            "give settings to the one request or client that they are for; await what you start, and start no threads",
        ),
    ),
)
