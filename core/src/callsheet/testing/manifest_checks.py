"""Checks of what a plugin declares: its manifest, its rows, what importing it costs, and who handles what."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from inspect import iscoroutinefunction

from callsheet.discovery import normalised
from callsheet.errors import CallsheetError
from callsheet.handler import Batches
from callsheet.model_schemas import input_schema
from callsheet.plugin_manifest import PLUGIN_API, PluginManifest, model_row
from callsheet.testing.child import loaded_by_import
from callsheet.testing.report import Finding, NotApplicableError
from callsheet.testing.subject import Subject

__all__ = [
    "check_capabilities",
    "check_handlers",
    "check_import",
    "check_manifest",
    "check_resolution",
    "check_rows",
]

_HEAVY = frozenset({"httpx2", "pydantic"})
_REMOTE = ("submit", "poll", "collect")
_ASYNC = ("invoke", *_REMOTE, "abort", "find", "submit_batch", "collect_batch", "warm_start", "aclose")


def check_manifest(subject: Subject) -> Iterator[Finding]:
    """It is found as users find it, and its plugin.toml is accepted."""
    found = subject.found
    if found is None:
        yield Finding(subject.name, "is no installed plugin: there is no entry point of it in the group `callsheet`")
    elif not found.usable:
        yield Finding(found.label, found.problem or found.skipped)
    elif found.manifest is not None:
        if found.manifest.api != PLUGIN_API:
            yield Finding(
                found.label, f"is written for api {found.manifest.api}, and this callsheet speaks {PLUGIN_API}"
            )
        if found.manifest.rows and "models" not in found.manifest.provides:
            yield Finding("plugin.toml", 'has model rows, and provides does not say so: provides = ["models"]')


def check_rows(subject: Subject) -> Iterator[Finding]:
    """Each row is valid, no model and no alias stands there twice, and the schemas in the package are valid."""
    plugin = subject.plugin
    manifest = plugin.manifest or PluginManifest()
    names: dict[str, list[str]] = defaultdict(list)
    for row in manifest.rows:
        try:
            info = model_row(row.values, plugin.provider, plugin.distribution, file=row.file)
        except CallsheetError as error:
            yield Finding("", str(error))
            continue
        for name in (info.model, *info.aliases):
            names[name].append(info.model)
        try:
            input_schema(info)
        except CallsheetError as error:
            yield Finding("", str(error))
    for name, models in names.items():
        if len(models) > 1:
            yield Finding(f"{plugin.provider}:{name}", f"names {len(models)} models: {', '.join(models)}")


def check_import(subject: Subject) -> Iterator[Finding]:
    """A fresh process imports the entry module: no SDK, no HTTP library, no pydantic, nothing on stdout."""
    plugin = subject.plugin
    told = loaded_by_import(plugin.module)
    if told["error"]:
        yield Finding(plugin.module, f"cannot be imported: {told['error']}")
    if told["printed"]:
        yield Finding(plugin.module, f"prints {told['printed']} bytes to stdout while it is imported")
    loaded = {name.partition(".")[0] for name in told["modules"]}
    for name in sorted(loaded & (_HEAVY | _required_modules(plugin.distribution))):
        yield Finding(plugin.module, f"imports {name} at once, before any of its models is called")


def _required_modules(distribution: str) -> set[str]:
    """The top-level modules of what a distribution requires, without callsheet."""
    import importlib_metadata

    lines = importlib_metadata.requires(distribution) or ()
    wanted = {normalised(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0]) for line in lines}
    tops = importlib_metadata.packages_distributions()
    return {top for top, owners in tops.items() if wanted & {normalised(o) for o in owners}} - {"callsheet"}


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
    manifest = plugin.manifest or PluginManifest()
    for spec in specs:
        if spec.simulates and not manifest.simulates:
            yield Finding(
                f"{spec.provider}:{spec.wire}", "simulates, and plugin.toml does not say so: simulates = true"
            )
    offered = {spec.wire for spec in specs}
    for wire in manifest.wires:
        if wire not in offered and "*" not in offered:
            yield Finding("plugin.toml", f"lends the wire {wire!r}, and no handler is registered for it")


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
    """What a handler has as methods is complete, async where it must be, and agrees with the manifest."""
    handlers = dict(_made_handlers(subject))
    if not handlers:
        raise NotApplicableError("no handler of the plugin can be made")
    for where, handler in handlers.items():
        yield from (Finding(where, what) for what in _methods(handler))
    manifest = subject.plugin.manifest or PluginManifest()
    limits = manifest.provider.batch if manifest.provider is not None else None
    able = [where for where, handler in handlers.items() if isinstance(handler, Batches)]
    if limits is not None and not able:
        yield Finding(
            "plugin.toml", "has batch limits in [provider], and no handler has submit_batch and collect_batch"
        )
    if able and limits is None:
        yield Finding(able[0], "sends batches, and plugin.toml does not say how large: [provider] batch = { … }")


def _made_handlers(subject: Subject) -> Iterator[tuple[str, object]]:
    """A handler of each spec, by wire and class. What the registry refuses (no invoke, half a job) is looked at, too."""
    try:
        specs = subject.host.handlers_of(subject.plugin.name)
    except CallsheetError:
        return
    for spec in specs:
        try:
            handler = spec.factory()
        except Exception:  # noqa: BLE001, S112 - whatever a plugin raises; the check `resolution` tells of it
            continue
        yield f"wire {spec.wire!r} ({type(handler).__name__})", handler


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
    yield from _kinds(handler)


def _kinds(handler: object) -> Iterator[str]:
    for name in _ASYNC:
        method = getattr(handler, name, None)
        if callable(method) and not iscoroutinefunction(method):
            yield f"{name} is no async function"
    if iscoroutinefunction(getattr(handler, "prepare", None)):
        yield "prepare is async: it is pure, and a plain function"
    if iscoroutinefunction(getattr(handler, "stream", None)):
        yield "stream is no async generator: write `async def stream` with `yield`"
