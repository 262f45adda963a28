"""Keeping what was paid for: a full disk or a locked file for a moment must not lose a result."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable

from callsheet.artifacts import FileRef
from callsheet.errors import CallsheetError, ErrorKind, ProviderError, Sent
from callsheet.storage import BlobStore

__all__ = ["WRITE_AGAIN_AFTER", "Keeper", "ResultNotStoredError"]

WRITE_AGAIN_AFTER = (0.5, 2.0, 8.0)
"""Seconds between the tries to write something that was paid for."""


class ResultNotStoredError(ProviderError):
    """The provider answered, and the disk refused what it gave: perhaps paid for, and not here."""

    kind = ErrorKind.MALFORMED_OUTPUT
    default_sent = Sent.UNKNOWN


class Keeper:
    """Stores the outputs of one call. What is in memory is tried again, a stream cannot be."""

    def __init__(
        self, blobs: BlobStore, sleep: Callable[[float], Awaitable[None]], warn: Callable[..., object]
    ) -> None:
        self._blobs = blobs
        self._sleep = sleep
        self._warn = warn

    async def keep(self, data: bytes | AsyncIterable[bytes], media_type: str, name: str = "") -> FileRef:
        """Store an output. Raises ResultNotStoredError when the disk goes on refusing it."""
        waits = iter(WRITE_AGAIN_AFTER if isinstance(data, (bytes, bytearray, memoryview)) else ())
        while True:
            try:
                return await self._blobs.put(data, media_type, name)
            except ProviderError:
                raise  # the provider's stream broke, not the store
            except CallsheetError as error:
                wait = next(waits, None)
                if wait is None:
                    raise ResultNotStoredError(
                        f"the provider answered, but the result cannot be stored: {error}"
                    ) from error
                self._warn("blobs.write_failed", error=str(error), again_in=wait)
                await self._sleep(wait)
