"""The hooks of a plugin. Each takes one frozen object at most, so that new fields never break a plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

from callsheet.context import JobContext, WarmStart
from callsheet.handler import Handler, HandlerSpec
from callsheet.jobs import AbortOutcome, JobResult, ProviderRequest, Receipt
from callsheet.middleware import Middleware
from callsheet.models import ModelInfo
from callsheet.secrets import SecretResolver
from callsheet.selector import Selector
from callsheet.storage import Event

if TYPE_CHECKING:
    import click

__all__ = ["AbortCall", "HandlerStart", "InvokeCall", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("callsheet")
hookimpl = pluggy.HookimplMarker("callsheet")


@dataclass(frozen=True, slots=True)
class InvokeCall:
    """One attempt of one call. `simulated` is True when the call is mocked; only the core's own hook is asked then.

    `streaming` is True when somebody reads along. A hook that performs such an attempt gives the whole answer, which is
    then replayed.
    """

    handler: Handler
    request: ProviderRequest
    context: JobContext
    simulated: bool = False
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class AbortCall:
    """A remote job that is to be stopped; `simulated` as in InvokeCall."""

    handler: Handler
    receipt: Receipt
    context: JobContext
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class HandlerStart:
    """A handler that is about to be used, and what it gets to warm up."""

    handler: Handler
    start: WarmStart


@hookspec
def callsheet_register_handlers() -> Iterable[HandlerSpec]:  # type: ignore[empty-body]
    """Say which handlers this plugin has. Called once, when one of its models is first resolved."""


@hookspec
def callsheet_register_models() -> Iterable[ModelInfo]:  # type: ignore[empty-body]
    """Give rows that cannot be written in plugin.toml (models found on the machine). Called when a model without a row is resolved."""


@hookspec
def callsheet_warm_start(start: HandlerStart) -> Awaitable[None] | None:
    """Get ready for the first call of a handler (import the SDK, open a client), before any call is made."""


@hookspec(firstresult=True)
def callsheet_invoke(call: InvokeCall) -> Awaitable[JobResult | Receipt] | None:
    """Perform one attempt instead of the handler, or return None to let it happen.

    Asked once an attempt, after the intent is durable, and never for a mocked call: a dry run must not reach anybody.
    The core's own implementation comes last and calls the handler.
    """


@hookspec(firstresult=True)
def callsheet_abort(call: AbortCall) -> Awaitable[AbortOutcome] | None:
    """Stop a remote job instead of the handler, or return None to let it happen."""


@hookspec
def callsheet_job_event(event: Event) -> None:
    """Hear what happens in a run, after it was written. Must not block."""


@hookspec
def callsheet_register_observers() -> Iterable[AbstractContextManager[object]]:  # type: ignore[empty-body]
    """Give what is entered when a command begins to work, and left at its end. Called once a command, by its process."""


@hookspec
def callsheet_register_middleware() -> Iterable[Middleware]:  # type: ignore[empty-body]
    """Give what stands around each live call of every provider. Called once, before the first live call."""


@hookspec
def callsheet_register_secret_resolvers() -> Iterable[SecretResolver]:  # type: ignore[empty-body]
    """Say where else secrets may be found. Called when none of the other sources has one that is needed."""


@hookspec
def callsheet_register_selectors() -> Iterable[Selector]:  # type: ignore[empty-body]
    """Give functions that choose a model for `auto:OPERATION`. Called when one is to be chosen; the first answer counts."""


@hookspec
def callsheet_register_commands(cli: click.Group) -> None:
    """Add commands to the command line. Called when one of the manifest's `commands` is asked for."""
