"""Live calls and streams: our client beside the vendor's SDK and its bare HTTP library, in turn, against one fast server."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chain import EVERYTHING
from benchmarks.fast_server import CHUNKS
from benchmarks.measuring import Clock, Figure, limit, module_child, server
from callsheet.client import Client
from callsheet.models import ModelInfo, Operation
from callsheet.policies import Policies
from callsheet.project import Project
from callsheet.secrets import MappingSecrets
from callsheet.settings import ProviderSettings, Settings

__all__ = ["figures"]

MODELS = {"responses": "gpt-5-mini", "chat": "bench-chat"}
PROMPT = "Tell me about lava."
CALLS = 300
STREAMS = 5
LANES = 64
ROUNDS = 7

Call = Callable[[], Awaitable[object]]


def _expect(text: str | None) -> None:
    if not text or len(text) < 100:
        raise RuntimeError(f"that is not the answer: {text!r}")


async def _sdk(url: str, wire: str, exits: AsyncExitStack) -> tuple[Call, Call]:
    from openai import AsyncOpenAI

    client: Any = await exits.enter_async_context(AsyncOpenAI(base_url=url, api_key="k", max_retries=0))
    model = MODELS[wire]

    async def call() -> None:
        if wire == "responses":
            _expect((await client.responses.create(model=model, input=PROMPT)).output_text)
        else:
            messages = [{"role": "user", "content": PROMPT}]
            _expect((await client.chat.completions.create(model=model, messages=messages)).choices[0].message.content)

    async def stream() -> None:
        pieces = 0
        if wire == "responses":
            async for event in await client.responses.create(model=model, input=PROMPT, stream=True):
                pieces += event.type == "response.output_text.delta" and bool(event.delta)
        else:
            messages = [{"role": "user", "content": PROMPT}]
            async for chunk in await client.chat.completions.create(model=model, messages=messages, stream=True):
                pieces += bool(chunk.choices and chunk.choices[0].delta.content)
        if pieces != CHUNKS:
            raise RuntimeError("pieces are missing")

    return call, stream


async def _http(url: str, wire: str, exits: AsyncExitStack) -> tuple[Call, Call]:
    import httpx2

    client = await exits.enter_async_context(
        httpx2.AsyncClient(limits=httpx2.Limits(max_connections=256, max_keepalive_connections=256))
    )
    path = "/responses" if wire == "responses" else "/chat/completions"
    body = {"model": MODELS[wire], "input" if wire == "responses" else "messages": PROMPT}
    headers = {"Authorization": "Bearer k"}

    async def call() -> None:
        reply = (await client.post(url + path, json=body, headers=headers)).json()
        part = reply["output"][0]["content"][0] if wire == "responses" else reply["choices"][0]["message"]
        _expect(part["text" if wire == "responses" else "content"])

    async def stream() -> None:
        chunks = 0
        async with client.stream("POST", url + path, json={**body, "stream": True}, headers=headers) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    json.loads(line[6:])
                    chunks += 1
        if chunks < CHUNKS:
            raise RuntimeError("pieces are missing")

    return call, stream


async def _ours(
    url: str, wire: str, exits: AsyncExitStack, *, durable: bool = False, policies: Policies | None = None
) -> tuple[Call, Call]:
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
    rows = (ModelInfo("openai", MODELS["chat"], Operation.TEXT_GENERATE, wire="chat"),)
    settings = Settings(
        providers={"openai": ProviderSettings(base_url=url)}, models=rows, policies=policies or Policies()
    )
    secrets = MappingSecrets({"OPENAI_API_KEY": "k" * 20})
    client = await exits.enter_async_context(
        await Client.open(Project(folder, folder / ".callsheet"), settings, secrets=secrets, durable=durable)
    )
    ref = f"openai:{MODELS[wire]}"

    async def call() -> None:
        result = await client.call(ref, operation="text.generate", prompt=PROMPT)
        _expect(getattr(result.artifacts[0], "text", None))

    async def stream() -> None:
        pieces = 0
        async for event in client.stream(ref, operation="text.generate", prompt=PROMPT):
            pieces += event.type == "text.delta"
        if pieces != CHUNKS:
            raise RuntimeError("pieces are missing")

    return call, stream


async def _durable(url: str, wire: str, exits: AsyncExitStack) -> tuple[Call, Call]:
    return await _ours(url, wire, exits, durable=True)


async def _chained(url: str, wire: str, exits: AsyncExitStack) -> tuple[Call, Call]:
    return await _ours(url, wire, exits, policies=EVERYTHING)


WAYS = {"sdk": _sdk, "httpx2": _http, "ours": _ours, "chained": _chained, "durable": _durable}


async def _many(call: Call, calls: int, lanes: int) -> None:
    async def lane() -> None:
        for _ in range(calls // lanes):
            await call()

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def measure(wire: str, what: str) -> dict[str, list[float]]:
    """CPU seconds a call (or a chunk) of each way, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    async with AsyncExitStack() as exits:
        url = exits.enter_context(server("fast_server"))
        ways = {name: await make(url, wire, exits) for name, make in WAYS.items()}
        for number in range(ROUNDS + 1):
            for name, (call, stream) in ways.items():
                gc.collect()
                clock = Clock()
                if what == "stream":
                    await _many(stream, STREAMS, 1)
                    each = clock.lap() / STREAMS / CHUNKS
                else:
                    lanes = LANES if what == "concurrent" else 1
                    calls = CALLS // lanes * lanes
                    await _many(call, calls, lanes)
                    each = clock.lap() / calls
                if number:  # the first round warms up
                    taken[name].append(each)
    return taken


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    for wire in MODELS:
        for what, most in _MOST.items():
            taken = module_child("calls", wire, what)
            yield from _rows(taken, f"{wire}, {_TOLD[what]}", most)


_MOST = {
    "sequential": {"ours": 0.65, "chained": 0.75},
    "concurrent": {"ours": 0.65, "chained": 0.75},
    "stream": {"ours": 0.2},
}
_TOLD = {"sequential": "one call after the other", "concurrent": "64 at once", "stream": "per streamed chunk"}


def _rows(taken: dict[str, list[float]], told: str, most: dict[str, float]) -> Iterator[Figure]:
    labels = {
        "ours": "no ledger",
        "chained": "no ledger, everything on",
        "durable": "ledger on disk",
        "httpx2": "bare httpx2",
    }
    for name, label in labels.items():
        ratio = median(mine / sdk for mine, sdk in zip(taken[name], taken["sdk"], strict=True))
        most_of_it = most.get(name)
        yield Figure(
            f"live text, {told}: {label}",
            f"{median(taken[name]) * 1e6:.1f} µs CPU",
            f"openai SDK {median(taken['sdk']) * 1e6:.1f} µs",
            ratio,
            f"≤ {most_of_it} ×" if most_of_it else "",
            limit(ratio, most_of_it) if most_of_it else None,
        )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2]))))
