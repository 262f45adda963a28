"""A plugin for crash tests: at a chosen event it kills the process, or says so and holds it.

`PROBE_KILL=TYPE:N` kills at the N-th event of the type (`TYPE@JOB`: of one job; `*`: submitted or succeeded). `PROBE_HOLD=TYPE:N` writes a line
to the file descriptor `PROBE_SAY` and blocks the process until it can read from `PROBE_GO` (without `PROBE_GO`: goes on).
`PROBE_ABORT=hang` makes every abort of the mock a wait without an end, after the line `aborting`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

from callsheet.plugin import hookimpl

STEPS = ("job.submitted", "job.succeeded")
heard: Counter[str] = Counter()


def is_now(variable: str, names: set[str]) -> bool:
    """True at the event that the variable names."""
    wanted, _, number = os.environ.get(variable, "").partition(":")
    return wanted in names and heard[wanted] == int(number)


def say(line: str) -> None:
    """Tell the test."""
    os.write(int(os.environ["PROBE_SAY"]), f"{line}\n".encode())


@hookimpl
def callsheet_job_event(event):
    """Count, and do what was asked for at this event."""
    names = {event.type, f"{event.type}@{event.job}", "*" if event.type in STEPS else event.type}
    heard.update(names)
    if is_now("PROBE_KILL", names):
        os.kill(os.getpid(), signal.SIGKILL)
    if is_now("PROBE_HOLD", names):
        say(f"{event.type} {event.job}")
        if "PROBE_GO" in os.environ:
            os.read(int(os.environ["PROBE_GO"]), 1)


async def hang(*_):
    """Say that it was asked, and never answer."""
    say("aborting")
    await asyncio.Event().wait()


if os.environ.get("PROBE_ABORT") == "hang":
    from callsheet_mock.handlers import JobHandler

    JobHandler.abort = hang
