"""A call's input files: read from the store, and uploaded to a provider once, whoever asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass

from callsheet.artifacts import FileRef
from callsheet.context import Upload
from callsheet.errors import CallsheetError, PluginError, ProviderError, Sent
from callsheet.patience import Patience
from callsheet.secrets import SecretScope
from callsheet.storage import BlobStore
from callsheet.stores.uploads import Place, UploadRows

__all__ = ["CallFiles", "Uploads"]

Send = Callable[[], Awaitable[Upload]]


@dataclass(frozen=True, slots=True)
class CallFiles:
    """The input files of a call to one origin, with one account's key; `plugin` is whose `send` it is."""

    blobs: BlobStore
    uploads: Uploads
    origin: str
    secrets: SecretScope
    plugin: str

    async def read(self, file: FileRef) -> bytes:
        """The file's bytes."""
        return await self.blobs.read(file)

    async def upload(self, file: FileRef, send: Send) -> str:
        """The file's address at the provider. Raises ProviderError with `sent = NOT_SENT`, PluginError."""

        async def sent() -> Upload:
            try:
                return await send()
            except CallsheetError:
                raise
            except Exception as error:
                text = f"{self.plugin} broke off in the middle of an upload: {type(error).__name__}: {error}"
                raise PluginError(text, plugin=self.plugin) from error

        return await self.uploads.address(await self._place(file), sent)

    async def uploaded(self, file: FileRef) -> str | None:
        """The address that it had last."""
        return await self.uploads.last(await self._place(file))

    async def _place(self, file: FileRef) -> Place:
        return Place(self.origin, await self.secrets.account(), file.sha256, file.media_type)


@dataclass(slots=True)
class _Flight:
    """An upload under way, and how many wait for it."""

    task: asyncio.Task[str]
    waiting: int = 0


class Uploads:
    """The uploads of this process: equal ones are one, and none that the ledger remembers is made again."""

    def __init__(self, rows: UploadRows, patience: Patience) -> None:
        self._rows = rows
        self._patience = patience
        self._flying: dict[Place, _Flight] = {}

    async def address(self, place: Place, send: Send) -> str:
        """Where the file is. It goes on while anybody waits for it: who began it may leave."""
        flight = self._flying.get(place)
        if flight is None:
            flight = self._flying[place] = _Flight(asyncio.create_task(self._placed(place, send)))
            flight.task.add_done_callback(lambda _: self._land(place, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except CallsheetError as error:
            raise copy(error) from error  # a common one would collect everybody's traceback
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._land(place, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])

    async def last(self, place: Place) -> str | None:
        """Where the file was last."""
        return await self._rows.address(place)

    def _land(self, place: Place, flight: _Flight) -> None:
        if self._flying.get(place) is flight:
            del self._flying[place]

    async def _placed(self, place: Place, send: Send) -> str:
        known = await self._rows.find(place)
        if known is not None:
            return known.address
        try:
            upload = await self._patience.answer(send)
        except ProviderError as error:
            error.sent = Sent.NOT_SENT  # an upload costs nothing, and the request itself has not left
            raise
        await self._rows.keep(place, upload)
        return upload.address
