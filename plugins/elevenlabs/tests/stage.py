"""The plugin's handlers over the rows of its own manifest, without the engine around them."""

from __future__ import annotations

from callsheet.artifacts import FileRef
from callsheet.client import Client
from callsheet.testing import PluginStage, loose_file, told

__all__ = ["STAGE", "context", "file", "handler", "job", "prepared", "rows", "stored", "told"]

STAGE = PluginStage("callsheet_elevenlabs")
context, handler, job, prepared = STAGE.context, STAGE.handler, STAGE.job, STAGE.prepared


def rows():
    """The plugin's rows by model name."""
    return STAGE.rows


def file(media_type: str = "audio/wav", size: int = 1000, name: str = "file") -> FileRef:
    """A sound that nobody has to have."""
    return loose_file(media_type, size, name)


async def stored(client: Client, data: bytes, media_type: str) -> FileRef:
    """A file that is in the project's store."""
    return await client.runtime.services.blobs.put(data, media_type, "")
