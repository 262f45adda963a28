"""Who runs a model: references are resolved once to the handler that maps a job and the one that performs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from callsheet.access import Access, access_of, borrowed_access
from callsheet.catalog import Catalog
from callsheet.context import WarmStart
from callsheet.discovery import DENY_VARIABLE, FoundPlugin, normalised
from callsheet.errors import CallsheetError, ConfigError, PluginError, ProviderTimeoutError, Sent
from callsheet.handler import FindsJobs, Handler, HandlerSpec, Invokes, RemoteJobs
from callsheet.handler_choice import choose_spec, sole_operation
from callsheet.install_hints import install_hints
from callsheet.jobs import Job, ProviderRequest
from callsheet.listed_prices import with_listed_price
from callsheet.models import Mode, ModelInfo, ModelRef, Operation
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import BatchLimits
from callsheet.secrets import SecretScope
from callsheet.selector import AUTO
from callsheet.settings import Settings
from callsheet.toml_tables import plain
from callsheet.unresolved import UnresolvedError, no_environment, no_handler

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

__all__ = ["BoundHandler", "Registry"]

CLOSE_SECONDS = 10.0
"""How long a handler may take to close."""

Mapped = Literal["checked", "unchecked"]
Wanted = tuple[ModelRef, Operation, Mode]


@dataclass(frozen=True, slots=True)
class BoundHandler:
    """A model and who runs it.

    `preparer` maps a job, `handler` performs it (the same one for live calls). `mapping` is `unchecked` when a mocked
    call is mapped by the stand-in, because the provider's own plugin is not installed. `secrets` are the names that the
    performer may ask for (the provider's key first), `origin` is its base URL, `rate_key` what the vendor counts together, `webhook`
    where this host takes its webhooks; `plugin` and
    `plugin_version` are the performer's distribution, `prepared_by` the preparer's.
    """

    ref: ModelRef
    info: ModelInfo
    mode: Mode
    handler: Handler
    preparer: Handler
    spec: HandlerSpec
    mapping: Mapped
    secrets: tuple[str, ...]
    origin: str
    rate_key: str
    plugin: str
    plugin_version: str
    cache_version: int
    prepared_by: str = ""
    batch: BatchLimits | None = None
    webhook: str = ""
    remote: bool = field(init=False)
    """True when a call is submitted, polled and collected."""
    finds_jobs: bool = field(init=False)
    """True when a job can be looked up whose receipt was lost."""

    def __post_init__(self) -> None:
        # looked at for every call, and slow on Python 3.11
        object.__setattr__(self, "remote", isinstance(self.handler, RemoteJobs))
        object.__setattr__(self, "finds_jobs", isinstance(self.handler, FindsJobs))

    @property
    def asker(self) -> str:
        """Who asks for secrets, in messages: the plugin, with the provider that borrows its wire."""
        borrowed = self.handler is self.preparer and ":" in self.info.wire
        return f"{self.plugin} (for {self.ref.provider})" if borrowed else self.plugin

    @property
    def simulated(self) -> bool:
        """True when nothing is called or paid: the result is made up."""
        return self.mode is Mode.MOCK or self.spec.simulates

    @property
    def namespace(self) -> str:
        """Where results are kept apart: `live`, `mock` or `mock-unchecked`."""
        if not self.simulated:
            return "live"
        return "mock" if self.mapping == "checked" else "mock-unchecked"

    def prepare(self, job: Job) -> ProviderRequest:
        """Map the job to the provider's request. Lets CallsheetError through; anything else becomes a PluginError."""
        try:
            request = self.preparer.prepare(job)
        except CallsheetError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {plain(error)}"
            message = f"{self.prepared_by} breaks while it prepares {job.id} for {self.ref}: {what}"
            raise PluginError(message, plugin=self.prepared_by) from error
        if not isinstance(request, ProviderRequest):
            what = f"gave a {type(request).__name__} and not a ProviderRequest"
            message = f"{self.prepared_by}: prepare of {job.id} for {self.ref} {what}"
            raise PluginError(message, plugin=self.prepared_by)
        return request


@dataclass(frozen=True, slots=True)
class _Performer:
    """A handler, the plugin it comes from, and whether another provider's row uses it (`wire = "provider:wire"`)."""

    handler: Handler
    spec: HandlerSpec
    plugin: FoundPlugin
    borrowed: bool = False


class Registry:
    """Resolves references to handlers, starts the handlers and closes them. Build `catalog` from `host.discovery`."""

    def __init__(
        self,
        catalog: Catalog,
        host: PluginHost,
        *,
        settings: Settings | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._catalog = catalog
        self._host = host
        self._settings = Settings() if settings is None else settings
        self._environ = os.environ if environ is None else environ
        self._bound: dict[Wanted, BoundHandler] = {}
        self._handlers: dict[tuple[int, str], Handler] = {}

    def resolve(self, ref: ModelRef, operation: Operation, mode: Mode = Mode.LIVE) -> BoundHandler:
        """Who runs this model; worked out once, from then on a dict look-up.

        Raises ConfigError for a missing plugin or model or another operation, PluginError for a broken plugin.
        """
        wanted = (ref, operation, mode)
        bound = self._bound.get(wanted)
        if bound is None:
            own = self._host.discovery.owner(ref.provider)
            stands_in = mode is Mode.MOCK and not (own is not None and own.usable and own.simulates)
            bound = self._mocked(ref, operation) if stands_in else self._live(ref, operation, mode)
            self._bound[wanted] = bound
        return bound

    def resolve_many(self, wanted: Iterable[Wanted]) -> dict[Wanted, BoundHandler]:
        """`resolve` for each (ref, operation, mode)."""
        return {each: self.resolve(*each) for each in wanted}

    def _live(self, ref: ModelRef, operation: Operation, mode: Mode) -> BoundHandler:
        info = self._info(ref, operation)
        performer = self._performer(ref, info)
        if not performer.spec.simulates:
            info = with_listed_price(info)
        return self._bind(ref, info, mode, performer, performer)

    def _mocked(self, ref: ModelRef, operation: Operation) -> BoundHandler:
        simulator = self._simulator()
        info = ModelInfo(provider=ref.provider, model=ref.model, operation=operation)
        live: _Performer | None = None
        try:
            info = self._info(ref, operation)
            live = self._performer(ref, info)
        except UnresolvedError:
            info = self._catalog.get(ref) or info
            if ref.environment != "local":  # live, it would be refused, so it is refused here too
                raise no_environment(ref) from None
        specs = [spec for spec in self._host.handlers_of(simulator.name) if spec.simulates]
        spec = choose_spec(specs, ref=ref, operation=operation, wire=info.wire, plugin=simulator.distribution)
        if spec is None:
            raise ConfigError(f"{simulator.label} cannot stand in for {ref}: it does not simulate {operation}")
        stand_in = _Performer(self._handler(spec, simulator), spec, simulator)
        return self._bind(ref, info, Mode.MOCK, stand_in, live or stand_in)

    def _bind(
        self, ref: ModelRef, info: ModelInfo, mode: Mode, performer: _Performer, preparer: _Performer
    ) -> BoundHandler:
        mapping: Mapped = (
            "unchecked" if preparer.spec.simulates and preparer.plugin.provider != ref.provider else "checked"
        )
        if not isinstance(performer.handler, (Invokes, RemoteJobs)):
            what = "has neither invoke nor submit, poll and collect"
            message = f"{performer.plugin.label}: the handler of {ref} ({type(performer.handler).__name__}) {what}"
            raise PluginError(message, plugin=performer.plugin.distribution)
        access = self._access(ref.provider, info, performer)
        return BoundHandler(
            ref=ref,
            info=info,
            mode=mode,
            handler=performer.handler,
            preparer=preparer.handler,
            spec=performer.spec,
            mapping=mapping,
            secrets=access.secrets,
            origin=access.origin,
            rate_key=access.rate_key,
            batch=access.batch,
            webhook=access.webhook,
            plugin=performer.plugin.distribution,
            plugin_version=performer.plugin.version,
            cache_version=preparer.spec.cache_version,
            prepared_by=preparer.plugin.distribution,
        )

    def _info(self, ref: ModelRef, operation: Operation) -> ModelInfo:
        info = self._catalog.get(ref)
        if info is None and ref.provider not in self._catalog.lent():
            plugin = self._plugin_of(ref.provider)
            info = next((each for each in self._host.models(ref.provider) if each.model == ref.model), None)
        if info is None:
            info = self._catalog.open_row(ref, operation)
        if info is None:
            hint = self._catalog.hint(ref)
            raise UnresolvedError(f"{plugin.label} has no model {ref.model!r} of {ref.provider}{hint}")
        if info.operation != operation:
            raise ConfigError(f"{ref} does {info.operation}, and not {operation}: choose another model or operation")
        return info

    def provider_handlers(self, provider: str) -> tuple[str, Access, list[Handler]]:
        """A provider's plugin, how it is reached, and all its handlers: for questions that belong to no model.

        Raises ConfigError for a missing plugin, PluginError for a broken one.
        """
        plugin = self._plugin_of(provider)
        specs = [spec for spec in self._host.handlers_of(plugin.name) if spec.provider in (provider, "*")]
        unnamed = ModelInfo(provider, "", Operation.TEXT_GENERATE)
        access = access_of(plugin, unnamed, self._settings, self._environ)
        return plugin.distribution, access, [self._handler(spec, plugin) for spec in specs]

    def operation_of(self, ref: ModelRef) -> Operation | None:
        """What the model does, by its row; without one, what its wire does, where that is one thing only."""
        row = self._catalog.get(ref)
        bare = self._catalog.open_row(ref, Operation.TEXT_GENERATE) if row is None else None
        if bare is None:
            return None if row is None else row.operation
        try:
            _, _, wire, specs = self._offer(ref, bare)
        except UnresolvedError:
            return None
        return sole_operation(specs, wire)

    def _offer(self, ref: ModelRef, info: ModelInfo) -> tuple[str, FoundPlugin, str, list[HandlerSpec]]:
        """Whose wire it is, the plugin, the wire's name there, and the handlers of that provider."""
        lender, colon, wire = info.wire.rpartition(":")
        provider = lender if colon else ref.provider
        try:
            plugin = self._plugin_of(provider)
        except UnresolvedError as error:
            if provider == ref.provider:
                raise
            raise UnresolvedError(f"{ref} needs the wire {info.wire}: {error}", missing=True) from None
        if colon and lender != ref.provider and (plugin.manifest is None or wire not in plugin.manifest.wires):
            exported = ", ".join(plugin.manifest.wires if plugin.manifest else ()) or "none"
            raise ConfigError(f"{ref}: {plugin.label} exports no wire {wire!r} (it exports: {exported})")
        specs = [spec for spec in self._host.handlers_of(plugin.name) if spec.provider in (provider, "*")]
        return provider, plugin, wire, specs

    def _performer(self, ref: ModelRef, info: ModelInfo) -> _Performer:
        provider, plugin, wire, specs = self._offer(ref, info)
        spec = choose_spec(
            specs,
            ref=ModelRef(provider, ref.model, ref.environment),
            operation=info.operation,
            wire=wire,
            plugin=plugin.distribution,
        )
        if spec is None:
            raise no_handler(ref, info, plugin, specs)
        borrowed = provider != ref.provider
        return _Performer(self._handler(spec, plugin, ref.provider if borrowed else ""), spec, plugin, borrowed)

    def _plugin_of(self, provider: str) -> FoundPlugin:
        if provider == AUTO:
            raise ConfigError(f"{AUTO}: stands for a choice among models, and here one has to be named")
        found = self._host.discovery.owner(provider)
        if found is not None and found.usable:
            return found
        if found is not None and found.problem:
            problem = f"the provider {provider!r} cannot be used: {found.label}: {found.problem}"
            raise ConfigError(problem, missing=True)
        if found is not None:
            raise UnresolvedError(f"the plugin of {provider!r} ({found.label}) is {found.skipped}", missing=True)
        raise UnresolvedError(self._catalog.unprovided(provider), missing=True)

    def _simulator(self) -> FoundPlugin:
        found = [plugin for plugin in self._host.discovery.plugins if plugin.usable and plugin.simulates]
        if not found:
            _, simulator = install_hints()
            mine = [p for p in self._host.discovery.plugins if normalised(p.distribution) == simulator]
            why = f" ({mine[0].label}: {mine[0].problem or mine[0].skipped})" if mine else ""
            raise ConfigError(f"mocked calls need a plugin that simulates{why}: pip install {simulator}", missing=True)
        if len(found) > 1:
            who = " and ".join(plugin.label for plugin in found)
            remedy = f"disable one with {DENY_VARIABLE}={normalised(found[1].distribution)}"
            raise ConfigError(f"{who} both want to stand in for mocked calls: {remedy}", missing=True)
        return found[0]

    def _handler(self, spec: HandlerSpec, plugin: FoundPlugin, borrower: str = "") -> Handler:
        # Who borrows a wire gets a handler of its own: clients and keys are never shared between two origins.
        key = (id(spec), borrower)
        if key not in self._handlers:
            try:
                handler = spec.factory()
            except CallsheetError:
                raise
            except Exception as error:
                what = f"{type(error).__name__}: {plain(error)}"
                message = f"{plugin.label} cannot make its handler for {spec.provider}:{spec.wire}: {what}"
                raise PluginError(message, plugin=plugin.distribution) from error
            if not callable(getattr(handler, "prepare", None)):
                message = f"{plugin.label}: the handler for {spec.provider}:{spec.wire} has no prepare(job)"
                raise PluginError(message, plugin=plugin.distribution)
            self._handlers[key] = handler
        return self._handlers[key]

    def _access(self, provider: str, info: ModelInfo, performer: _Performer) -> Access:
        if not performer.borrowed:
            return access_of(performer.plugin, info, self._settings, self._environ)
        owner = self._host.discovery.owner(provider)
        usable = owner if owner is not None and owner.usable else None
        return borrowed_access(provider, usable, performer.plugin, self._settings, self._environ)

    async def warm_start(
        self,
        bounds: Iterable[BoundHandler],
        *,
        secrets: Callable[[BoundHandler], SecretScope],
        log: BoundLogger,
        timeout: float,  # noqa: ASYNC109 - of each
    ) -> None:
        """Let the performers get ready, all at once, each in a thread of its own and within `timeout` seconds.

        `secrets` gives each its scope; `log` is that of the library. Raises the first failure: what the plugin raised if it is a CallsheetError, else
        a PluginError naming it, or ProviderTimeoutError (nothing was sent).
        """
        unique = {id(bound.handler): bound for bound in bounds}
        if not unique:
            return
        waiting = (self._start(bound, secrets(bound), log, timeout) for bound in unique.values())
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _start(self, bound: BoundHandler, secrets: SecretScope, log: BoundLogger, seconds: float) -> None:
        from callsheet.hookspecs import HandlerStart
        from callsheet.isolation import SecretsAtHome

        at_home = SecretsAtHome(secrets, asyncio.get_running_loop())
        own = log.bind(ref=str(bound.ref), plugin=bound.plugin)
        start = WarmStart(provider=bound.ref.provider, secrets=at_home, log=own, timeout=seconds)
        try:
            await self._host.warm_start(HandlerStart(bound.handler, start))
        except TimeoutError as error:
            what = f"{bound.plugin} {bound.plugin_version} was not ready for {bound.ref} within {seconds:g} s"
            raise ProviderTimeoutError(what, sent=Sent.NOT_SENT, ref=str(bound.ref)) from error
        except CallsheetError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {plain(error)}"
            message = f"{bound.plugin} {bound.plugin_version} cannot get ready for {bound.ref}: {what}"
            raise PluginError(message, plugin=bound.plugin) from error

    async def aclose(self, complain: Callable[[str], None]) -> None:
        """Close every handler that has `aclose`, once. `complain` hears which fails; the others are still closed."""
        handlers = list(self._handlers.values())
        self._handlers.clear()
        self._bound.clear()
        for handler in handlers:
            close = getattr(handler, "aclose", None)
            if close is not None:
                try:
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await close()
                except Exception:  # noqa: BLE001 - `complain` logs it
                    complain(f"{type(handler).__name__} cannot be closed")
