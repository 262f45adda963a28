"""Long jobs: what it costs to wait for 200 of them, and for one that is done at once, beside the bare HTTP library."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from benchmarks.measuring import Clock, Figure, limit, module_child, server
from callsheet.client import Client
from callsheet.project import Project
from callsheet.secrets import MappingSecrets
from callsheet.settings import ProviderSettings, Settings
from callsheet.storage import Event

__all__ = ["figures"]

MODEL = "google/gemini-2.5-flash"
JOBS = 200
LASTING = (10, 60)
"""Seconds that each of them takes."""
CALLS = 300
ROUNDS = 7
TOKEN = "r8_" + "k" * 37
MOST_CPU = 0.05
MOST_RATIO = 1.2


async def _opened(url: str, exits: AsyncExitStack, *, durable: bool) -> Client:
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
    settings = Settings(providers={"replicate": ProviderSettings(base_url=url)})
    secrets = MappingSecrets({"REPLICATE_API_TOKEN": TOKEN})
    project = Project(folder, folder / ".callsheet")
    return await exits.enter_async_context(await Client.open(project, settings, secrets=secrets, durable=durable))


def _polls(url: str) -> int:
    with urlopen(f"{url}/polls") as reply:
        return int(reply.read())


async def wait(lasting: int) -> dict[str, float]:
    """Create all, and wait until each is done: CPU seconds until all are on record, while they run, and at the end."""
    async with AsyncExitStack() as exits:
        url = exits.enter_context(server("prediction_server", lasting))
        client = await _opened(url, exits, durable=True)
        submitted, ended = 0, 0
        running, ending = asyncio.Event(), asyncio.Event()

        def hear(event: Event) -> None:
            nonlocal submitted, ended
            submitted += event.type == "job.submitted"
            ended += event.type == "job.succeeded"
            if submitted == JOBS:
                running.set()
            if ended:
                ending.set()

        exits.callback(client.ledger.subscribe(hear))
        clock, begun = Clock(), time.monotonic()
        tasks = [asyncio.create_task(client.call(f"replicate:{MODEL}", prompt=f"lava {n}")) for n in range(JOBS)]
        await running.wait()
        found = {"creating": clock.lap()}
        since, polls = time.monotonic(), _polls(url)
        await ending.wait()
        found |= {"waiting": clock.lap(), "seconds": time.monotonic() - since, "polls": float(_polls(url) - polls)}
        await asyncio.gather(*tasks)
        return found | {"ending": clock.lap(), "all": time.monotonic() - begun}


Call = Callable[[], Awaitable[object]]


async def _http(url: str, exits: AsyncExitStack) -> Call:
    import httpx2

    client = await exits.enter_async_context(httpx2.AsyncClient())
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async def call() -> None:
        body = {"input": {"prompt": "lava"}}
        created = (await client.post(f"{url}/models/{MODEL}/predictions", json=body, headers=headers)).json()
        found = (await client.get(f"{url}/predictions/{created['id']}", headers=headers)).json()
        _expect("".join(found["output"]))

    return call


async def _ours(url: str, exits: AsyncExitStack) -> Call:
    client = await _opened(url, exits, durable=False)

    async def call() -> None:
        result = await client.call(f"replicate:{MODEL}", prompt="lava")
        _expect(getattr(result.artifacts[0], "text", ""))

    return call


def _expect(text: str) -> None:
    if len(text) < 100:
        raise RuntimeError(f"that is not the answer: {text!r}")


WAYS = {"httpx2": _http, "ours": _ours}


async def pair() -> dict[str, list[float]]:
    """CPU seconds of one create and get each way, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    async with AsyncExitStack() as exits:
        url = exits.enter_context(server("prediction_server", 0))
        ways = {name: await make(url, exits) for name, make in WAYS.items()}
        for number in range(ROUNDS + 1):
            for name, call in ways.items():
                gc.collect()
                clock = Clock()
                for _ in range(CALLS):
                    await call()
                if number:  # the first round warms up
                    taken[name].append(clock.lap() / CALLS)
    return taken


def figures(*, large: bool = True) -> Iterator[Figure]:
    """Rows for the table."""
    for lasting in LASTING if large else LASTING[:1]:
        found = module_child("predictions", "wait", lasting)
        share = found["waiting"] / found["seconds"]
        yield Figure(
            f"{JOBS} predictions of {lasting} s at a time, ledger on disk: CPU while they are waited for",
            f"{share:.1%} of a core, {found['polls']:,.0f} polls in {found['seconds']:.1f} s",
            "",
            None,
            f"≤ {MOST_CPU:.0%} of a core",
            limit(share, MOST_CPU),
        )
        yield Figure(
            "… all of them created, and all of them collected",
            f"{found['creating']:.2f} s and {found['ending']:.2f} s CPU; done after {found['all']:.1f} s",
        )
    taken = module_child("predictions", "pair")
    ratio = median(mine / raw for mine, raw in zip(taken["ours"], taken["httpx2"], strict=True))
    yield Figure(
        "a prediction that is done at once: create, get, check, no ledger",
        f"{median(taken['ours']) * 1e6:.1f} µs CPU",
        f"raw httpx2, the same two requests {median(taken['httpx2']) * 1e6:.1f} µs",
        ratio,
        f"≤ {MOST_RATIO} ×",
        limit(ratio, MOST_RATIO),
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(pair() if sys.argv[1] == "pair" else wait(int(sys.argv[2])))))
