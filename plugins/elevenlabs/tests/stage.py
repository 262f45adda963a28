"""Handlers as they are registered, over the rows of the plugin's own manifest, without the engine around them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import callsheet_elevenlabs
from callsheet.artifacts import FileRef
from callsheet.client import Client
from callsheet.context import JobContext
from callsheet.inputs import parse_inputs
from callsheet.jobs import Job, ProviderRequest, WarningKind
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.plugin_manifest import PluginManifest, model_row

ROOT = Path(callsheet_elevenlabs.__file__).parent


@cache
def rows() -> dict[str, ModelInfo]:
    """The plugin's rows by model name."""
    manifest = PluginManifest.find(ROOT)
    found = [model_row(row.values, "elevenlabs", "callsheet-elevenlabs", file=row.file) for row in manifest.rows]
    return {row.model: row for row in found}


@cache
def handler(wire: str):
    """The handler of a wire."""
    (spec,) = (spec for spec in callsheet_elevenlabs.callsheet_register_handlers() if spec.wire == wire)
    return spec.factory()


def job(model: str, operation: str = "", options: dict | None = None, **attributes: object) -> Job:
    """A job for a model with a row, or (with its operation) without one."""
    wanted = Operation(operation) if operation else rows()[model].operation
    info = rows().get(model) or ModelInfo("elevenlabs", model, wanted)
    inputs = parse_inputs(wanted, attributes)
    return Job("call", ModelRef("elevenlabs", model), info, wanted, inputs, options or {})


def prepared(model: str, operation: str = "", options: dict | None = None, **attributes: object) -> ProviderRequest:
    """What would be sent."""
    wanted = job(model, operation, options, **attributes)
    return handler(wanted.model.wire or "speech").prepare(wanted)


def told(request: ProviderRequest) -> list[tuple[str, str]]:
    """The warnings' kinds and attributes, but that the model is deprecated."""
    return [(str(each.kind), each.attribute) for each in request.warnings if each.kind is not WarningKind.DEPRECATED]


def file(media_type: str = "audio/wav", size: int = 1000, name: str = "file") -> FileRef:
    """A file that nobody has to have."""
    return FileRef(hashlib.sha256(f"{media_type}{size}{name}".encode()).hexdigest(), media_type, size, name)


async def stored(client: Client, data: bytes, media_type: str) -> FileRef:
    """A file that is in the project's store."""
    return await client.runtime.services.blobs.put(data, media_type, "")


def context(client: Client, wanted: Job, key: str = "k" * 64) -> JobContext:
    """The services of one call of a job."""
    bound = client.runtime.registry.resolve(wanted.ref, wanted.operation)

    async def accepted(_request_id: str) -> None:
        """Nobody records it."""

    return client.runtime.services.context(
        bound, wanted, key=key, request_digest="d" * 64, sample=0, attempt=1, accepted=accepted
    )
