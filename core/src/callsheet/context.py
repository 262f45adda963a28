"""The services that a handler gets for one call."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.jobs import Job
from callsheet.secrets import SecretScope

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

__all__ = ["Files", "JobContext", "WarmStart"]


class Files(Protocol):
    """A job's input files."""

    async def read(self, file: FileRef) -> bytes:
        """The file's bytes."""
        ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """Services for one call to one model.

    `key` identifies the paid call (send it as the idempotency key where the vendor honours one); `sample` tells equal
    requests apart; `attempt` counts from 1 over all
    tries of this call, in whatever process; `accepted(request_id)` records the vendor's id as soon as it is known;
    `keep` stores the bytes of an output; `workspace` is a folder where the plugin may leave files of its own.
    """

    job: Job
    key: str
    request_digest: str
    sample: int
    attempt: int
    origin: str
    secrets: SecretScope
    files: Files
    log: BoundLogger
    workspace: Path
    clock: Callable[[], float]
    accepted: Callable[[str], Awaitable[None]]
    store: Callable[[bytes | AsyncIterable[bytes], str, str], Awaitable[FileRef]]

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


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What a handler gets to warm up: its secrets, a log, and how many seconds it has."""

    provider: str
    secrets: SecretScope
    log: BoundLogger
    timeout: float
