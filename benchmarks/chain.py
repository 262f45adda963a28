"""The chain around a call: what it adds with everything on that a host can turn on, to a provider that answers at once."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.measuring import Clock, Figure, limit, module_child
from benchmarks.studio import IdleAnswers
from callsheet.call_book import cost_of
from callsheet.client import Client
from callsheet.discovery import Discovery
from callsheet.hookspecs import InvokeCall
from callsheet.inputs import parse_inputs
from callsheet.jobs import Job, JobResult, ProviderRequest
from callsheet.models import Mode, ModelRef, Operation
from callsheet.money import Cost
from callsheet.plugin import Event, HandlerSpec, Middleware, hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.policies import BreakerPolicy, DeadlinePolicy, LimitPolicy, MoneyPolicy, Policies, RetryPolicy
from callsheet.preparation import prepare_call
from callsheet.project import Project
from callsheet.settings import Settings
from callsheet.testing.plugin_stage import call_context

__all__ = ["figures"]

CALLS = 640
LANES = {"sequential": 1, "concurrent": 64}
ROUNDS = 7
EVERYTHING = Policies(
    limits={"": LimitPolicy(requests=1e9, tokens=1e12, concurrency=LANES["concurrent"])},
    retries={"": RetryPolicy()},
    breakers={"": BreakerPolicy()},
    deadlines=DeadlinePolicy(attempt=900.0, job=900.0),
    money=MoneyPolicy(max_run=Decimal(1_000_000), max_day=Decimal(1_000_000)),
)
NOTHING = Policies(deadlines=DeadlinePolicy(attempt=None))
MANIFEST: dict[str, object] = {
    "api": 1,
    "provider": {"name": "idle"},
    "models": [
        {
            "model": "text",
            "operation": "text.generate",
            "price": [{"per": "run", "usd": 0.001, "as_of": "2026-11-01", "source": "made up"}],
        }
    ],
}

Call = Callable[[int], Awaitable[object]]


class Watched:
    """A plugin whose provider answers at once; `Watching` also stands around each call and hears each event."""

    @hookimpl
    def callsheet_register_handlers(self) -> Iterable[HandlerSpec]:
        """One handler for its provider."""
        return [HandlerSpec(provider="*", factory=IdleAnswers)]


class Watching(Watched):
    """What a plugin can add to every call."""

    def __init__(self) -> None:
        self.events = 0

    @hookimpl
    def callsheet_register_middleware(self) -> Iterable[Middleware]:
        """One that lets everything pass."""
        return [_passes]

    @hookimpl
    def callsheet_job_event(self, event: Event) -> None:  # noqa: ARG002
        """Count them."""
        self.events += 1


async def _passes(job: Job, request: ProviderRequest, proceed: Callable[[], Awaitable[JobResult]]) -> JobResult:  # noqa: ARG001
    return await proceed()


async def _client(exits: AsyncExitStack, *, everything: bool, durable: bool) -> Call:
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
    settings = Settings(policies=EVERYTHING if everything else NOTHING)
    opened = _opened(folder, Watching() if everything else Watched(), settings, durable=durable)
    client = await exits.enter_async_context(await opened)

    async def call(number: int) -> None:
        _expect((await client.call("idle:text", prompt=f"lava {number}")).cost)

    return call


async def _opened(folder: Path, plugin: Watched, settings: Settings, *, durable: bool) -> Client:
    manifest = PluginManifest.parse(MANIFEST, "idle/plugin.toml", "idle")
    host = PluginHost(Discovery(), extra=[("idle", plugin, manifest)])
    return await Client.open(Project.at(folder), settings, host=host, durable=durable)


def _expect(cost: Cost | None) -> None:
    if cost is None or cost.high != Decimal("0.001"):
        raise RuntimeError(f"that is not the price: {cost}")


async def _bare(exits: AsyncExitStack) -> Call:
    """The same call without a chain: bound, checked, mapped and digested by the client, then handed to its handler."""
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
    client = await exits.enter_async_context(await _opened(folder, Watched(), Settings(), durable=False))
    services = client.runtime.services

    async def call(number: int) -> None:
        bound = client.runtime.registry.resolve(ModelRef.parse("idle:text"), Operation.TEXT_GENERATE, Mode.LIVE)
        inputs = parse_inputs(Operation.TEXT_GENERATE, {"prompt": f"lava {number}"}, "bench")
        prepared = prepare_call(bound, Job("call", bound.ref, bound.info, Operation.TEXT_GENERATE, inputs))
        context = call_context(client, bound, prepared.job, key=prepared.key(0), request_digest=prepared.request_digest)
        result = await services.host.invoke(InvokeCall(bound.handler, prepared.request, context, bound.simulated))
        assert isinstance(result, JobResult)
        _expect(cost_of(prepared, result))

    return call


async def measure(lanes: int) -> dict[str, list[float]]:
    """CPU seconds a call of each way, round by round."""
    import opentelemetry.trace  # noqa: F401  a host that has it pays for it

    taken: dict[str, list[float]] = {}
    numbers = count()
    async with AsyncExitStack() as exits:
        ways = {
            "bare": await _bare(exits),
            "nothing": await _client(exits, everything=False, durable=False),
            "everything": await _client(exits, everything=True, durable=False),
            "durable": await _client(exits, everything=True, durable=True),
        }

        async def lane(call: Call) -> None:
            for _ in range(CALLS // lanes):
                await call(next(numbers))

        for number in range(ROUNDS + 1):
            for name, call in ways.items():
                gc.collect()
                clock = Clock()
                await asyncio.gather(*(lane(call) for _ in range(lanes)))
                if number:  # the first round warms up
                    taken.setdefault(name, []).append(clock.lap() / CALLS)
    return taken


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    told = {"sequential": "one call after the other", "concurrent": f"{LANES['concurrent']} at once"}
    labels = {
        "everything": ("everything on, no ledger", "nothing", "nothing on that can be off", 150e-6),
        "durable": ("everything on, ledger on disk", "nothing", "nothing on that can be off, no ledger", 1e-3),
        "nothing": ("nothing on that can be off, no ledger", "bare", "mapped, digested, handed to its handler", None),
    }
    for what, lanes in LANES.items():
        taken = module_child("chain", lanes)
        for name, (label, base, without, most) in labels.items():
            added = median(mine - its for mine, its in zip(taken[name], taken[base], strict=True))
            yield Figure(
                f"what callsheet adds to a call, {told[what]}: {label}",
                f"+ {added * 1e6:.0f} µs CPU",
                f"{without} {median(taken[base]) * 1e6:.0f} µs",
                budget=f"≤ {most * 1e6:.0f} µs" if most else "",
                holds=limit(added, most) if most else None,
            )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
