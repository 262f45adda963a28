"""Figures, and child processes whose CPU time is counted: wall time says little on a shared machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Figure", "Spent", "child", "cpu_of", "limit", "module_child", "server"]

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what was measured, the figure, how it stands to the baseline of the same run, and the budget for it."""

    what: str
    figure: str
    baseline: str = ""
    ratio: float | None = None
    budget: str = ""
    holds: bool | None = None

    def row(self) -> str:
        """The row of the Markdown table."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} ×"
        verdict = "" if self.holds is None else "holds" if self.holds else "**does not hold**"
        return f"| {self.what} | {self.figure} | {self.baseline} | {ratio} | {self.budget} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a child process cost: CPU seconds (user and system), largest resident memory in MB, and what it printed."""

    cpu: float
    memory: float
    output: str


def child(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Spent:
    """Run a command to its end. Raises RuntimeError when it fails."""
    # Where bytecode may not be written, every import is compiled anew and comes out twice too slow.
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "COLUMNS")}
    with (
        tempfile.TemporaryFile("w+") as complaints,  # a pipe would be full before it is read
        subprocess.Popen(
            command, env={**clean, **(env or {})}, cwd=cwd, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        complaints.seek(0)
        complaint = complaints.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {complaint[-2000:]}")
    return Spent(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def module_child(module: str, *args: object) -> Any:
    """The JSON that `python -m benchmarks.<module> args` prints: a measurement in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, args)]
    return json.loads(child(command, cwd=ROOT).output.splitlines()[-1])


@contextmanager
def server(module: str, *args: object) -> Iterator[str]:
    """The base URL of `python -m benchmarks.<module> args`, a server that prints its port, for as long as the block runs."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, args)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


def cpu_of(commands: Mapping[str, Callable[[], Spent]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median CPU seconds of each, after one round that warms caches; the rounds go through all of them in turn."""
    for run in commands.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, run in commands.items():
            taken[name].append(run().cpu)
    return {name: median(values) for name, values in taken.items()}


def limit(value: float, most: float) -> bool:
    """True when a figure keeps its budget."""
    return value <= most


class Clock:
    """CPU seconds of this process (all its threads) since the last look."""

    def __init__(self) -> None:
        self._last = time.process_time()

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.process_time()
        taken, self._last = now - self._last, now
        return taken
