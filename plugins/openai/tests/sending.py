"""What a registered handler would send for a job, caught at the wire: body, path and headers, files in place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from openai_counterpart import stage
from openai_counterpart.vendor import Vendor

import callsheet_openai
from callsheet.handler_choice import choose_spec
from callsheet.inputs import parse_inputs
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.plugin import FileRef, FormFile, Handler, Invokes, Job, JobContext, ProviderRequest, Streams
from callsheet.secrets import MappingSecrets, Redactor, SecretScope
from callsheet.services import library_log
from callsheet_openai.testing import KEY


class CaughtError(Exception):
    """Carries the request that was about to leave."""

    def __init__(self, request: Outgoing) -> None:
        super().__init__(request.path)
        self.request = request


@dataclass(frozen=True)
class Outgoing:
    """A request as a handler gave it to its HTTP client."""

    method: str
    path: str
    json: object = None
    form: Mapping[str, object] | None = None
    files: tuple[FormFile, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def problems(self, document: Vendor) -> list[str]:
        """What the vendor's document objects to."""
        if self.form is None and not self.files:
            return document.request(self.method, self.path, json.loads(json.dumps(self.json, allow_nan=False)))
        fields = [(file.field, file.name) for file in self.files]
        for name, value in (self.form or {}).items():
            fields += [(name, each) for each in ([value] if isinstance(value, str) else value)]
        return document.form(self.method, self.path, fields)


class Files:
    """Input files by their content."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def add(self, data: bytes, media_type: str, name: str = "") -> FileRef:
        """A file, ready to be an input."""
        digest = sha256(data).hexdigest()
        self._data[digest] = data
        return FileRef(digest, media_type, len(data), name)

    async def read(self, file: FileRef) -> bytes:
        """The bytes."""
        return self._data[file.sha256]


class _Catching:
    """An HTTP client that lets nothing leave."""

    sdk_client = None

    async def send(self, method, path, *, json=None, form=None, files=(), query=None, headers=None, limits=None):
        raise CaughtError(Outgoing(method, path, json, form, tuple(files), headers or {}))

    def stream(self, method, path, *, json=None, form=None, files=(), query=None, headers=None, limits=None):
        raise CaughtError(Outgoing(method, path, json, form, tuple(files), headers or {}))


def rows() -> tuple[ModelInfo, ...]:
    """Every row of the plugin's manifest."""
    return tuple(stage.rows().values())


@cache
def handler_of(wire: str, operation: Operation) -> Handler:
    """The registered handler of a wire."""
    specs = list(callsheet_openai.callsheet_register_handlers())
    ref = ModelRef("openai", "any")
    spec = choose_spec(specs, ref=ref, operation=operation, wire=wire, plugin="callsheet-openai")
    assert spec is not None, f"no handler for the wire {wire!r}"
    return spec.factory()


def job_of(model: ModelInfo, attributes: Mapping[str, object], options: Mapping[str, object]) -> Job:
    """A call to one model, with its attributes checked as a client checks them."""
    inputs = parse_inputs(model.operation, attributes)
    return Job("call", ModelRef(model.provider, model.model), model, model.operation, inputs, dict(options))


def context_of(job: Job, files: Files) -> JobContext:
    """Services that reach nothing."""

    async def accepted(_request_id: str) -> None:
        """Nobody records it."""

    async def taken(_job_id: str) -> bool:
        return False

    scope = SecretScope(MappingSecrets({"OPENAI_API_KEY": KEY}), Redactor(), ("OPENAI_API_KEY",), "callsheet-openai")
    return JobContext(
        job=job,
        key="k" * 64,
        request_digest="d" * 64,
        sample=0,
        attempt=1,
        origin="http://127.0.0.1:9/v1",
        secrets=scope,
        files=files,
        http=_Catching(),
        transfer=None,
        log=library_log(Redactor()),
        workspace=Path("unused"),
        clock=lambda: 1_800_000_000.0,
        accepted=accepted,
        store=None,
        taken=taken,
    )


async def outgoing(job: Job, files: Files, *, stream: bool = False) -> tuple[ProviderRequest, Outgoing]:
    """Prepare a job, begin to carry it out, and give what would have been sent first."""
    handler = handler_of(job.model.wire, job.operation)
    request = handler.prepare(job)
    context = context_of(job, files)
    try:
        if stream:
            assert isinstance(handler, Streams)
            async for event in handler.stream(request, context):
                raise AssertionError(f"an event before anything was sent: {event}")
        elif isinstance(handler, Invokes):
            await handler.invoke(request, context)
        else:
            await handler.submit(request, context)
    except CaughtError as caught:
        return request, caught.request
    raise AssertionError("nothing was sent")
