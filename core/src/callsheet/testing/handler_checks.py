"""Checks of the handlers: registered, made at no cost, with methods that are whole and can be called."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, iscoroutinefunction, signature

from callsheet import handler as ports
from callsheet.errors import CallsheetError
from callsheet.handler import Batches, HandlerSpec
from callsheet.testing.purity import watched
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["TABLE"]

_REMOTE = ("submit", "poll", "collect")
_ASYNC = ("invoke", *_REMOTE, "abort", "find", "submit_batch", "collect_batch", "find_batch", "warm_start", "aclose")
_PORTS = tuple(getattr(ports, name) for name in ports.__all__)


def check_handlers(subject: Subject) -> Iterator[Finding]:
    """Its hooks are known, and its handlers are for its own provider."""
    plugin = subject.plugin
    try:
        specs = subject.host.handlers_of(plugin.name)
        if plugin.provider:
            subject.host.models(plugin.provider)
    except CallsheetError as error:
        yield Finding("", str(error))
        return
    simulates = plugin.manifest is not None and plugin.manifest.simulates
    for spec in specs:
        if spec.simulates and not simulates:
            yield Finding(
                f"{spec.provider}:{spec.wire}", "simulates, and plugin.toml does not say so: simulates = true"
            )


def check_factories(subject: Subject) -> Iterator[Finding]:
    """Making a handler reaches nothing, and can be done again: `doctor`, mocks and tests do."""
    for spec in _specs(subject):
        where = f"wire {spec.wire!r}"
        made = []
        for network_only in (True, False):
            with watched(network_only=network_only) as acts:
                try:
                    made.append(type(spec.factory()))
                except Exception as error:  # noqa: BLE001 - whatever a plugin raises
                    yield Finding(where, f"its factory raises {type(error).__name__}: {error}")
                    break
            yield from (Finding(f"{where} ({place})", f"its factory {what}") for what, place in acts)
        if len(set(made)) > 1:
            yield Finding(where, f"its factory makes a {made[0].__name__}, and then a {made[1].__name__}")


def check_resolution(subject: Subject) -> Iterator[Finding]:
    """Each row has exactly one handler, which does the row's operation."""
    if not subject.rows:
        raise NotApplicableError("it has no model rows: with one, its handlers can be looked at")
    for info in subject.rows:
        try:
            subject.resolve(info)
        except CallsheetError as error:
            yield Finding(info.name, str(error))


def check_capabilities(subject: Subject) -> Iterator[Finding]:
    """What a handler has as methods is complete."""
    for where, handler in _handlers(subject):
        yield from (Finding(where, what) for what in _methods(handler))


def check_async(subject: Subject) -> Iterator[Finding]:
    """What talks with the vendor is async, what is pure is not."""
    for where, handler in _handlers(subject):
        yield from (Finding(where, what) for what in _kinds(handler))


def check_signatures(subject: Subject) -> Iterator[Finding]:
    """Each method can be called with what the core gives it."""
    for where, handler in _handlers(subject):
        for port in _PORTS:
            for name, wanted in vars(port).items():
                method = getattr(handler, name, None)
                if name.startswith("_") or not callable(wanted) or not callable(method):
                    continue
                given = [each for each in signature(wanted).parameters if each != "self"]
                problem = _wrong_signature(method, len(given))
                if problem:
                    yield Finding(where, f"{name}{signature(method)} {problem}: it gets ({', '.join(given)})")


def _wrong_signature(method: object, number: int) -> str:
    assert callable(method)
    taken = signature(method)
    try:
        taken.bind(*[None] * number)
    except TypeError as error:
        return f"cannot be called ({error})"
    extra = [each for each in list(taken.parameters.values())[number:] if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
    return f"has {extra[0].name}, which nobody gives" if extra else ""


def check_batch_limits(subject: Subject) -> Iterator[Finding]:
    """Handlers that send batches, and limits of a batch, go together."""
    manifest = subject.plugin.manifest
    limits = manifest.provider.batch if manifest is not None and manifest.provider is not None else None
    able = [where for where, handler in _handlers(subject) if isinstance(handler, Batches)]
    if limits is None and not able:
        raise NotApplicableError("it sends no batches")
    if limits is not None and not able:
        yield Finding(
            "plugin.toml", "has batch limits in [provider], and no handler has submit_batch and collect_batch"
        )
    if able and limits is None:
        yield Finding(able[0], "sends batches, and plugin.toml does not say how large: [provider] batch = { … }")


def _specs(subject: Subject) -> list[HandlerSpec]:
    try:
        specs = subject.host.handlers_of(subject.plugin.name)
    except CallsheetError:
        raise NotApplicableError("its handlers cannot be registered: see the check `handlers`") from None
    if not specs:
        raise NotApplicableError("it registers no handlers")
    return specs


def _handlers(subject: Subject) -> list[tuple[str, object]]:
    """A handler of each spec, by wire and class. What the registry refuses (no invoke, half a job) is looked at, too."""
    made: list[tuple[str, object]] = []
    for spec in _specs(subject):
        try:
            handler = spec.factory()
        except Exception:  # noqa: BLE001, S112 - whatever a plugin raises; the check `factories` tells of it
            continue
        made.append((f"wire {spec.wire!r} ({type(handler).__name__})", handler))
    if not made:
        raise NotApplicableError("no handler of the plugin can be made")
    return made


def _methods(handler: object) -> Iterator[str]:
    def has(name: str) -> bool:
        return callable(getattr(handler, name, None))

    batches = has("submit_batch") or has("collect_batch")
    remote = [name for name in _REMOTE if has(name)]
    lacking = [name for name in _REMOTE if not has(name)]
    if has("submit") and lacking:
        yield f"has {' and '.join(remote)}, and no {' and '.join(lacking)}: a remote job needs all three"
    elif "collect" in remote and lacking:
        yield f"has collect, and no {' and '.join(lacking)}"
    if not has("submit") and not has("invoke"):
        yield "has neither invoke nor submit, poll and collect"
    for name in ("abort", "find"):
        if has(name) and not has("submit") and not batches and not (name == "find" and has("invoke")):
            yield f"has {name}, and nothing that could be {name}ed: no submit"
    for name in ("submit_batch", "collect_batch", "batch_group"):
        if batches and not has(name):
            yield f"sends batches, and has no {name}"
    if batches and not has("poll"):
        yield "sends batches, and has no poll"


def _kinds(handler: object) -> Iterator[str]:
    for name in _ASYNC:
        method = getattr(handler, name, None)
        if callable(method) and not iscoroutinefunction(method):
            yield f"{name} is no async function"
    if iscoroutinefunction(getattr(handler, "prepare", None)):
        yield "prepare is async: it is pure, and a plain function"
    if iscoroutinefunction(getattr(handler, "stream", None)):
        yield "stream is no async generator: write `async def stream` with `yield`"


TABLE: tuple[CheckRow, ...] = (
    (
        check_handlers,
        Check(
            "handlers",
            "hooks are known, handlers are for the plugin's own provider",
            "spell the hooks as docs/reference/hooks.md does, and register handlers for your provider only",
        ),
    ),
    (
        check_factories,
        Check(
            "factories",
            "making a handler reaches nothing, and can be done twice",
            "open clients and read files in warm_start or in the first call; keep nothing between two handlers",
        ),
    ),
    (
        check_resolution,
        Check(
            "resolution",
            "each row has exactly one handler, which does its operation",
            "give the row a `wire` for which exactly one handler is registered with that operation",
        ),
    ),
    (
        check_capabilities,
        Check(
            "capabilities",
            "having a method is the capability: what it needs beside it is there",
            "write `invoke`, or all of `submit`, `poll` and `collect`; leave out what you cannot do",
        ),
    ),
    (
        check_async,
        Check(
            "async-methods",
            "methods that talk with the vendor are async, pure ones are not",
            "write `async def` for the first, `async def` with `yield` for stream, `def` for prepare",
        ),
    ),
    (
        check_signatures,
        Check(
            "signatures",
            "each method can be called with what the core gives it",
            "take the arguments that docs/reference/plugin-module.md lists; others need a default behind `*`",
        ),
    ),
    (
        check_batch_limits,
        Check(
            "batch-limits",
            "a plugin that sends batches says how large they may be",
            "write [provider] batch = { max_requests = …, max_bytes = … }, or leave out submit_batch",
        ),
    ),
)
