"""A plugin for crash tests: at a chosen event it kills the process, or says so and holds it.

`PROBE_KILL=TYPE:N` kills at the N-th event of the type (`*`: any that is a step of a call). `PROBE_HOLD=TYPE:N` writes a line
to the file descriptor `PROBE_SAY` and blocks the process until it can read from `PROBE_GO` (without `PROBE_GO`: goes on).
`PROBE_ABORT=hang` makes every abort a wait without an end, after the line `aborting`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

from callsheet.plugin import hookimpl

STEPS = ("job.sending", "job.submitted", "job.succeeded")
heard: Counter[str] = Counter()


def is_now(variable: str, kind: str) -> bool:
    """True at the event that the variable names."""
    wanted, _, number = os.environ.get(variable, "").partition(":")
    return wanted in (kind, "*" if kind in STEPS else kind) and heard[wanted] == int(number)


def say(line: str) -> None:
    """Tell the test."""
    os.write(int(os.environ["PROBE_SAY"]), f"{line}\n".encode())


@hookimpl
def callsheet_job_event(event):
    """Count, and do what was asked for at this event."""
    heard[event.type] += 1
    heard["*"] += event.type in STEPS
    if is_now("PROBE_KILL", event.type):
        os.kill(os.getpid(), signal.SIGKILL)
    if is_now("PROBE_HOLD", event.type):
        say(f"{event.type} {event.job}")
        if "PROBE_GO" in os.environ:
            os.read(int(os.environ["PROBE_GO"]), 1)


@hookimpl
def callsheet_abort(call):
    """A provider that does not answer."""
    return hang() if os.environ.get("PROBE_ABORT") == "hang" else None


async def hang():
    """Say that it was asked, and never answer."""
    say("aborting")
    await asyncio.Event().wait()
