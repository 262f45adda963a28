"""The engine: CPU of a run of jobs that do nothing, by phase, against a bare TaskGroup."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Clock, Figure, limit, module_child
from benchmarks.studio import CHAIN, FLAT, open_client, write_sheet
from callsheet.expansion import Cell, expand
from callsheet.runner import JobOutcome, JobStatus, Runner, RunOptions
from callsheet.runs import RunRequest, SheetRun

__all__ = ["figures"]

JOBS = 10_000
SIZES = (1_000, JOBS, 100_000)
SHEETS = {"flat": FLAT, "chain": CHAIN}


class _OnlyScheduling(Runner):
    """The runner without what a job does: queue, slots, tasks, edges and outcomes remain."""

    __slots__ = ()

    async def _outcome(self, cell: Cell, slot: object) -> JobOutcome:  # noqa: ARG002
        return JobOutcome(cell.id, JobStatus.EXECUTED)


async def _noop() -> None:
    return None


async def bare_tasks(jobs: int) -> dict[str, float]:
    """A TaskGroup of coroutines that do nothing."""
    gc.collect()
    clock = Clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(_noop())
    return {"cpu": clock.lap()}


async def scheduling(jobs: int, sheet: str) -> dict[str, float]:
    """The runner's scheduling alone, of a sheet that is already expanded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expansion = expand(write_sheet(folder, SHEETS[sheet], jobs), folder)
    nothing: Any = None
    runner = _OnlyScheduling(
        run_id="",
        sheet="",
        expansion=expansion,
        preparer=nothing,
        pay_once=nothing,
        services=nothing,
        options=RunOptions(64),
        pinned={},
        prior={},
    )
    gc.collect()
    clock = Clock()
    outcomes = await runner.run()
    taken = clock.lap()
    if len(outcomes) != jobs:
        raise RuntimeError("not every job was scheduled")
    return {"cpu": taken}


async def phases(jobs: int, sheet: str, ledger: str) -> dict[str, float]:
    """Expand, plan, run with outputs, and plan again when everything is paid for; `ledger` is on or off."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with await open_client(folder, durable=ledger == "on") as client:
            warm = write_sheet(folder, SHEETS[sheet], 10)
            await client.run(warm, RunRequest(output=folder / "warm"))
            loaded = write_sheet(folder, SHEETS[sheet], jobs)
            gc.collect()
            clock = Clock()
            expand(loaded, folder)
            taken = {"expand": clock.lap()}
            prepared = await SheetRun.prepare(client.runtime, loaded, RunRequest(output=folder / "out"))
            clock.lap()
            await prepared.plan()
            taken["plan"] = clock.lap()
            run = await client.run(loaded, RunRequest(output=folder / "out"))
            taken["run"] = clock.lap()
            plan = await client.plan(loaded)
            taken["replan"] = clock.lap()
    if run.status != "succeeded" or any(job.state != "cached" for job in plan.jobs):
        raise RuntimeError(f"the run ended as {run.status}")
    return taken


def figures(*, large: bool = True) -> Iterator[Figure]:
    """Rows for the table."""
    bare = min(module_child("engine", "bare", JOBS)["cpu"] for _ in range(3))
    only = min(module_child("engine", "scheduling", JOBS, "flat")["cpu"] for _ in range(3))
    yield Figure(
        "schedule 10,000 no-op jobs (queue, slots, tasks, edges, outcomes; nothing prepared or recorded)",
        f"{_each(only)} a job",
        f"bare TaskGroup: {_each(bare)}",
        only / bare,
        "≤ 2 ×",
        limit(only / bare, 2.0),
    )
    for ledger, told in (("off", "ledger in memory"), ("on", "ledger on disk")):
        for sheet in SHEETS:
            best = module_child("engine", "phases", JOBS, sheet, ledger)
            yield from _whole_run(best, sheet, told, bare, judged=ledger == "on")
    yield from _growth(SIZES if large else SIZES[:2])


def _whole_run(taken: dict[str, float], sheet: str, told: str, bare: float, *, judged: bool) -> Iterator[Figure]:
    total = taken["run"]
    yield Figure(
        f"a whole run of 10,000 no-op jobs, {sheet}, {told} (expand, plan, run, 10,000 output files, manifest)",
        f"{_each(total)} a job",
        "bare TaskGroup",
        total / bare,
        "≤ 1 ms CPU a job" if judged else "",
        limit(total / JOBS, 1e-3) if judged else None,
    )
    parts = ", ".join(f"{name} {_each(taken[name])}" for name in ("expand", "plan", "replan"))
    yield Figure(f"of that a job, {sheet}, {told} (`replan`: a plan when all is paid for)", parts)


def _growth(sizes: tuple[int, ...]) -> Iterator[Figure]:
    each: dict[int, dict[str, float]] = {n: module_child("engine", "phases", n, "chain", "off") for n in sizes}
    first = each[sizes[0]]
    for jobs in sizes[1:]:
        for phase in ("expand", "plan", "run"):
            now, then = each[jobs][phase] / jobs, first[phase] / sizes[0]
            figure = f"{now * 1e6:.0f} µs a job"
            yield Figure(
                f"growth of {phase}: {jobs:,} jobs (chain, in memory)",
                figure,
                f"{sizes[0]:,} jobs: {then * 1e6:.0f} µs a job",
                now / then,
                "linear: ≤ 1.5 ×",
                limit(now / then, 1.5),
            )


def _each(seconds: float) -> str:
    return f"{seconds / JOBS * 1e6:.0f} µs"


def main(what: str, jobs: str, *args: str) -> None:
    """Measure one thing in this process and print it as JSON."""
    known = {"bare": bare_tasks, "scheduling": scheduling, "phases": phases}
    print(json.dumps(asyncio.run(known[what](int(jobs), *args))))  # type: ignore[operator]


if __name__ == "__main__":
    main(*sys.argv[1:])
