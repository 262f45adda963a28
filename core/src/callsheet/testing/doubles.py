"""Doubles for tests: secrets that count who asks for them, time that passes only when somebody sleeps, a log of events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from callsheet.secrets import Secret

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.plugin import Event

__all__ = ["EventLog", "FakeClock", "FakeSecrets"]


class FakeSecrets:
    """Secrets by name, for `secrets=` of a client; `asked` counts how often each was asked for, known or not."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.asked: Counter[str] = Counter()

    async def get(self, name: str) -> Secret | None:
        """The secret, or None for a name that was not given."""
        self.asked[name] += 1
        return Secret(self.values[name]) if name in self.values else None


class FakeClock:
    """Seconds since the epoch that pass only when somebody sleeps; called it tells them. `slept` has every sleep's length.

    Its `sleep` is for `sleep=` of a client, itself for `clock=` of a context. Nobody really waits.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass; others get their turn."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class EventLog:
    """The events of a client's calls and runs, in order, from `watch(client)` to the end of its block.

    ```python
    log = EventLog()
    with log.watch(client):
        await client.call("acme:haiku", prompt="lava")
    assert log.types[-1] == "job.succeeded"
    ```
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def types(self) -> list[str]:
        """What happened, by name."""
        return [event.type for event in self.events]

    def of(self, kind: str) -> list[Event]:
        """The events of one type."""
        return [event for event in self.events if event.type == kind]

    @contextmanager
    def watch(self, client: Client) -> Iterator[EventLog]:
        """Keep what happens while the block goes on."""
        ended = client.runtime.services.ledger.subscribe(self.events.append)
        try:
            yield self
        finally:
            ended()
