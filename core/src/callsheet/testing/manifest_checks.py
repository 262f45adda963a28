"""Checks of what a plugin says of itself: its distribution and its plugin.toml, but for the model rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import click

from callsheet.discovery import normalised
from callsheet.errors import CallsheetError
from callsheet.plugin_manifest import PLUGIN_API, PluginManifest, ProviderTable
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.subject import CheckRow, Subject
from callsheet.toml_tables import url_problem

__all__ = ["TABLE"]

_GENERIC = frozenset(
    {"API_KEY", "APIKEY", "API_TOKEN", "ACCESS_TOKEN", "AUTH_TOKEN", "TOKEN", "KEY", "SECRET", "PASSWORD"}
)
_HOOKS: Mapping[str, tuple[str, ...]] = {
    "commands": ("callsheet_register_commands",),
    "events": ("callsheet_job_event", "callsheet_register_observers"),
    "secrets": ("callsheet_register_secret_resolvers",),
    "middleware": ("callsheet_register_middleware",),
    "selectors": ("callsheet_register_selectors",),
    **{kind: (f"callsheet_register_{kind}",) for kind in ("sessions", "stores", "engines")},
}


def check_manifest(subject: Subject) -> Iterator[Finding]:
    """It is found as users find it, and its plugin.toml is accepted."""
    found = subject.found
    if found is None:
        yield Finding(subject.name, "is no installed plugin: there is no entry point of it in the group `callsheet`")
    elif not found.usable:
        yield Finding(found.label, found.problem or found.skipped)
    elif found.manifest is not None and found.manifest.api != PLUGIN_API:
        yield Finding(found.label, f"is written for api {found.manifest.api}, and this callsheet speaks {PLUGIN_API}")


def check_dependency(subject: Subject) -> Iterator[Finding]:
    """Who installs the plugin gets a callsheet that it works with."""
    import importlib_metadata

    plugin = subject.plugin
    lines = importlib_metadata.requires(plugin.distribution) or []
    own = [line for line in lines if normalised(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0]) == "callsheet"]
    if not own:
        yield Finding(plugin.distribution, "does not require callsheet")
    elif not any(sign in own[0] for sign in (">", "~=", "==")):
        yield Finding(plugin.distribution, f"requires any {own[0]!r}: say from which version on")


def _manifest(subject: Subject) -> PluginManifest:
    return subject.plugin.manifest or PluginManifest()


def _provider(subject: Subject) -> ProviderTable:
    provider = _manifest(subject).provider
    if provider is None:
        raise NotApplicableError("it has no provider")
    return provider


def _reaching(subject: Subject) -> ProviderTable:
    provider = _provider(subject)
    if _manifest(subject).simulates:
        raise NotApplicableError("it simulates: it reaches no host")
    return provider


def check_docs(subject: Subject) -> Iterator[Finding]:
    """Users are led to a page and see a name."""
    provider = _provider(subject)
    if not provider.title:
        yield Finding("plugin.toml [provider]", "has no title")
    problem = url_problem(provider.docs_url) if provider.docs_url else "is missing"
    if problem or not provider.docs_url.startswith("https://"):
        yield Finding("plugin.toml [provider]", f"docs_url {problem or 'must begin with https://'}")


def check_origin(subject: Subject) -> Iterator[Finding]:
    """The key goes to one place, encrypted."""
    provider = _reaching(subject)
    if provider.secrets and not provider.origin:
        yield Finding("plugin.toml [provider]", "has secrets, and no origin that may see them")
    elif not provider.origin:
        raise NotApplicableError("it has neither origin nor secrets: it reaches no host")
    elif not provider.origin.startswith("https://"):
        yield Finding("plugin.toml [provider]", f"origin is {provider.origin}, and not https://")


def check_origin_override(subject: Subject) -> Iterator[Finding]:
    """Who has a gateway or a test server names it in one variable."""
    provider = _reaching(subject)
    if not provider.origin:
        raise NotApplicableError("it has no origin")
    if not provider.origin_env:
        yield Finding("plugin.toml [provider]", "has an origin, and no origin_env which overrides it")
    elif provider.origin_env in provider.secrets:
        yield Finding("plugin.toml [provider]", f"{provider.origin_env} is both origin_env and a secret")


def check_secrets(subject: Subject) -> Iterator[Finding]:
    """A variable with a common name holds the key of another vendor."""
    provider = _provider(subject)
    if not provider.secrets:
        raise NotApplicableError("it declares no secrets")
    for name in provider.secrets:
        if name in _GENERIC:
            yield Finding("plugin.toml [provider]", f"the secret {name} does not say whose it is")
    for name in {each for each in provider.secrets if provider.secrets.count(each) > 1}:
        yield Finding("plugin.toml [provider]", f"declares the secret {name} twice")


def check_provides(subject: Subject) -> Iterator[Finding]:
    """What `provides` names is there, and what is there is named: nothing else is loaded for it."""
    plugin, manifest = subject.plugin, _manifest(subject)
    try:
        module = subject.host.load(plugin.name)
    except CallsheetError as error:
        raise NotApplicableError("it cannot be loaded: see the check `handlers`") from error
    models = bool(manifest.rows) or hasattr(module, "callsheet_register_models")
    if models and "models" not in manifest.provides:
        yield Finding("plugin.toml", 'has models, and provides does not say so: provides = ["models"]')
    if not models and "models" in manifest.provides:
        yield Finding("plugin.toml", "provides models, and there is no row and no callsheet_register_models")
    for kind, hooks in _HOOKS.items():
        there = any(hasattr(module, hook) for hook in hooks)
        if there and kind not in manifest.provides:
            yield Finding("plugin.toml", f"has {' or '.join(hooks)}, and provides does not name {kind!r}")
        if not there and kind in manifest.provides:
            yield Finding("plugin.toml", f"provides {kind}, and there is no {' or '.join(hooks)}")


def check_commands(subject: Subject) -> Iterator[Finding]:
    """Each declared command is registered, and each registered one declared."""
    declared = set(_manifest(subject).commands)
    collected = click.Group()
    try:
        subject.host.register_commands(subject.plugin.name, collected)
    except CallsheetError as error:
        yield Finding("", str(error))
        return
    if not declared and not collected.commands:
        raise NotApplicableError("it adds no commands")
    for name in sorted(declared.difference(collected.commands)):
        yield Finding("plugin.toml", f"declares the command {name!r}, and it is not registered")
    for name in sorted(set(collected.commands) - declared):
        yield Finding("plugin.toml", f"does not declare the command {name!r}, which is registered: nobody can call it")


def check_wires(subject: Subject) -> Iterator[Finding]:
    """A wire that is lent to other providers is one that a handler is registered for."""
    wires = _manifest(subject).wires
    if not wires:
        raise NotApplicableError("it lends no wires")
    try:
        offered = {spec.wire for spec in subject.host.handlers_of(subject.plugin.name)}
    except CallsheetError as error:
        raise NotApplicableError("its handlers cannot be registered: see the check `handlers`") from error
    for wire in wires:
        if wire not in offered and "*" not in offered:
            yield Finding("plugin.toml", f"lends the wire {wire!r}, and no handler is registered for it")


def check_loopback(subject: Subject) -> Iterator[Finding]:
    """The counterpart can be imported and made with a key, and nothing of the plugin imports it."""
    loopback = _manifest(subject).loopback
    if not loopback:
        raise NotApplicableError("plugin.toml names no counterpart of the vendor")
    try:
        server = subject.counterpart(key="a-key-of-the-checks")
    except NotApplicableError as error:
        cause = error.__cause__
        yield Finding(
            loopback, f"cannot be imported: {type(cause).__name__}: {cause}" if cause else "is no LoopbackServer"
        )
        return
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        yield Finding(loopback, f"cannot be made with key=: {type(error).__name__}: {error}")
        return
    with server:
        if not isinstance(server.running, list) or not isinstance(server.paid, list):
            yield Finding(loopback, "`running` and `paid` are lists")
    module = loopback.partition(":")[0]
    if module in subject.imported["modules"]:
        yield Finding(subject.plugin.module, f"imports {module}: only tests and checks do")


TABLE: tuple[CheckRow, ...] = (
    (
        check_manifest,
        Check(
            "manifest",
            "the plugin is found, and its plugin.toml is valid",
            "put plugin.toml into the package data and name the package in the entry-point group `callsheet`",
        ),
    ),
    (
        check_dependency,
        Check(
            "dependency",
            "the distribution requires callsheet, from some version on",
            'write dependencies = ["callsheet>=…"] in pyproject.toml',
        ),
    ),
    (check_docs, Check("docs", "the provider has a title and a page", "write title and docs_url into [provider]")),
    (
        check_origin,
        Check("origin", "the key goes to one origin, by https", 'write origin = "https://…" into [provider]'),
    ),
    (
        check_origin_override,
        Check(
            "origin-override", "a variable overrides the origin", 'write origin_env = "ACME_BASE_URL" into [provider]'
        ),
    ),
    (
        check_secrets,
        Check("secret-names", "the names of secrets say whose they are", 'write secrets = ["ACME_API_KEY"]'),
    ),
    (
        check_provides,
        Check(
            "provides",
            "`provides` names what the plugin has hooks for, and nothing else",
            "name in `provides` what the plugin has; leave out the rest",
        ),
    ),
    (
        check_commands,
        Check("commands", "declared commands are registered, and registered ones declared", "correct `commands`"),
    ),
    (check_wires, Check("wires", "a lent wire has a handler", "correct `wires`, or register a handler for the wire")),
    (
        check_loopback,
        Check(
            "loopback",
            "the vendor's counterpart can be made with a key, and is imported by nothing else",
            'name a LoopbackServer: loopback = "callsheet_acme.testing:AcmeServer", with `key` as an argument',
        ),
    ),
)
