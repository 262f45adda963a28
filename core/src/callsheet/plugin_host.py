"""Plugins at work: each is imported when it is first needed, registered with pluggy, and called through typed wrappers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from functools import cache, cached_property, partial
from importlib import import_module
from inspect import isroutine
from io import TextIOBase
from typing import TYPE_CHECKING, Any, TypeVar, cast

from callsheet.discovery import Discovery, FoundPlugin
from callsheet.errors import MalformedOutputError, PluginError, Sent
from callsheet.plugin_faults import blamed, guarded, told, why_not
from callsheet.plugin_manifest import PluginManifest
from callsheet.secrets import SecretResolver
from callsheet.toml_tables import plain, quoted

if TYPE_CHECKING:
    import click
    import pluggy

    from callsheet.handler import HandlerSpec, Invokes
    from callsheet.hookspecs import AbortCall, HandlerStart, InvokeCall
    from callsheet.jobs import AbortOutcome, JobResult, Receipt
    from callsheet.middleware import Middleware
    from callsheet.models import ModelInfo
    from callsheet.storage import Event
    from callsheet.streams import StreamEvent

__all__ = ["Extra", "PluginHost"]

Extra = tuple[str, object, PluginManifest]
"""A plugin that the application hands over: its name, its module (or any object with hooks), its manifest."""

_PREFIX = "callsheet_"
_Item = TypeVar("_Item")


class PluginHost:
    """Imports plugins when they are needed and calls their hooks.

    `extra` are plugins which are already imported (embedding, tests). They take the place of installed ones of the same
    name or provider; `discovery` has them too, so build the catalog from it.
    """

    def __init__(self, discovery: Discovery, *, extra: Iterable[Extra] = ()) -> None:
        given = list(extra)
        self.discovery = discovery.embedding(
            FoundPlugin(name=name, module="", distribution=name, version="", manifest=manifest)
            for name, _, manifest in given
        )
        self._given = {name: module for name, module, _ in given}
        self._loaded: dict[str, object] = {}
        self._failed: dict[str, BaseException] = {}
        self._specs: dict[str, list[HandlerSpec]] = {}
        self._models: dict[str, list[ModelInfo]] = {}
        self._callers: dict[str, list[tuple[FoundPlugin, pluggy.HookCaller]]] = {}
        self._manager: pluggy.PluginManager | None = None
        self.printed: set[str] = set()
        """The plugins that wrote to stdout where only data belongs; it was sent to stderr."""

    def load(self, name: str) -> object:
        """The imported module of the plugin with this entry-point name, registered. Imports at the first call only.

        Raises PluginError, from the original cause, at this and every later call when the plugin cannot be used.
        """
        if name in self._loaded:
            return self._loaded[name]
        found = self.discovery.plugin(name)
        if found is None:
            raise PluginError(f"there is no plugin {quoted(name)}; `callsheet plugins list` shows what is installed")
        if not found.usable:
            raise PluginError(
                f"the plugin {name!r} ({found.label}) cannot be used: {why_not(found)}", plugin=found.distribution
            )
        if name not in self._failed:
            try:
                self._loaded[name] = module = self._import(found)
                return module
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - also sys.exit at import must not end the program
                self._failed[name] = error
        cause = self._failed[name]
        raise blamed(found, "cannot be loaded", cause) from cause

    def _import(self, found: FoundPlugin) -> object:
        manager = self._pluggy()
        with self._quiet(found):
            module = self._given[found.name] if found.name in self._given else import_module(found.module)
            try:
                manager.register(module, name=found.name)
                _check_hooks(module, manager)
            except BaseException:
                if manager.has_plugin(found.name):
                    manager.unregister(name=found.name)
                raise
        self._callers.clear()
        return module

    @contextmanager
    def _quiet(self, found: FoundPlugin) -> Iterator[None]:
        aside = _Aside()
        with redirect_stdout(aside):
            yield
        if aside.used:
            self.printed.add(found.name)

    def _pluggy(self) -> pluggy.PluginManager:
        if self._manager is None:
            import pluggy

            from callsheet import hookspecs

            self._manager = pluggy.PluginManager("callsheet")
            self._manager.add_hookspecs(hookspecs)
            self._manager.register(_core_hooks(), name="callsheet")
        return self._manager

    def open_kind(self, kind: str) -> list[PluginError]:
        """Load every plugin whose manifest `provides` this kind. Gives the errors of those that fail."""
        errors = []
        for found in self._providing(kind):
            try:
                self.load(found.name)
            except PluginError as error:
                errors.append(error)
        return errors

    def _providing(self, kind: str) -> list[FoundPlugin]:
        usable = (found for found in self.discovery.plugins if found.usable)
        return [found for found in usable if found.manifest is not None and kind in found.manifest.provides]

    def handlers(self, provider: str) -> list[HandlerSpec]:
        """What the plugin of this provider handles. Raises PluginError when there is no such plugin or it is broken."""
        found = self.discovery.owner(provider)
        if found is None:
            raise PluginError(f"no plugin provides {quoted(provider)}")
        return self.handlers_of(found.name)

    def handlers_of(self, name: str) -> list[HandlerSpec]:
        """What the plugin with this entry-point name handles; asked once. Raises PluginError."""
        if name not in self._specs:
            self._specs[name] = self._register_handlers(name)
        return list(self._specs[name])

    def _register_handlers(self, name: str) -> list[HandlerSpec]:
        from callsheet.handler import HandlerSpec

        self.load(name)
        found = self._found(name)
        specs = self._collect(found, "callsheet_register_handlers", HandlerSpec)
        for spec in specs:
            if spec.provider not in (found.provider, "*") and not spec.simulates:
                own = f"only for {found.provider!r} or '*'" if found.provider else "none: it has no [provider] table"
                raise PluginError(
                    f"{told(found)} registers a handler for {spec.provider!r}, but may {own}", plugin=found.distribution
                )
        return specs

    def models(self, provider: str) -> list[ModelInfo]:
        """The rows that this provider's plugin finds on the machine (`register_models`); asked once. Raises PluginError."""
        from callsheet.models import ModelInfo

        found = self.discovery.owner(provider)
        if found is None:
            return []
        if provider not in self._models:
            self.load(found.name)
            infos = self._collect(found, "callsheet_register_models", ModelInfo)
            for info in infos:
                if info.provider != provider:
                    what = f"{told(found)} registers the model {plain(info.name)}, but may only for {provider!r}"
                    raise PluginError(what, plugin=found.distribution)
            self._models[provider] = infos
        return list(self._models[provider])

    def secret_resolvers(self) -> list[tuple[FoundPlugin, SecretResolver]]:
        """What the loaded plugins look secrets up with (`open_kind("secrets")` loads them). Raises PluginError."""
        hook = "callsheet_register_secret_resolvers"
        owners = [owner for owner, _ in self._callers_of(hook)]
        return [(each, found) for each in owners for found in self._collect(each, hook, SecretResolver)]  # type: ignore[type-abstract]

    def _found(self, name: str) -> FoundPlugin:
        found = self.discovery.plugin(name)
        assert found is not None
        return found

    def _collect(self, found: FoundPlugin, hook: str, kind: type[_Item]) -> list[_Item]:
        items: list[_Item] = []
        for owner, caller in self._callers_of(hook):
            if owner.name == found.name:
                with guarded(found, f"fails in {hook}"), self._quiet(found):
                    items += [item for given in caller() for item in given]
        for item in items:
            if not isinstance(item, kind):
                raise PluginError(
                    f"{told(found)}: {hook} gave {_kind(item)} and not {kind.__name__}", plugin=found.distribution
                )
        return items

    def _callers_of(self, hook: str) -> list[tuple[FoundPlugin, pluggy.HookCaller]]:
        # One caller a plugin: with pluggy's common call, the first plugin which raises keeps the others from being called.
        if self._manager is None:
            return []
        if hook not in self._callers:
            manager = self._manager
            names = [impl.plugin_name for impl in getattr(manager.hook, hook).get_hookimpls()]
            plugins = [plugin for _, plugin in manager.list_name_plugin()]
            self._callers[hook] = [
                (found, manager.subset_hook_caller(hook, [p for p in plugins if p is not self._loaded.get(name)]))
                for name in names
                if (found := self.discovery.plugin(name)) is not None and name in self._loaded
            ]
        return self._callers[hook]

    @cached_property
    def middleware(self) -> tuple[Middleware, ...]:
        """What stands around live calls, outermost first; asked once. Raises PluginError: no guard is left out."""
        from callsheet.middleware import Middleware

        return tuple(self.registered("middleware", "callsheet_register_middleware", Middleware))  # type: ignore[type-abstract]

    def registered(self, kind: str, hook: str, item: type[_Item]) -> list[_Item]:
        """What the plugins that provide this kind give in a `register` hook. Raises PluginError."""
        providing = self._providing(kind)
        for found in providing:
            self.load(found.name)
        return [each for found in providing for each in self._collect(found, hook, item)]

    async def invoke(self, call: InvokeCall) -> JobResult | Receipt:
        """Perform one attempt: a plugin's `invoke` hook if one wants to, else the handler's `submit` or `invoke`.

        Lets through what the handler raises. Raises MalformedOutputError (sent: unknown) for an answer of another type.
        """
        return await _invoked(self._asked(call), call)

    def stream(self, call: InvokeCall) -> AsyncIterator[StreamEvent | Receipt] | Awaitable[JobResult | Receipt]:
        """Begin one streamed attempt: the handler's events, of which no hook hears.

        Or the answer to await, as from `invoke`, when a plugin's hook performs it or the handler has no `stream`.
        """
        waiting = self._asked(call)
        handler: Any = call.handler
        return handler.stream(call.request, call.context) if waiting is None else _invoked(waiting, call)

    def _asked(self, call: InvokeCall) -> object:
        asked = _core_hooks() if call.simulated else self._pluggy().hook
        return asked.callsheet_invoke(call=call)

    async def abort(self, call: AbortCall) -> AbortOutcome:
        """Stop a remote job; CLIENT_SIDE_ONLY when its handler cannot tell the provider. Lets through what is raised."""
        from callsheet.jobs import AbortOutcome

        asked = _core_hooks() if call.simulated else self._pluggy().hook
        waiting = asked.callsheet_abort(call=call)
        answer: AbortOutcome = await _answer(waiting, (AbortOutcome,), "abort", call.handler)
        return answer

    async def warm_start(self, start: HandlerStart) -> None:
        """Let the handler (if it warms up) and every loaded plugin with a `warm_start` hook get ready.

        Each of them, plain or async, runs in a thread and an event loop of its own and has `start.start.timeout`
        seconds: one that blocks for ever is left behind. Lets through what the handler raises, and TimeoutError; a
        hook that fails or takes too long is a PluginError that names its plugin.
        """
        from callsheet.handler import WarmStarts
        from callsheet.isolation import run_apart

        seconds = start.start.timeout
        if isinstance(start.handler, WarmStarts):
            await run_apart(partial(start.handler.warm_start, start.start), seconds=seconds)
        for found, caller in list(self._callers_of("callsheet_warm_start")):
            with guarded(found, "fails in callsheet_warm_start"):  # without stdout: other tasks run meanwhile
                try:
                    await run_apart(partial(_all_of, caller, start), seconds=seconds)
                except TimeoutError as error:
                    raise blamed(found, f"is not ready after {seconds:g} s of callsheet_warm_start", error) from error

    @property
    def listens(self) -> bool:
        """True when a loaded plugin hears events."""
        return bool(self._callers_of("callsheet_job_event"))

    def job_event(self, event: Event, complain: Callable[[str], None]) -> None:
        """Tell the loaded plugins what happened. `complain` hears which of them fails; the others still hear the event."""
        for found, caller in self._callers_of("callsheet_job_event"):
            try:
                caller(event=event)
            except Exception:  # noqa: BLE001 - `complain` logs it
                complain(f"{told(found)} fails in callsheet_job_event")

    def register_commands(self, name: str, cli: click.Group) -> None:
        """Let the plugin with this entry-point name add its commands to `cli`. Raises PluginError."""
        self.load(name)
        for found, caller in self._callers_of("callsheet_register_commands"):
            if found.name == name:
                with guarded(found, "fails in callsheet_register_commands"), self._quiet(found):
                    caller(cli=cli)


async def _all_of(caller: pluggy.HookCaller, start: HandlerStart) -> None:
    for waiting in caller(start=start):
        await waiting


class _Aside(TextIOBase):
    """Stands in for stdout while a plugin's code runs: passes on to stderr, and knows that it did."""

    used = False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.used = True
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@cache
def _core_hooks() -> Any:
    """The core's own implementations, which come last: they call the handler."""
    from callsheet.handler import AbortsRemoteJobs, RemoteJobs, Streams
    from callsheet.hookspecs import hookimpl
    from callsheet.jobs import AbortOutcome

    async def client_side_only() -> AbortOutcome:
        return AbortOutcome.CLIENT_SIDE_ONLY

    class CoreHooks:
        @hookimpl(trylast=True)
        def callsheet_invoke(self, call: InvokeCall) -> Awaitable[JobResult | Receipt] | None:
            if call.streaming and isinstance(call.handler, Streams):
                return None  # nobody wants to perform it instead: `PluginHost.stream` reads the handler's events
            if hasattr(call.handler, "submit") and isinstance(call.handler, RemoteJobs):  # `isinstance` alone is slow
                return call.handler.submit(call.request, call.context)
            if hasattr(call.handler, "invoke"):
                return cast("Invokes", call.handler).invoke(call.request, call.context)
            raise PluginError(f"{_kind(call.handler)} for {call.request.ref} has neither invoke nor submit")

        @hookimpl(trylast=True)
        def callsheet_abort(self, call: AbortCall) -> Awaitable[AbortOutcome]:
            if isinstance(call.handler, AbortsRemoteJobs):
                return call.handler.abort(call.receipt, call.context)
            return client_side_only()

    return CoreHooks()


async def _invoked(waiting: object, call: InvokeCall) -> JobResult | Receipt:
    from callsheet.jobs import JobResult, Receipt

    answer: JobResult | Receipt = await _answer(waiting, (JobResult, Receipt), "invoke", call.handler)
    return answer


async def _answer(waiting: object, wanted: tuple[type, ...], hook: str, handler: object) -> Any:
    answer = await waiting if isinstance(waiting, Awaitable) else waiting
    if isinstance(waiting, Awaitable) and isinstance(answer, wanted):
        return answer
    names = " or ".join(each.__name__ for each in wanted)
    what = f"gave {_kind(answer)} and not {names}" if isinstance(waiting, Awaitable) else "is not an async function"
    # None is not taken as "let it happen": by now the hook may have paid. Only a plain function can decline, by None.
    message = f"{hook} of {_kind(handler)}, or a plugin's hook in its place, {what}: what it did is not known"
    raise MalformedOutputError(message, sent=Sent.UNKNOWN, retryable=False)


def _check_hooks(module: object, manager: pluggy.PluginManager) -> None:
    from pluggy import PluginValidationError

    known = [name for name in vars(manager.hook) if name.startswith(_PREFIX)]
    try:
        manager.check_pending()
    except PluginValidationError as error:
        mine = [name for name in dir(module) if name.startswith(_PREFIX)]
        near = {
            name: get_close_matches(name, _specified(manager), 1) for name in mine if name not in _specified(manager)
        }
        hints = "".join(f"; did you mean {close[0]!r} for {name!r}?" for name, close in near.items() if close)
        raise PluginError(f"{plain(error)}{hints}") from error
    for name in known:
        function = getattr(module, name, None)
        if isroutine(function) and not hasattr(function, "callsheet_impl"):
            raise PluginError(f"{name} is not marked as a hook: write @hookimpl above it")


def _specified(manager: pluggy.PluginManager) -> list[str]:
    return [name for name, caller in vars(manager.hook).items() if name.startswith(_PREFIX) and caller.has_spec()]


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
