"""The rows of uploads: which files providers have already, where, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from callsheet.context import Upload
from callsheet.stores.writer import Turn, Writer

__all__ = ["Place", "UploadRows"]

_HOUR = 3600.0
_SELECT = (
    "SELECT address, uploaded, expires FROM uploads WHERE origin = ? AND account = ? AND sha256 = ? AND media_type = ?"
)


class Place(NamedTuple):
    """What tells uploads apart: the provider's base URL, the account there, the file's digest and media type."""

    origin: str
    account: str
    sha256: str
    media_type: str


class UploadRows:
    """The uploads that a ledger remembers. Every change is durable when its method returns."""

    def __init__(self, writer: Writer, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._clock = clock

    async def find(self, place: Place) -> Upload | None:
        """The upload; None for one that ends within an hour, or whose life is half over: a job may wait in a queue."""
        row = await self._row(place)
        if row is None:
            return None
        address, uploaded, expires = row
        if expires is not None and expires - self._clock() <= min(_HOUR, (expires - uploaded) / 2):
            return None
        return Upload(address, expires)

    async def address(self, place: Place) -> str | None:
        """Where the file was last, however long ago."""
        row = await self._row(place)
        return None if row is None else row[0]

    async def keep(self, place: Place, upload: Upload) -> None:
        """Remember an upload, instead of an earlier one."""
        values = (*place, upload.address, self._clock(), upload.expires)

        def write(turn: Turn) -> None:
            turn.db.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)", values)

        await self._writer.submit(write)

    async def _row(self, place: Place) -> tuple[str, float, float | None] | None:
        def read(turn: Turn) -> tuple[str, float, float | None] | None:
            row: tuple[str, float, float | None] | None = turn.db.execute(_SELECT, place).fetchone()
            return row

        return await self._writer.submit(read, writes=False)

    async def forget(self, origin: str, digests: Iterable[str]) -> None:
        """The provider may not have these files any more."""
        rows = [(origin, sha256) for sha256 in digests]

        def write(turn: Turn) -> None:
            turn.db.executemany("DELETE FROM uploads WHERE origin = ? AND sha256 = ?", rows)

        await self._writer.submit(write)
