"""One plugin interface for every generative model, and a runner from a TOML plan to finished artifacts.

Nothing is imported before it is used: `import callsheet` loads none of its dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from callsheet.artifacts import Artifact, BlobArtifact, FileRef, JsonArtifact, TextArtifact
    from callsheet.client import Client
    from callsheet.errors import CallsheetError, ConfigError, PluginError, ProviderError
    from callsheet.jobs import JobResult
    from callsheet.models import Mode, ModelInfo, ModelRef, Operation
    from callsheet.money import Cost
    from callsheet.opening import call_sync
    from callsheet.pay_once import OnUnknown
    from callsheet.policies import BreakerPolicy, DeadlinePolicy, LimitPolicy, MoneyPolicy, Policies, RetryPolicy
    from callsheet.runs import Run, RunRequest
    from callsheet.secrets import SecretResolver
    from callsheet.selector import Requirements, Selector
    from callsheet.settings import Settings
    from callsheet.sheet import CallSheet
    from callsheet.streams import (
        ImageDelta,
        ReasoningDelta,
        StreamEvent,
        StreamFinished,
        StreamRestarted,
        StreamUsage,
        TextDelta,
        ToolCallDelta,
    )

_HOMES = {
    "Artifact": "artifacts",
    "BlobArtifact": "artifacts",
    "BreakerPolicy": "policies",
    "CallSheet": "sheet",
    "CallsheetError": "errors",
    "Client": "client",
    "ConfigError": "errors",
    "Cost": "money",
    "DeadlinePolicy": "policies",
    "FileRef": "artifacts",
    "ImageDelta": "streams",
    "JobResult": "jobs",
    "JsonArtifact": "artifacts",
    "LimitPolicy": "policies",
    "Mode": "models",
    "ModelInfo": "models",
    "ModelRef": "models",
    "MoneyPolicy": "policies",
    "OnUnknown": "pay_once",
    "Operation": "models",
    "PluginError": "errors",
    "Policies": "policies",
    "ProviderError": "errors",
    "ReasoningDelta": "streams",
    "Requirements": "selector",
    "RetryPolicy": "policies",
    "Run": "runs",
    "RunRequest": "runs",
    "StreamEvent": "streams",
    "StreamFinished": "streams",
    "StreamRestarted": "streams",
    "StreamUsage": "streams",
    "TextArtifact": "artifacts",
    "TextDelta": "streams",
    "ToolCallDelta": "streams",
    "call_sync": "opening",
}

__all__ = [
    "Artifact",
    "BlobArtifact",
    "BreakerPolicy",
    "CallSheet",
    "CallsheetError",
    "Client",
    "ConfigError",
    "Cost",
    "DeadlinePolicy",
    "FileRef",
    "ImageDelta",
    "JobResult",
    "JsonArtifact",
    "LimitPolicy",
    "Mode",
    "ModelInfo",
    "ModelRef",
    "MoneyPolicy",
    "OnUnknown",
    "Operation",
    "PluginError",
    "Policies",
    "ProviderError",
    "ReasoningDelta",
    "Requirements",
    "RetryPolicy",
    "Run",
    "RunRequest",
    "StreamEvent",
    "StreamFinished",
    "StreamRestarted",
    "StreamUsage",
    "TextArtifact",
    "TextDelta",
    "ToolCallDelta",
    "call_sync",
    "open",
]


def open(  # noqa: A001 - `callsheet.open()` reads as what it does
    folder: str | Path | None = None,
    *,
    secrets: SecretResolver | None = None,
    settings: Settings | None = None,
    policies: Policies | None = None,
    selector: Selector | None = None,
    durable: bool = True,
) -> AbstractAsyncContextManager[Client]:
    """Open the project that `folder` (default: the working folder) belongs to: `async with callsheet.open() as client`.

    `policies` (the defaults of retries, limits, deadlines and budgets) hold where the configuration files say nothing.
    `selector` decides which model is taken for `auto:OPERATION`; it gets those that can do it.
    `durable=False` writes no ledger: for calls of which nothing has to survive the process, at half the cost of each.
    """
    from callsheet.opening import open_client

    return open_client(
        folder, secrets=secrets, settings=settings, policies=policies, selector=selector, durable=durable
    )


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("callsheet")
    if name not in _HOMES:
        raise AttributeError(f"module 'callsheet' has no attribute {name!r}")
    return getattr(import_module(f"callsheet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
