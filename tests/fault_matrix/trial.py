"""A trial: one call of a column meets what a row says, and then the same call is made again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from fault_matrix.columns import Column
from fault_matrix.rows import Row

from callsheet.breaker import CircuitOpenError
from callsheet.client import Client
from callsheet.errors import ProviderError, Sent
from callsheet.http import HttpLimits
from callsheet.policies import DeadlinePolicy, Policies
from callsheet.settings import Settings
from callsheet.storage import Event
from callsheet.testing import LoopbackServer
from callsheet.tickets import StillRunningError, UnknownOutcomeError
from callsheet.transfer import endpoint

__all__ = ["Asked", "Trial", "tried"]


@dataclass(frozen=True)
class Asked:
    """How a call ended (None: with its result), and how many requests that took of which each would be paid for."""

    error: ProviderError | None
    requests: int
    waits: Sequence[float] = ()

    @property
    def end(self) -> str:
        """In a word."""
        match self.error:
            case None:
                return "result"
            case UnknownOutcomeError():
                return "asks"
            case StillRunningError():
                return "pending"
            case CircuitOpenError():
                return "spared"
        return "fails"


@dataclass(frozen=True)
class Trial:
    """Both calls, and what came of them.

    `failures` are the attempts that failed (kind, sent) in the first and in both calls; `twice` is how often a request was
    sent again in doubt, `running` what the vendor still works on, `open_calls` what the ledger takes for not ended.
    """

    first: Asked
    second: Asked
    failures: Sequence[tuple[str, str]]
    all_failures: Sequence[tuple[str, str]]
    twice: int
    running: Sequence[str]
    open_calls: int

    @property
    def kind(self) -> str:
        """What kind of failure it was; empty where there was none to tell of."""
        if self.failures:
            return self.failures[0][0]
        return self.first.error.kind.value if self.first.error is not None and self.first.end == "fails" else ""

    @property
    def cell(self) -> str:
        """What is known of the request, and what comes of it."""
        match self.first.end:
            case "result" if self.failures:
                return f"{self.failures[0][1]}, again"
            case "result":
                return "result"
            case "asks" | "pending" as end:
                return f"{Sent.UNKNOWN.value}, {end}"
        assert self.first.error is not None
        return self.first.error.sent.value


@dataclass
class _Watch:
    """What is told of calls while they are made."""

    failures: list[tuple[str, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    twice: int = 0
    over: bool = False

    def __call__(self, event: Event) -> None:
        if event.type in ("attempt.failed", "attempt.lost"):
            self.failures.append((str(event.body["kind"]), str(event.body["sent"])))
        self.twice += event.type == "job.retried_unknown"


async def tried(column: Column, row: Row, folder: Path) -> Trial | None:
    """Try it in a project of its own; None where that cannot be. Raises what is no provider's failure."""
    with ExitStack() as stack:
        server = stack.enter_context(column.server())
        if not row.goes_wrong(column, server):
            return None
        origin = server.origin if row.nowhere is None else stack.enter_context(row.nowhere())
        policies = Policies()
        if row.seconds is not None:
            policies = replace(policies, deadlines=DeadlinePolicy(attempt=row.seconds))
            limits = HttpLimits(read=row.seconds, total=row.seconds)  # a stream's, and a batch's
            stack.enter_context(mock.patch.object(endpoint, "_USUAL", limits))
        watch = _Watch()

        async def sleep(seconds: float) -> None:
            watch.waits.append(seconds)
            if row.during is not None and not watch.over:
                row.during(column, server)

        opened = column.stage().client(
            folder,
            base_url=origin,
            secrets={column.secret: getattr(server, "key", "") or server.token},
            settings=Settings(policies=policies),
            sleep=sleep,
        )
        async with opened as client:
            client.ledger.subscribe(watch)
            first = await _asked(column, client, server, watch)
            failures, watch.over = tuple(watch.failures), True
            second = await _asked(column, client, server, watch)
            open_calls = await client.ledger.open_calls()
        await server.until(lambda: not server.open_connections)
        return Trial(first, second, failures, watch.failures, watch.twice, column.running(server), len(open_calls))


async def _asked(column: Column, client: Client, server: LoopbackServer, watch: _Watch) -> Asked:
    before, waited = len(column.paid(server)), len(watch.waits)
    error: ProviderError | None = None
    async with asyncio.timeout(30):
        try:
            await column.ask(client)
        except ProviderError as raised:
            error = raised
    return Asked(error, len(column.paid(server)) - before, tuple(watch.waits[waited:]))
