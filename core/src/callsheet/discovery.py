"""Which plugins are installed: found by their metadata and their `plugin.toml`, without importing any of their code."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from callsheet.discovery_cache import DiscoveryCache, Entry
from callsheet.errors import PluginError
from callsheet.plugin_manifest import MANIFEST_NAME, PluginManifest
from callsheet.toml_tables import plain, quoted

__all__ = ["ALLOW_VARIABLE", "DENY_VARIABLE", "GROUP", "Discovery", "FoundPlugin", "discover", "normalised"]

GROUP = "callsheet"
ALLOW_VARIABLE = "CALLSHEET_PLUGINS"
DENY_VARIABLE = "CALLSHEET_PLUGINS_DISABLED"


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """An installed plugin; nothing of it was imported.

    `name` is its entry point's, `module` the package to import, `root` that package's folder. `problem` says why it
    cannot be used, `skipped` why it shall not be; `manifest` is None in both cases, unless it was read before.
    """

    name: str
    module: str
    distribution: str
    version: str
    root: Path | None = None
    manifest: PluginManifest | None = None
    problem: str = ""
    skipped: str = ""

    @property
    def usable(self) -> bool:
        """True when it may be imported."""
        return self.manifest is not None and not self.problem and not self.skipped

    @property
    def provider(self) -> str:
        """The provider it owns, empty when it has none or its manifest was not read."""
        return self.manifest.provider.name if self.manifest and self.manifest.provider else ""

    @property
    def simulates(self) -> bool:
        """True when its calls are made up, also those that nobody asked to mock."""
        return self.manifest is not None and self.manifest.simulates

    @property
    def label(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Discovery:
    """All plugins found, in the order of sys.path, and a line for every problem (also for those of `plugins`)."""

    plugins: tuple[FoundPlugin, ...] = ()
    problems: tuple[str, ...] = ()

    def plugin(self, name: str) -> FoundPlugin | None:
        """The plugin with this entry-point name; a usable one before others."""
        named = [found for found in self.plugins if found.name == name]
        return next((found for found in named if found.usable), named[0] if named else None)

    def owner(self, provider: str) -> FoundPlugin | None:
        """The plugin of this provider; one that cannot be used only when there is no other."""
        owners = [found for found in self.plugins if found.provider == provider]
        owners += [found for found in self.plugins if found.manifest is None and found.name == provider]
        return next((found for found in owners if found.usable), owners[0] if owners else None)

    def embedding(self, extra: Iterable[FoundPlugin]) -> Discovery:
        """With plugins that the application hands over; they take the place of installed ones of the same name or provider."""
        given = tuple(extra)
        names = {found.name for found in given}
        providers = {found.provider for found in given if found.provider}
        kept = tuple(found for found in self.plugins if found.name not in names and found.provider not in providers)
        return Discovery(kept + given, self.problems)


def normalised(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def discover(
    *,
    allow: Iterable[str] | None = None,
    deny: Iterable[str] = (),
    pins: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Discovery:
    """Find the installed plugins. Raises nothing: what is wrong with one of them is a line in `problems`.

    `allow` (None: all) and `deny` name entry points or distributions; the environment variables CALLSHEET_PLUGINS and
    CALLSHEET_PLUGINS_DISABLED (comma lists; an empty CALLSHEET_PLUGINS allows none) narrow them further. What is not
    allowed is not even looked for on disk. `pins` says which distribution owns a provider that several claim. What did
    not change since the last time comes out of a cache, unless CALLSHEET_NO_CACHE is set.
    """
    variables = os.environ if environ is None else environ
    cache = DiscoveryCache.open(variables)
    entries, unreadable = _installed(cache)
    problems = list(unreadable)
    rules = _Rules.of(allow, deny, variables)
    found = [_inspect(entry, rules.against(entry), cache) for entry in entries]
    cache.save()
    settled = _without_clashes(_pinned(found, pins or {}))
    problems += [f"{plugin.name} ({plugin.label}): {plugin.problem}" for plugin in settled if plugin.problem]
    return Discovery(tuple(settled), tuple(problems))


def _installed(cache: DiscoveryCache) -> tuple[list[Entry], list[str]]:
    """The entry points of all distributions, and a line for each distribution that cannot be read."""
    known = cache.entries()
    if known is None:
        problems: list[str] = []
        known = list(_entries(problems)), problems
        cache.keep_entries(*known)
    return known


def _entries(problems: list[str]) -> Iterator[Entry]:
    # The backport and not the standard library: that one loses plugins behind an empty dist-info of an unclean upgrade.
    import importlib_metadata

    seen: set[str] = set()
    remaining = iter(importlib_metadata.distributions())
    while True:
        place = "sys.path"
        try:
            distribution = next(remaining, None)
            if distribution is None:
                return
            place = plain(distribution.locate_file(""))
            text = distribution.read_text("entry_points.txt")
            if not text or f"[{GROUP}]" not in text:
                continue
            name = distribution.metadata["Name"]
            # A later copy on sys.path is not what Python would import, even when the first one is no plugin.
            first = importlib_metadata.distribution(name)
            if normalised(name) in seen or first.locate_file("") != distribution.locate_file(""):
                continue
            version = distribution.version
            entries = [Entry(e.name, e.value, name, version) for e in distribution.entry_points if e.group == GROUP]
        except Exception as error:  # noqa: BLE001 - any broken distribution on the machine may come by here
            problems.append(
                f"a distribution in {place} has unreadable metadata: {type(error).__name__}: {plain(error)}"
            )
            continue
        seen.add(normalised(name))
        yield from entries


class _Rules(NamedTuple):
    allow: tuple[tuple[frozenset[str], str], ...]
    deny: tuple[tuple[frozenset[str], str], ...]

    @classmethod
    def of(cls, allow: Iterable[str] | None, deny: Iterable[str], environ: Mapping[str, str]) -> _Rules:
        allowed = [] if allow is None else [(_names(allow), "[plugins] allow")]
        if ALLOW_VARIABLE in environ:
            allowed.append((_names(environ[ALLOW_VARIABLE].split(",")), ALLOW_VARIABLE))
        denied = [(_names(deny), "[plugins] deny"), (_names(environ.get(DENY_VARIABLE, "").split(",")), DENY_VARIABLE)]
        return cls(tuple(allowed), tuple(denied))

    def against(self, entry: Entry) -> str:
        """Why this entry is not to be used, or the empty text."""
        own = {normalised(entry.name), normalised(entry.distribution)}
        for names, source in self.deny:
            if own & names:
                return f"disabled by {source}"
        for names, source in self.allow:
            if not own & names:
                return f"not among those that {source} allows"
        return ""


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(normalised(name) for name in names if name.strip())


def _inspect(entry: Entry, skipped: str, cache: DiscoveryCache) -> FoundPlugin:
    found = FoundPlugin(plain(entry.name), plain(entry.value), plain(entry.distribution), plain(entry.version))
    if skipped:
        return replace(found, skipped=skipped)
    for name in (entry.name, entry.distribution):
        if not name.isprintable() or not name.strip():
            return replace(found, problem="its name has control characters or is empty: do not trust it, uninstall it")
    try:
        root = _package_root(entry)
        manifest = cache.manifest(entry, root)
        if manifest is None:
            manifest, top = PluginManifest.read(root, found.distribution)
            cache.keep_manifest(entry, root, manifest, top)
        return replace(found, root=root, manifest=manifest)
    except PluginError as error:
        return replace(found, problem=str(error))
    except Exception as error:  # noqa: BLE001 - import finders of other packages and odd file systems raise anything
        return replace(found, problem=f"cannot be looked at: {type(error).__name__}: {plain(error)}")


def _package_root(entry: Entry) -> Path:
    module = entry.value.strip()
    if not module.isidentifier():
        remedy = f'write {entry.name} = "{re.split(r"[.:]", module)[0]}" and put {MANIFEST_NAME} beside that package\'s __init__.py'
        raise PluginError(f"its entry point {quoted(module)} is not a top-level package: {plain(remedy)}")
    # For a top-level name this asks the import system where the package lies, and runs nothing of it.
    spec = find_spec(module)
    if spec is None:
        raise PluginError(
            f"its package {module!r} is not there: reinstall it with pip install --force-reinstall {plain(entry.distribution)}"
        )
    if not spec.submodule_search_locations or spec.origin is None:
        raise PluginError(f"{module!r} must be a package, a folder with __init__.py and {MANIFEST_NAME}")
    return Path(spec.origin).parent


def _pinned(plugins: list[FoundPlugin], pins: Mapping[str, str]) -> list[FoundPlugin]:
    owners: dict[str, set[str]] = defaultdict(set)
    for found in plugins:
        if found.usable and found.provider in pins:
            owners[found.provider].add(normalised(found.distribution))

    def settle(found: FoundPlugin) -> FoundPlugin:
        if not found.usable or found.provider not in pins:
            return found
        pin = normalised(pins[found.provider])
        if pin == normalised(found.distribution):
            return found
        what = f"the provider {found.provider!r} is pinned to {plain(pins[found.provider])}"
        if pin in owners[found.provider]:
            return replace(found, skipped=what)
        return replace(found, problem=f"{what}, which is not installed: install it, or change [plugins.pins]")

    return [settle(found) for found in plugins]


def _without_clashes(plugins: list[FoundPlugin]) -> list[FoundPlugin]:
    claims: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, found in enumerate(plugins):
        if found.usable:
            claims["plugin", found.name].append(index)
            if found.provider:
                claims["provider", found.provider].append(index)
    settled = list(plugins)
    for (kind, name), indices in claims.items():
        if len(indices) > 1:
            problem = _clash(kind, name, [plugins[index] for index in indices])
            for index in indices:
                settled[index] = replace(settled[index], problem=settled[index].problem or problem)
    return settled


def _clash(kind: str, name: str, owners: list[FoundPlugin]) -> str:
    one, other = owners[0], owners[1]
    who = " and ".join(owner.label for owner in owners)
    deny = f"disable one with {DENY_VARIABLE}={normalised(other.distribution)} or [plugins] deny"
    pin = f', or pin it: [plugins.pins] {name} = "{one.distribution}"'
    same = one.provider and one.provider == other.provider
    return f"the {kind} {name!r} is claimed by {who}; none of them is used: {deny}{pin if same else ''}"
