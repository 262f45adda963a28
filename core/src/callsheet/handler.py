"""What a provider plugin implements: the handler of a wire, and how it is registered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

from callsheet.context import JobContext, ProviderContext, WarmStart
from callsheet.errors import ProviderError
from callsheet.jobs import AbortOutcome, Job, JobResult, ProviderRequest, Receipt, RemoteStatus
from callsheet.models import Operation
from callsheet.streams import StreamEvent

__all__ = [
    "AbortsRemoteJobs",
    "BatchItem",
    "Batches",
    "ChecksHealth",
    "DescribesModels",
    "FindsBatches",
    "FindsJobs",
    "Handler",
    "HandlerSpec",
    "Invokes",
    "ModelDescription",
    "RemoteJobs",
    "Streams",
    "WarmStarts",
    "WebhookNotice",
    "Webhooks",
    "lazy",
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

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt | JobResult:
        """Start the job and return at once with its receipt, or with the result when the answer is already whole."""
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


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One call of a batch: its key (which the vendor gets as the item's own id) and its request."""

    key: str
    request: ProviderRequest


@runtime_checkable
class Batches(Protocol):
    """Sends many calls at once for a lower price and a later answer. `poll` (and `abort`) take the batch's receipt, too.

    `abort` says STOPPED only when no call of the batch was or will be paid; UNKNOWN keeps what was done to be collected.
    """

    def batch_group(self, request: ProviderRequest) -> str:
        """Requests of one group may share a batch (the vendor's endpoint, its model); pure. "" means: not by batch."""
        ...

    async def submit_batch(self, items: Sequence[BatchItem], context: JobContext) -> Receipt:
        """Start a batch of one group, within the manifest's limits; its receipt has the key of `context`."""
        ...

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Ask where the batch stands; SUCCEEDED once it is over and its results are there, even when items failed."""
        ...

    async def collect_batch(
        self, receipt: Receipt, items: Sequence[BatchItem], context: JobContext
    ) -> Mapping[str, JobResult | ProviderError]:
        """How each item ended, by key. An item left out was not done (`sent` of an error says whether it was paid)."""
        ...


@runtime_checkable
class FindsBatches(Protocol):
    """Can look up a batch whose receipt was lost between acceptance and record."""

    async def find_batch(self, since: float, context: JobContext) -> Receipt | None:
        """The batch with the key of `context`, accepted after `since` (seconds since the epoch), or None."""
        ...


@runtime_checkable
class FindsJobs(Protocol):
    """Can look up a job whose receipt was lost between acceptance and record."""

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Receipt | JobResult | None:
        """The job accepted for this request after `since`, or None when there surely is none: then it is sent (again).

        `since` is in seconds since the epoch, by this machine's clock: when the call was recorded, before its request left, or
        when its last attempt surely ended. The vendor's clock may differ and have whole seconds: allow for minutes. Of several
        take the newest which `context.taken` says no other call has. Where all that are left are older, a clock may be wrong:
        that is an error with `sent` UNKNOWN, and not None (`JsonApi.found` does all this). Raises ProviderError.
        """
        ...


@runtime_checkable
class Streams(Protocol):
    """Gives its answer piece by piece."""

    def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent | Receipt]:
        """Typed events; the last one is StreamFinished.

        The stream of a remote job gives the job's Receipt as soon as it is known, and is read on when that is durable.
        From there on it may end, or break, anywhere: the core polls and collects the job, and gives what is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model as a row: what `callsheet model add` writes.

    `row` is a `[[models]]` table without `schema` and `digest` (`revision` pins it); `schema` is the JSON Schema
    (2020-12, without references) of what the model takes; `notes` say what was guessed, and what found no place.
    """

    row: Mapping[str, object]
    schema: Mapping[str, object]
    notes: tuple[str, ...] = ()


@runtime_checkable
class DescribesModels(Protocol):
    """Can make a row of any model of the provider, by the description that the provider itself gives."""

    async def fetch_model(self, model: str, context: ProviderContext) -> Mapping[str, object]:
        """The provider's own description of a model, as JSON. Raises ModelNotFoundError, ProviderError."""
        ...

    def describe_model(self, model: str, document: Mapping[str, object]) -> ModelDescription:
        """The row of a model by the provider's description. Pure. Raises ConfigError for one that is of no use."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookNotice:
    """What a verified webhook tells: the provider's id of the job that has something new. `delivery` tells repeats apart."""

    job_id: str
    delivery: str = ""


@runtime_checkable
class Webhooks(Protocol):
    """Understands the provider's webhooks. Only their signature and the job's id are used: the job is asked for by poll."""

    async def read_webhook(self, headers: Mapping[str, str], body: bytes, context: ProviderContext) -> WebhookNotice:
        """Check the signature (names of headers in lower case). Raises AccessDeniedError for a wrong or an old one."""
        ...


@runtime_checkable
class ChecksHealth(Protocol):
    """Can ask its provider something that costs nothing."""

    async def check_health(self, context: ProviderContext) -> None:
        """Return when the provider answers to our key. Raises ProviderError as a call would."""
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


def lazy(place: str) -> Callable[[], Handler]:
    """A factory for a HandlerSpec that imports at first use: `lazy("callsheet_acme.jobs:Jobs")` calls the class `Jobs` there.

    The factory raises ImportError, and AttributeError where the module has no such class.
    """

    def factory() -> Handler:
        module, _, name = place.partition(":")
        handler: Handler = getattr(import_module(module), name)()
        return handler

    return factory
