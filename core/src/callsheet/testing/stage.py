"""Calls of the plugin's handlers against a vendor on the loopback, with the engine's own services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from callsheet.client import Client
from callsheet.context import JobContext
from callsheet.digests import digest
from callsheet.handler import RemoteJobs
from callsheet.jobs import Job, JobResult, ProviderRequest, Receipt
from callsheet.models import Mode
from callsheet.project import Project
from callsheet.registry import BoundHandler
from callsheet.secrets import MappingSecrets
from callsheet.settings import Settings
from callsheet.testing.plugin_stage import call_context
from callsheet.testing.report import NotApplicableError
from callsheet.testing.samples import sample_files
from callsheet.testing.subject import Subject
from callsheet.testing.vendor import Vendor

__all__ = ["PLANTED", "SECONDS", "Stage", "open_stage"]

PLANTED = "planted-key-1f0e2d3c4b5a69788796a5b4"
"""The value of every secret that the plugin declares."""
SECONDS = 20.0
"""How long one call may take: nothing here waits for anything."""


@dataclass(frozen=True)
class Stage:
    """A client whose provider is the vendor; `wires` are the handlers to call, bound to the vendor's origin."""

    client: Client
    vendor: Vendor
    wires: list[BoundHandler]

    def context(self, bound: BoundHandler, job: Job, request: ProviderRequest) -> JobContext:
        """What the engine would hand to the handler."""
        key = digest({"conformance": str(bound.ref)})
        return call_context(self.client, bound, job, key=key, request_digest=digest(request.body))

    async def call(self, bound: BoundHandler, job: Job, request: ProviderRequest) -> JobResult | Receipt:
        """One `submit` or `invoke`. Lets through what it raises, and TimeoutError."""
        context = self.context(bound, job, request)
        async with asyncio.timeout(SECONDS):
            if isinstance(bound.handler, RemoteJobs):
                return await bound.handler.submit(request, context)
            return await bound.handler.invoke(request, context)  # type: ignore[attr-defined,no-any-return]


@asynccontextmanager
async def open_stage(subject: Subject) -> AsyncIterator[Stage]:
    """A project of its own in a temporary folder. Raises NotApplicableError for a plugin that reaches no host."""
    reaching = [bound for bound in subject.wires if bound.origin]
    if not reaching:
        raise NotApplicableError("its models have no origin: it reaches no host")
    names = {name for bound in reaching for name in bound.secrets}
    with TemporaryDirectory(prefix="callsheet-conformance-") as folder:
        project = Project.at(Path(folder))
        secrets = MappingSecrets(dict.fromkeys(names, PLANTED))
        client = await Client.open(project, Settings(), secrets=secrets, host=subject.host, durable=False)
        with Vendor() as vendor:
            async with client:
                for media_type, content in sample_files().items():
                    await client.runtime.services.blobs.put(content, media_type)
                wires = [_at_vendor(client, bound, vendor) for bound in reaching]
                await client.runtime.warm_start(wires)
                yield Stage(client, vendor, wires)


def _at_vendor(client: Client, bound: BoundHandler, vendor: Vendor) -> BoundHandler:
    here = client.runtime.registry.resolve(bound.ref, bound.info.operation, Mode.LIVE)
    return replace(here, origin=vendor.origin + urlsplit(bound.origin).path)
