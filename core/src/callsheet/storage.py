"""Storage ports: the blob store's protocol and what the ledger keeps of a call, a run and an event."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from callsheet.artifacts import FileRef
from callsheet.jobs import JobResult, Receipt

__all__ = ["BlobStore", "CallRecord", "CallState", "Event", "Failure", "RunRecord"]


class BlobStore(Protocol):
    """Files by their sha256. A file is in the store whole or not at all."""

    async def put(self, data: bytes | AsyncIterable[bytes], media_type: str, name: str = "") -> FileRef:
        """Store the bytes durably and return their reference."""
        ...

    def path(self, sha256: str) -> Path:
        """Where the file lies. Raises CallsheetError when it is not in the store."""
        ...

    def has(self, sha256: str) -> bool:
        """True when the store holds the file."""
        ...

    async def read(self, file: FileRef) -> bytes:
        """The file's bytes. Raises CallsheetError when it is missing or no longer what its digest says."""
        ...


class CallState(StrEnum):
    """The life of a paid call. Only the last three are final; `sending` is durable before the first byte leaves."""

    CLAIMED = "claimed"
    SENDING = "sending"
    ACCEPTED = "accepted"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """True when nobody works on the call any more."""
        return self in (CallState.SUCCEEDED, CallState.FAILED, CallState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call as data: what `ProviderError` says, redacted."""

    kind: str
    sent: str
    message: str
    retryable: bool = False
    retry_after: float | None = None
    status_code: int | None = None
    request_id: str = ""
    ref: str = ""
    user_message: str = ""
    docs_url: str = ""
    prompt: str = ""
    partial: str = ""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """The ledger's row of one call. `epoch` grows with every owner; times are seconds since the epoch."""

    key: str
    state: CallState
    ref: str
    operation: str
    job: str
    run: str
    owner: str
    epoch: int
    request_digest: str
    request: Mapping[str, object]
    created: float
    updated: float
    request_id: str = ""
    receipt: Receipt | None = None
    result: JobResult | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run; never changed once written. `type` is `noun.past_tense`."""

    seq: int
    run: str
    at: float
    type: str
    job: str = ""
    body: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: which sheet, how it was asked for (`request` is JSON), and how it ended."""

    id: str
    sheet: str
    mode: str
    status: str
    owner: str
    started: float
    ended: float | None
    output: str
    request: Mapping[str, object]
