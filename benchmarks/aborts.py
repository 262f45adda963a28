"""Ctrl-C: how long it takes until the provider has been told to stop every remote job of a run, and until the process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from benchmarks.measuring import Figure, limit
from callsheet_replicate.testing import Exchange, ReplicateServer, Script

__all__ = ["figures"]

JOBS = (1, 50)
MOST_SECONDS = 1.0
SHEET = """
[inputs]
n = {jobs}
[producers.a]
operation = "image.generate"
models = ["replicate:google/imagen-4"]
for_each = "inputs.n"
prompt = "lava {{{{ index }}}}"
"""


class Watch:
    """When each job was created and stopped; a judge that objects to nothing."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._created = 0
        self.all_run = Event()
        self.stopped: list[float] = []

    def __call__(self, exchange: Exchange) -> list[str]:
        """The server's thread tells of each request."""
        self._created += exchange.route == "create"
        if self._created == self._jobs and exchange.route == "get":
            self.all_run.set()
        if exchange.route == "cancel":
            self.stopped.append(time.monotonic())
        return []


def measure(jobs: int) -> tuple[float, float]:
    """Seconds from the signal to the last cancel's arrival, and to the end of the process."""
    watch = Watch(jobs)
    with ReplicateServer(judge=watch) as server, tempfile.TemporaryDirectory() as name:
        server.script("google/imagen-4", Script("unused", polls=1_000_000))
        folder = Path(name)
        (folder / "sheet.toml").write_text(SHEET.format(jobs=jobs))
        (folder / "callsheet.toml").write_text("[run]\nconcurrency = 64\n")
        env = {**os.environ, "REPLICATE_BASE_URL": server.origin, "REPLICATE_API_TOKEN": server.key}
        command = [sys.executable, "-m", "callsheet", "run", "."]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, cwd=folder, env=env, stdout=quiet, stderr=quiet) as process:
            if not watch.all_run.wait(60):
                process.kill()
                raise RuntimeError("the jobs were never all under way")
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.wait()
        if len(watch.stopped) != jobs or server.running:
            raise RuntimeError(f"{len(watch.stopped)} of {jobs} were stopped, {len(server.running)} run on")
        return watch.stopped[-1] - begun, time.monotonic() - begun


def figures() -> Iterator[Figure]:
    """Rows for the table: the slowest of three."""
    for jobs in JOBS:
        last, end = (max(each) for each in zip(*(measure(jobs) for _ in range(3)), strict=True))
        what = (
            f"Ctrl-C in a run with {jobs} remote job{'s' * (jobs > 1)}: until the provider is told to stop the last one"
        )
        yield Figure(what, f"{last * 1000:.0f} ms", budget=f"≤ {MOST_SECONDS:g} s", holds=limit(last, MOST_SECONDS))
        yield Figure("… until the process has ended", f"{end * 1000:.0f} ms")
