"""The services that a handler gets for one call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.http import Http, HttpStream, ServerSentEvent
from callsheet.jobs import Job, ProviderRequest, Receipt
from callsheet.secrets import SecretScope

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

__all__ = ["Files", "JobContext", "ProviderContext", "Transfer", "Upload", "WarmStart"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the provider has now: `address` is the URL or id by which a request names it.

    `expires` is in seconds since the epoch; None where the provider keeps it until it is deleted.
    """

    address: str
    expires: float | None = None


class Files(Protocol):
    """A job's input files."""

    async def read(self, file: FileRef) -> bytes:
        """The file's bytes."""
        ...

    async def upload(self, file: FileRef, send: Callable[[], Awaitable[Upload]]) -> str:
        """The file's address at the provider; `send` uploads it when it is not there yet (or not for long any more).

        Remembered per origin, account and sha256, for all processes of the project; equal uploads under way are shared.
        A passing failure is tried again. Nothing has been paid for: whatever `send` raises, `sent` becomes NOT_SENT.
        """
        ...

    async def uploaded(self, file: FileRef) -> str | None:
        """The address that the file had last, or None: to tell what an earlier request was; it may have expired."""
        ...


class Transfer(Protocol):
    """The guarded way in for a provider's files: limits, true type and length checked, streamed to disk.

    All raise MalformedOutputError for a file that lies about itself or is too large, and what `Http` raises.
    """

    async def receive(self, reply: HttpStream, media_type: str, name: str = "") -> FileRef:
        """Store a reply's body. `media_type` is what was asked for (`image/*` and `*/*` too); its signature has to agree.

        How large it may be, the limits of its request say: give `http.stream` a `max_bytes` for a large file.
        """
        ...

    async def download(
        self,
        url: str,
        media_type: str,
        name: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        wait_header: str = "",
    ) -> FileRef:
        """Fetch a URL that came in a provider's answer. `headers` (the key) are sent to its configured origin alone.

        Only https (or the provider's configured origin), only public addresses, checked on every redirect. `wait_header`
        names the header in which a refusal says in milliseconds how long to wait, where that is not `Retry-After`.
        """
        ...

    def events(self, url: str, *, headers: Mapping[str, str] | None = None) -> AsyncGenerator[ServerSentEvent, None]:
        """The server-sent events behind such a URL, as they come; as guarded. Who leaves early closes it (`aclosing`)."""
        ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """Services for one call to one model.

    `key` identifies the paid call: 64 hexadecimal digits, the same in every attempt and process (send it as the idempotency
    key where the vendor honours one, and as the label by which `find` looks). `sample` tells equal requests apart; `attempt`
    counts from 1 over all tries of this call, in whatever process; `accepted(request_id)` records the vendor's id as soon
    as it is known; `http` reaches the provider's origin; `keep` stores an output from memory, `receive` one that arrives in
    a reply, `download` one behind a URL; `workspace` is a folder where the plugin may leave files of its own. `webhook` is
    the public URL where this host takes the provider's webhooks; empty: it takes none. `answer` is what the poll just before
    this collect had from the provider (`RemoteStatus.answer`), so that it need not be asked twice. `taken(job_id)` is True
    when another call of the project has that job: a `find` must not take it for its own.
    """

    job: Job
    key: str
    request_digest: str
    sample: int
    attempt: int
    origin: str
    secrets: SecretScope
    files: Files
    http: Http
    transfer: Transfer
    log: BoundLogger
    workspace: Path
    clock: Callable[[], float]
    accepted: Callable[[str], Awaitable[None]]
    store: Callable[[bytes | AsyncIterable[bytes], str, str], Awaitable[FileRef]]
    taken: Callable[[str], Awaitable[bool]]
    webhook: str = ""
    answer: object = None
    fetched: dict[tuple[str, str, str], FileRef] = field(default_factory=dict, repr=False)
    """What `download` was asked for and has fetched: a collect that is tried again fetches only the rest."""

    def receipt(
        self,
        request: ProviderRequest,
        job_id: str,
        *,
        state: Mapping[str, object] | None = None,
        expires: float | None = None,
    ) -> Receipt:
        """The receipt of this call for a job that the provider has accepted, by its id there. `state` is as in Receipt.

        `expires` is when the provider forgets the job and its output (seconds since the epoch), where it says so: a record for
        people; nothing is waited for or dropped by it.
        """
        return Receipt(
            ref=request.ref,
            operation=request.operation,
            job_id=job_id,
            key=self.key,
            request_digest=self.request_digest,
            expects=request.expects,
            created=self.clock(),
            expires=expires,
            state=state or {},
        )

    async def keep(
        self,
        data: bytes | AsyncIterable[bytes],
        media_type: str,
        *,
        name: str = "",
        width: int | None = None,
        height: int | None = None,
        duration: float | None = None,
    ) -> BlobArtifact:
        """Store an output's bytes and return its artifact. Sizes in pixels, `duration` in seconds, where known."""
        file = await self.store(data, media_type, name)
        return BlobArtifact(file, width=width, height=height, duration=duration)

    async def receive(
        self,
        reply: HttpStream,
        media_type: str,
        *,
        name: str = "",
        width: int | None = None,
        height: int | None = None,
        duration: float | None = None,
    ) -> BlobArtifact:
        """Store a reply's body as it arrives and return its artifact. Raises as `Transfer` says."""
        file = await self.transfer.receive(reply, media_type, name)
        return BlobArtifact(file, width=width, height=height, duration=duration)

    async def download(
        self,
        url: str,
        media_type: str,
        *,
        headers: Mapping[str, str] | None = None,
        wait_header: str = "",
        name: str = "",
        width: int | None = None,
        height: int | None = None,
        duration: float | None = None,
    ) -> BlobArtifact:
        """Fetch a file of the provider by the URL it gave and return its artifact. Takes and raises as `Transfer` says."""
        asked = (url, media_type, name)
        if asked not in self.fetched:
            self.fetched[asked] = await self.transfer.download(
                url, media_type, name, headers=headers, wait_header=wait_header
            )
        return BlobArtifact(self.fetched[asked], width=width, height=height, duration=duration)


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a handler gets for a question that belongs to no call: a model's description, a webhook's signature.

    `clock` gives seconds since the epoch.
    """

    provider: str
    secrets: SecretScope
    http: Http
    log: BoundLogger
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What a handler gets to warm up: its secrets, a log, and how many seconds it has."""

    provider: str
    secrets: SecretScope
    log: BoundLogger
    timeout: float
