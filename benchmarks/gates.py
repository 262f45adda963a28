"""Rate gates: 120 jobs of two providers from two processes on one ledger, against the clock; and what a gate costs a call."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import ROOT, Clock, Figure, limit, module_child
from callsheet.client import Client
from callsheet.discovery import Discovery
from callsheet.jobs import Job, JobResult, ProviderRequest
from callsheet.models import ModelRef, Operation
from callsheet.plugin import Expected, HandlerSpec, JobContext, TextArtifact, hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.policies import LimitPolicy, Policies
from callsheet.project import Project
from callsheet.settings import Settings

__all__ = ["figures"]

LIMITS = {"slow": 10.0, "quick": 50.0}
"""Requests a second."""
JOBS = {"slow": 60, "quick": 60}
PROCESSES = 2
LATENCY = 0.05
"""Seconds that each request takes."""
HEAD_START = 0.5
"""Seconds until the processes begin together, once both have opened the ledger."""
CALLS = 2000
MOST_OVER = 1.05
FAIR = 0.5
"""What the slower of two processes has got when the quicker one has all; 1: both end together."""


class Timed:
    """A plugin whose provider notes when it is called."""

    def __init__(self, calls: list[tuple[str, float]]) -> None:
        self.calls = calls

    @hookimpl
    def callsheet_register_handlers(self) -> Iterable[HandlerSpec]:
        """One handler for its provider."""
        return [HandlerSpec(provider="*", factory=lambda: self)]

    def prepare(self, job: Job) -> ProviderRequest:
        """The prompt."""
        body = {"prompt": getattr(job.inputs, "prompt", None)}
        return ProviderRequest(job.ref, job.operation, body, (Expected("text", "text/plain"),))

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """Note the moment; answer after a while."""
        self.calls.append((request.ref.provider, context.clock()))
        await asyncio.sleep(LATENCY)
        return JobResult((TextArtifact("hot"),))


async def _opened(
    folder: Path, calls: list[tuple[str, float]], *, limits: dict[str, float], durable: bool = True
) -> Client:
    row = {"model": "text", "operation": "text.generate"}
    extra = []
    for name in LIMITS:
        data = {"api": 1, "provider": {"name": name}, "models": [row]}
        extra.append((name, Timed(calls), PluginManifest.parse(data, f"{name}/plugin.toml", name)))
    policies = Policies(limits={name: LimitPolicy(requests=limit) for name, limit in limits.items()})
    host = PluginHost(Discovery(), extra=extra)
    return await Client.open(Project.at(folder), Settings(policies=policies), host=host, durable=durable)


async def share(folder: Path, name: str) -> list[tuple[str, float]]:
    """One process's part of the jobs: whom it called, and when."""
    calls: list[tuple[str, float]] = []
    async with await _opened(folder, calls, limits=LIMITS) as client:
        print("ready", flush=True)
        begin = float(await asyncio.to_thread(sys.stdin.readline))
        await asyncio.sleep(max(begin - time.time(), 0.0))
        jobs = [
            client.call(f"{provider}:text", prompt=f"{name} {number}")
            for provider, count in JOBS.items()
            for number in range(count // PROCESSES)
        ]
        await asyncio.gather(*jobs)
        return calls


async def cost(folder: Path, limited: float) -> dict[str, float]:
    """CPU seconds of one passage, without a ledger file; `limited` is in requests a second, 0 without a limit."""
    limits = {"slow": limited} if limited else {}
    async with await _opened(folder, [], limits=limits, durable=False) as client:
        bound = client.runtime.registry.resolve(ModelRef("slow", "text"), Operation.TEXT_GENERATE)
        admissions = client.runtime.services.admissions

        async def answered() -> None:
            """What a provider does."""

        request = ProviderRequest(bound.ref, Operation.TEXT_GENERATE, {}, ())
        clock = Clock()
        for _ in range(CALLS):
            async with await admissions.admit(bound, request) as passage:
                await passage.through(answered())
        return {"seconds": clock.lap() / CALLS}


def _fullest(times: list[float]) -> int:
    """The most calls in any one second."""
    return max(sum(begin <= at <= begin + 1 for at in times) for begin in times)


def _shares() -> list[list[tuple[str, float]]]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as exits:
        command = [sys.executable, "-m", "benchmarks.gates", "share", folder]
        processes = [
            exits.enter_context(
                subprocess.Popen(
                    [*command, f"p{n}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for n in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        begin = time.time() + HEAD_START
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{begin}\n")
            process.stdin.flush()
        return [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]


def figures() -> Iterator[Figure]:
    """Measure both."""
    shares = _shares()
    for provider, rate in LIMITS.items():
        own = [sorted(at for name, at in part if name == provider) for part in shares]
        times = sorted(at for each in own for at in each)
        fullest, ideal, taken = _fullest(times), (len(times) - 1) / rate, times[-1] - times[0]
        both = min(own[0][-1], own[1][-1])
        shares_then = sorted(sum(at <= both for at in each) for each in own)
        what = f"{len(times)} of 120 calls from {PROCESSES} processes, at most {rate:g} a second: the fullest second"
        yield Figure(what, f"{fullest} calls", budget=f"≤ {rate + 1:g}", holds=limit(fullest, rate + 1))
        yield Figure(
            "… from the first to the last one",
            f"{taken:.2f} s",
            f"at the limit {ideal:.2f} s",
            taken / ideal,
            f"≤ {MOST_OVER:g} ×",
            limit(taken / ideal, MOST_OVER),
        )
        fewest, most = shares_then
        yield Figure(
            "… when the first process has made all of its calls, the other one has made",
            f"{fewest} of {len(own[0])}",
            f"{most} of {len(own[0])}",
            fewest / most,
            f"≥ {FAIR:g} ×",
            fewest / most >= FAIR,
        )
    for what, limited in (("no limit", 0.0), ("a limit, ledger in memory", 1e9)):
        seconds = module_child("gates", "cost", limited)["seconds"]
        yield Figure(f"breaker and gate of one call, {what}", f"{seconds * 1e6:.1f} µs CPU")


if __name__ == "__main__":
    work, *arguments = sys.argv[1:]
    if work == "share":
        print(json.dumps(asyncio.run(share(Path(arguments[0]), arguments[1]))))
    else:
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps(asyncio.run(cost(Path(place), float(arguments[0])))))
