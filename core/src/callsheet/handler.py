"""What a provider plugin implements: the handler of a wire, and how it is registered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from callsheet.context import JobContext, WarmStart
from callsheet.jobs import AbortOutcome, Job, JobResult, ProviderRequest, Receipt, RemoteStatus
from callsheet.models import Operation
from callsheet.streams import StreamEvent

__all__ = [
    "AbortsRemoteJobs",
    "FindsJobs",
    "Handler",
    "HandlerSpec",
    "Invokes",
    "RemoteJobs",
    "Streams",
    "WarmStarts",
]


class Handler(Protocol):
    """The one method every handler has. The others are separate protocols: having the method is the capability."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Map the general attributes to the vendor's request. Pure: no I/O, no clock, no SDK import.

        Raises CapabilityUnsupportedError for what the model cannot do, InvalidRequestError for values out of range.
        """
        ...


@runtime_checkable
class Invokes(Protocol):
    """One request, one answer."""

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """Send the request and give the result. Never retries, sleeps or persists."""
        ...


@runtime_checkable
class RemoteJobs(Protocol):
    """Long jobs: submitted once, then polled and collected, possibly by another process."""

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """Start the job and return at once with its receipt."""
        ...

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Ask where the job stands. The core owns waiting and deadlines."""
        ...

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Fetch the result of a job that succeeded."""
        ...


@runtime_checkable
class AbortsRemoteJobs(Protocol):
    """Can tell the provider to stop a remote job."""

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Stop the job at the provider and say what was reached."""
        ...


@runtime_checkable
class FindsJobs(Protocol):
    """Can look up a job whose receipt was lost between acceptance and record."""

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Receipt | JobResult | None:
        """The job accepted for this request after `since` (seconds since the epoch), or None when there is none."""
        ...


@runtime_checkable
class Streams(Protocol):
    """Gives its answer piece by piece."""

    def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent]:
        """Typed events; the last one is StreamFinished."""
        ...


@runtime_checkable
class WarmStarts(Protocol):
    """Has something to prepare before the first call."""

    async def warm_start(self, start: WarmStart) -> None:
        """Import the SDK, open clients. Costs nothing at the provider."""
        ...


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """Who handles what; `factory` is called once, at first use.

    `provider`, `wire` and `environment` may be `*`. `simulates` marks the handler that stands in for live ones when a
    call is mocked. `cache_version` goes into the cache key: raise it when the same inputs now mean another request.
    """

    provider: str
    factory: Callable[[], Handler]
    wire: str = "*"
    environment: str = "local"
    operations: frozenset[Operation] = frozenset(Operation)
    cache_version: int = 1
    simulates: bool = False
