"""What is said of a model that nobody here runs: which plugin to install, which wire or server is missing."""

from __future__ import annotations

from callsheet.discovery import FoundPlugin
from callsheet.errors import ConfigError
from callsheet.handler import HandlerSpec
from callsheet.handler_choice import wires_of
from callsheet.models import ModelInfo, ModelRef

__all__ = ["UnresolvedError", "no_environment", "no_handler"]


class UnresolvedError(ConfigError):
    """No live handler is here for this model; a mocked call can still do without."""


def no_environment(ref: ModelRef) -> ConfigError:
    """The reference names a server that runs models, and there is none."""
    what = f"there is no callsheet server yet that could run {ref}"
    return ConfigError(f"{what}: write {ref.provider}:{ref.model} to call the provider with your own key")


def no_handler(ref: ModelRef, info: ModelInfo, plugin: FoundPlugin, specs: list[HandlerSpec]) -> ConfigError:
    """The plugin is here, but handles neither the model's wire nor its operation; says what it handles."""
    if ref.environment != "local" and all(spec.environment not in (ref.environment, "*") for spec in specs):
        return no_environment(ref)
    wires = wires_of(specs, info.operation)
    wire = f"wire {info.wire!r}" if info.wire else "a model without a wire"
    there = f"it handles {', '.join(wires)}" if wires else f"it handles no {info.operation}"
    return UnresolvedError(f"{plugin.label} has no handler of {ref} for {wire} and {info.operation}; {there}")
