"""The plugin that is checked: found as users find it, with its rows and who handles each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from callsheet.catalog import Catalog
from callsheet.discovery import Discovery, FoundPlugin, discover, normalised
from callsheet.errors import CallsheetError
from callsheet.jobs import Job, ProviderRequest
from callsheet.models import Mode, ModelInfo, ModelRef
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import model_row
from callsheet.registry import BoundHandler, Registry
from callsheet.testing.child import loaded_by_import
from callsheet.testing.report import Check, Finding, NotApplicableError, Outcome
from callsheet.testing.samples import Samples, sample_job
from callsheet.testing.server import LoopbackServer

__all__ = ["CheckRow", "Look", "Subject"]


@dataclass
class Subject:
    """`name` is the plugin's package, entry point or distribution; `samples` and `streams` are what its author adds."""

    name: str
    samples: Samples = field(default_factory=dict)
    streams: Mapping[str, bytes] = field(default_factory=dict)
    refuse: Mapping[str, str] = field(default_factory=dict)
    observed: list[Any] | None = None
    """What came of the faulty replies: many checks look at it."""
    told: list[Outcome] = field(default_factory=list)
    """The failures that tests of a class have shown: what follows from one of them is told in a line."""
    exercised: set[str] = field(default_factory=set)
    """The operations that gave a result against the plugin's counterpart: live checks add to it, and the tier is from it."""

    @cached_property
    def discovery(self) -> Discovery:
        """All installed plugins, whatever the environment's variables allow or deny."""
        return discover(environ={"CALLSHEET_NO_CACHE": "1"})

    @cached_property
    def found(self) -> FoundPlugin | None:
        """The plugin, or None when it is not installed."""
        named = [p for p in self.discovery.plugins if self.name in (p.module, p.name)]
        named += [p for p in self.discovery.plugins if normalised(p.distribution) == normalised(self.name)]
        return named[0] if named else None

    @property
    def plugin(self) -> FoundPlugin:
        """The plugin. Raises NotApplicableError when there is none that could be looked at."""
        if self.found is None or not self.found.usable:
            raise NotApplicableError("the plugin cannot be used: see the check `manifest`")
        return self.found

    @cached_property
    def all_samples(self) -> Samples:
        """The samples in plugin.toml, and for each model and wire those that were given on top."""
        manifest = self.found.manifest if self.found is not None else None
        own: Samples = manifest.samples if manifest is not None else {}
        return {name: {**own.get(name, {}), **self.samples.get(name, {})} for name in (*own, *self.samples)}

    @property
    def refusals(self) -> Mapping[str, str]:
        """The reasons, by check id, in plugin.toml and those that were given."""
        manifest = self.found.manifest if self.found is not None else None
        return {**(manifest.refuse if manifest is not None else {}), **self.refuse}

    @cached_property
    def counterpart(self) -> Callable[..., LoopbackServer]:
        """The class of the server that plays its vendor. Raises NotApplicableError when the plugin has none."""
        manifest = self.plugin.manifest
        if manifest is None or not manifest.loopback:
            raise NotApplicableError(
                'plugin.toml names no counterpart of the vendor: loopback = "package.testing:Server"'
            )
        module, _, name = manifest.loopback.partition(":")
        try:
            found = getattr(import_module(module), name)
        except Exception as error:
            raise NotApplicableError(f"{manifest.loopback} cannot be imported: see the check `loopback`") from error
        if not (isinstance(found, type) and issubclass(found, LoopbackServer)):
            raise NotApplicableError(f"{manifest.loopback} is no LoopbackServer: see the check `loopback`")
        return found

    @cached_property
    def imported(self) -> dict[str, Any]:
        """What importing it does, in a process of its own."""
        return loaded_by_import(self.plugin.module)

    @cached_property
    def host(self) -> PluginHost:
        """The host that loads it."""
        return PluginHost(self.discovery)

    @cached_property
    def registry(self) -> Registry:
        """Who handles its models."""
        return Registry(Catalog(self.host.discovery), self.host, environ={})

    @cached_property
    def rows(self) -> list[ModelInfo]:
        """Its rows that are valid, once each."""
        manifest = self.plugin.manifest
        rows: dict[str, ModelInfo] = {}
        for row in manifest.rows if manifest is not None else ():
            try:
                info = model_row(row.values, self.plugin.provider, self.plugin.distribution, file=row.file)
            except CallsheetError:
                continue
            rows.setdefault(info.model, info)
        return list(rows.values())

    @cached_property
    def bound(self) -> list[BoundHandler]:
        """The rows that resolve, each with its handler. Raises NotApplicableError when there are none."""
        found = []
        for info in self.rows:
            try:
                found.append(self.resolve(info))
            except CallsheetError:
                continue
        if not found:
            raise NotApplicableError("no row of the plugin resolves to a handler")
        return found

    @property
    def wires(self) -> list[BoundHandler]:
        """One row for each handler and operation: what is the same for all its rows is looked at once."""
        unique: dict[tuple[int, str], BoundHandler] = {}
        for bound in self.bound:
            unique.setdefault((id(bound.handler), bound.info.operation), bound)
        return list(unique.values())

    def resolve(self, info: ModelInfo) -> BoundHandler:
        """Who handles a row. Raises as the registry does."""
        return self.registry.resolve(ModelRef(info.provider, info.model), info.operation, Mode.LIVE)

    def job(self, bound: BoundHandler, **more: object) -> Job:
        """A sample job of this model."""
        return sample_job(bound.info, self.all_samples, more)

    def request(self, bound: BoundHandler, **more: object) -> ProviderRequest:
        """Its request. Lets through what `prepare` raises."""
        return bound.preparer.prepare(self.job(bound, **more))


Look = Callable[[Subject], Iterator[Finding]]
"""Carries out one check: what it finds; NotApplicableError says that there is nothing to look at, and why."""
CheckRow = tuple[Look, Check]
"""One row of a module's `TABLE`; `callsheet.testing.conformance` puts the tables together."""
