"""A project with a provider that does nothing: what remains of a run is the engine's own work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from callsheet.client import Client
from callsheet.discovery import Discovery
from callsheet.plugin import (
    Expected,
    HandlerSpec,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    TextArtifact,
    hookimpl,
)
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.project import Project
from callsheet.settings import Settings
from callsheet.sheet import CallSheet

__all__ = ["CHAIN", "FLAT", "Idle", "open_client", "write_sheet"]

FLAT = """
[inputs]
n = {n}
[producers.a]
operation = "text.generate"
models = ["idle:{model}"]
for_each = "inputs.n"
prompt = "job {{{{ index }}}}"
"""
CHAIN = """
[inputs]
n = {half}
[producers.a]
operation = "text.generate"
models = ["idle:{model}"]
for_each = "inputs.n"
prompt = "job {{{{ index }}}}"
[producers.b]
operation = "text.generate"
models = ["idle:{model}"]
for_each = "a"
prompt = "after {{{{ a[index] }}}}"
"""
_EXPECTS = (Expected("text", "text/plain"),)
_ROWS: list[dict[str, object]] = [
    {"model": "text", "operation": "text.generate", "wire": "answer"},
    {"model": "job", "operation": "text.generate", "wire": "job"},
]


class Idle:
    """A plugin whose answers cost nothing."""

    def __init__(self, jobs: int = 0) -> None:
        self.polled = 0
        self.jobs = jobs
        self.all_polled = asyncio.Event()

    @hookimpl
    def callsheet_register_handlers(self) -> Iterable[HandlerSpec]:
        """One wire that answers, one whose jobs never end."""
        return [
            HandlerSpec(provider="idle", wire="answer", factory=IdleAnswers),
            HandlerSpec(provider="idle", wire="job", factory=lambda: IdleJobs(self)),
        ]


class IdleAnswers:
    """Answers with the prompt."""

    def prepare(self, job: Job) -> ProviderRequest:
        """The prompt, and one unit for the price."""
        body = {"prompt": getattr(job.inputs, "prompt", None), **job.options}
        return ProviderRequest(job.ref, job.operation, body, _EXPECTS, {"run": 1.0})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:  # noqa: ARG002
        """The prompt as text."""
        return JobResult((TextArtifact(str(request.body["prompt"])),))


class IdleJobs:
    """Remote jobs that run for ever."""

    def __init__(self, idle: Idle) -> None:
        self._idle = idle
        self.prepare = IdleAnswers().prepare

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """A receipt."""
        return Receipt(
            ref=request.ref,
            operation=request.operation,
            job_id=f"remote-{context.job.id}",
            key=context.key,
            request_digest=context.request_digest,
            expects=request.expects,
            created=context.clock(),
        )

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:  # noqa: ARG002
        """Not yet."""
        self._idle.polled += 1
        if self._idle.polled == self._idle.jobs:
            self._idle.all_polled.set()
        return RemoteStatus(RemoteState.RUNNING)

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Never asked for."""
        raise NotImplementedError


def write_sheet(folder: Path, template: str, jobs: int, model: str = "text") -> CallSheet:
    """A sheet of so many jobs."""
    (folder / "sheet.toml").write_text(template.format(n=jobs, half=jobs // 2, model=model), encoding="utf-8")
    return CallSheet.load(folder)


async def open_client(folder: Path, idle: Idle | None = None, **options: Any) -> Client:
    """A client that knows this provider alone."""
    manifest = PluginManifest.parse(
        {"api": 1, "provider": {"name": "idle"}, "models": _ROWS}, "idle/plugin.toml", "idle"
    )
    host = PluginHost(Discovery(), extra=[("idle", idle or Idle(), manifest)])
    options.setdefault("settings", Settings(concurrency=64))
    options.setdefault("sleep", asyncio.sleep)
    return await Client.open(Project.at(folder), host=host, **options)
