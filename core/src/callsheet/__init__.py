"""One plugin interface for every generative model, and a runner from a TOML plan to finished artifacts.

Nothing is imported before it is used: `import callsheet` loads none of its dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callsheet.artifacts import Artifact, BlobArtifact, FileRef, JsonArtifact, TextArtifact
    from callsheet.errors import CallsheetError, ConfigError, PluginError, ProviderError
    from callsheet.jobs import JobResult
    from callsheet.models import Mode, ModelInfo, ModelRef, Operation
    from callsheet.money import Cost

_HOMES = {
    "Artifact": "artifacts",
    "BlobArtifact": "artifacts",
    "CallsheetError": "errors",
    "ConfigError": "errors",
    "Cost": "money",
    "FileRef": "artifacts",
    "JobResult": "jobs",
    "JsonArtifact": "artifacts",
    "Mode": "models",
    "ModelInfo": "models",
    "ModelRef": "models",
    "Operation": "models",
    "PluginError": "errors",
    "ProviderError": "errors",
    "TextArtifact": "artifacts",
}

__all__ = [
    "Artifact",
    "BlobArtifact",
    "CallsheetError",
    "ConfigError",
    "Cost",
    "FileRef",
    "JobResult",
    "JsonArtifact",
    "Mode",
    "ModelInfo",
    "ModelRef",
    "Operation",
    "PluginError",
    "ProviderError",
    "TextArtifact",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("callsheet")
    if name not in _HOMES:
        raise AttributeError(f"module 'callsheet' has no attribute {name!r}")
    return getattr(import_module(f"callsheet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
