"""The plugin's handlers over the rows of its own manifest, without the engine around them."""

from __future__ import annotations

from pathlib import Path

import callsheet_openai
from callsheet.artifacts import FileRef
from callsheet.client import Client
from callsheet.jobs import CallWarning, ProviderRequest, WarningKind
from callsheet.models import ModelInfo
from callsheet.testing import PluginStage, loose_file, told

__all__ = ["ROOT", "STAGE", "context", "deprecations", "file", "handler", "job", "prepared", "rows", "stored", "told"]

ROOT = Path(callsheet_openai.__file__).parent
STAGE = PluginStage("callsheet_openai")
context, job, prepared, file = STAGE.context, STAGE.job, STAGE.prepared, loose_file


def rows() -> dict[str, ModelInfo]:
    """The plugin's rows by model name."""
    return STAGE.rows


def handler(operation: str):
    """The one handler of an operation of media."""
    return STAGE.handler(operation=operation)


def deprecations(request: ProviderRequest) -> list[CallWarning]:
    """The warnings that the model is deprecated."""
    return [each for each in request.warnings if each.kind is WarningKind.DEPRECATED]


async def stored(client: Client, data: bytes, media_type: str) -> FileRef:
    """A file that is in the project's store."""
    return await client.runtime.services.blobs.put(data, media_type, "")
