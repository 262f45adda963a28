"""Asking a provider for its own description of a model, and its plugin for the row of it."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.access import Access
from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.failures import cleanse
from callsheet.handler import DescribesModels, ModelDescription
from callsheet.runtime import Runtime
from callsheet.toml_tables import plain

__all__ = ["describe"]


async def describe(
    runtime: Runtime, provider: str, model: str, document: Mapping[str, object] | None = None
) -> ModelDescription:
    """The row of any model of a provider; by its description in `document` (nothing is asked then), else as fetched.

    Raises ConfigError for a provider that describes no models and for a description of no use, ProviderError, PluginError.
    """
    plugin, access, handler = _describer(runtime, provider)
    try:
        if document is None:
            context = runtime.services.provider_context(provider, plugin, access)
            document = await handler.fetch_model(model, context)
        described = handler.describe_model(model, document)
    except CallsheetError as error:
        cleanse(error, runtime.services.redactor)
        raise
    except Exception as error:
        cleanse(error, runtime.services.redactor)
        what = f"{type(error).__name__}: {plain(error)}"
        raise PluginError(f"{plugin} breaks while it describes {provider}:{model}: {what}", plugin=plugin) from error
    if not isinstance(described, ModelDescription) or described.row.get("model") in (None, ""):
        raise PluginError(f"{plugin} gave no description of {provider}:{model}", plugin=plugin)
    return described


def _describer(runtime: Runtime, provider: str) -> tuple[str, Access, DescribesModels]:
    plugin, access, handlers = runtime.registry.provider_handlers(provider)
    for handler in handlers:
        if isinstance(handler, DescribesModels):
            return plugin, access, handler
    raise ConfigError(f"{plugin} cannot describe models of {provider}: write the row by hand, into models/*.toml")
