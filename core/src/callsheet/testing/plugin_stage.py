"""A plugin's handlers over its own rows, without the engine around them, and clients that reach a loopback server.

```python
STAGE = PluginStage("callsheet_acme")


def test_the_seed_is_sent():
    assert STAGE.prepared("haiku", prompt="lava", seed=7).body["seed"] == 7
```
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from callsheet.artifacts import FileRef
from callsheet.client import Client
from callsheet.context import JobContext
from callsheet.errors import ConfigError
from callsheet.inputs import parse_inputs
from callsheet.jobs import Job, ProviderRequest, WarningKind
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.policies import Policies
from callsheet.project import Project
from callsheet.registry import BoundHandler
from callsheet.secrets import MappingSecrets, SecretResolver
from callsheet.settings import ProviderSettings, Settings
from callsheet.testing.doubles import FakeClock
from callsheet.testing.subject import Subject

__all__ = ["PluginStage", "call_context", "loose_file", "told"]


class PluginStage:
    """`plugin` is the installed plugin's package, entry point or distribution. Make one for all tests: it looks once."""

    def __init__(self, plugin: str) -> None:
        self._subject = Subject(plugin)

    @property
    def provider(self) -> str:
        """The plugin's provider."""
        return self._subject.plugin.provider

    @cached_property
    def rows(self) -> dict[str, ModelInfo]:
        """The plugin's rows by model name."""
        return {row.model: row for row in self._subject.rows}

    def handler(self, wire: str = "", operation: Operation | str = "") -> Any:
        """The one handler that is registered for a wire, an operation, or both. Raises ConfigError for none and for several."""
        found = [
            spec
            for spec in self._subject.host.handlers_of(self._subject.plugin.name)
            if (not wire or spec.wire == wire) and (not operation or Operation(operation) in spec.operations)
        ]
        if len(found) != 1:
            raise ConfigError(
                f"{len(found)} handlers are registered for the wire {wire!r}, operation {str(operation)!r}"
            )
        return found[0].factory()

    def job(
        self, model: str, operation: str = "", options: Mapping[str, object] | None = None, **attributes: object
    ) -> Job:
        """A job for a model with a row, or (with its operation) for one without."""
        wanted = Operation(operation) if operation else self.rows[model].operation
        info = self.rows.get(model) or ModelInfo(self.provider, model, wanted)
        inputs = parse_inputs(wanted, attributes)
        return Job("call", ModelRef(self.provider, model), info, wanted, inputs, dict(options or {}))

    def prepared(
        self, model: str, operation: str = "", options: Mapping[str, object] | None = None, **attributes: object
    ) -> ProviderRequest:
        """What would be sent for such a job."""
        job = self.job(model, operation, options, **attributes)
        return self._subject.registry.resolve(job.ref, job.operation).preparer.prepare(job)

    @asynccontextmanager
    async def client(
        self,
        folder: Path,
        *,
        base_url: str,
        secrets: Mapping[str, str] | SecretResolver | None = None,
        settings: Settings | None = None,
        **more: Any,
    ) -> AsyncIterator[Client]:
        """A client of a project in this folder which reaches the base URL and never sleeps; `more` goes to `Client.open`.

        The base URL is reached even where an environment variable names another one for the provider.

        `secrets` are values by name, or what looks them up: a `FakeSecrets` counts who asks. Without `settings` each call is one attempt, so that a test sees what that leads to.
        """
        folder.mkdir(exist_ok=True)
        wanted = settings or Settings(policies=Policies.once())
        reached = {self.provider: ProviderSettings(base_url=base_url)}
        wanted = replace(wanted, providers={**reached, **wanted.providers})
        known = MappingSecrets(secrets or {}) if secrets is None or isinstance(secrets, Mapping) else secrets
        given = {"sleep": FakeClock().sleep, "secrets": known, "environ": self._environ(), **more}
        async with await Client.open(Project.at(folder), wanted, **given) as client:
            yield client

    def _environ(self) -> dict[str, str]:
        """The environment without the variable that would send the calls to another place than the test's."""
        manifest = self._subject.plugin.manifest
        moved = manifest.provider.origin_env if manifest is not None and manifest.provider is not None else ""
        return {name: value for name, value in os.environ.items() if name != moved}

    def context(self, client: Client, job: Job, key: str = "k" * 64, **changes: Any) -> JobContext:
        """The services of one call of a job, as the engine hands them to a handler; `changes` are fields to exchange."""
        bound = client.runtime.registry.resolve(job.ref, job.operation)
        made = call_context(client, bound, job, key=key, request_digest="d" * 64)
        return replace(made, **changes) if changes else made


def call_context(client: Client, bound: BoundHandler, job: Job, *, key: str, request_digest: str) -> JobContext:
    """The services of the first attempt of a call that nobody records."""

    async def accepted(_request_id: str) -> None:
        """Nobody records it."""

    services = client.runtime.services
    return services.context(bound, job, key=key, request_digest=request_digest, sample=0, attempt=1, accepted=accepted)


def told(request: ProviderRequest) -> list[tuple[str, str]]:
    """The warnings' kinds and attributes, but that the model is deprecated."""
    return [(str(each.kind), each.attribute) for each in request.warnings if each.kind is not WarningKind.DEPRECATED]


def loose_file(media_type: str = "image/png", size: int = 1000, name: str = "file") -> FileRef:
    """A file that nobody has to have: enough for `prepare`."""
    return FileRef(hashlib.sha256(f"{media_type}{size}{name}".encode()).hexdigest(), media_type, size, name)
