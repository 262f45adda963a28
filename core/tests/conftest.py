"""Fake plugins: real distributions in a temporary folder on sys.path, and plugins that are plain objects."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from callsheet.catalog import Catalog
from callsheet.discovery import Discovery, discover
from callsheet.plugin import HandlerSpec, Job, JobResult, ProviderRequest, TextArtifact, hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.registry import Registry
from callsheet.settings import Settings

REAL_SIMULATOR = "callsheet-mock"


@dataclass
class Site:
    """A folder of installed distributions, in front on sys.path."""

    folder: Path
    packages: list[str] = field(default_factory=list)

    def install(
        self,
        name: str,
        *,
        toml: str | None = None,
        code: str = "",
        entry: str | None = None,
        entry_name: str | None = None,
        version: str = "1.0",
        models: Mapping[str, str] | None = None,
        package: str | None = None,
    ) -> Path:
        """Write a distribution with one plugin package, and give the package's folder."""
        package = package or name.replace("-", "_").replace(".", "_")
        root = self.folder / package
        (root / "models").mkdir(parents=True)
        (root / "__init__.py").write_text(code, encoding="utf-8")
        if toml is not None:
            (root / "plugin.toml").write_text(toml, encoding="utf-8")
        for file, text in (models or {}).items():
            (root / "models" / file).write_text(text, encoding="utf-8")
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        line = f"{entry_name or name} = {package if entry is None else entry}"
        (info / "entry_points.txt").write_text(f"[callsheet]\n{line}\n", encoding="utf-8")
        (info / "RECORD").write_text("", encoding="utf-8")
        self.packages.append(package)
        importlib.invalidate_caches()
        return root

    def discover(self, *, deny: Iterable[str] = (), **options: object) -> Discovery:
        """Discovery without the real simulator of the workspace and without the environment's variables."""
        options.setdefault("environ", {})
        return discover(deny={REAL_SIMULATOR, *deny}, **options)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder for distributions on sys.path; what tests import from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = Site(folder)
    yield made
    for module in [m for m in sys.modules if m.partition(".")[0] in made.packages]:
        del sys.modules[module]
    importlib.invalidate_caches()


class EchoHandler:
    """Maps a job to a body that says who mapped it, and answers with it."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name
        self.closed = 0

    def prepare(self, job: Job) -> ProviderRequest:
        """A request that names this handler."""
        return ProviderRequest(ref=job.ref, operation=job.operation, body={"mapped_by": self.name}, expects=())

    async def invoke(self, request: ProviderRequest, context: object) -> JobResult:
        """The body as text."""
        return JobResult((TextArtifact(f"{self.name}:{request.body}"),))

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


class PluginOf:
    """A plugin object which registers the given specs."""

    def __init__(self, *specs: HandlerSpec) -> None:
        self.specs = specs
        self.asked = 0

    @hookimpl
    def callsheet_register_handlers(self) -> Iterable[HandlerSpec]:
        """The specs."""
        self.asked += 1
        return self.specs


def manifest(provider: str, *rows: Mapping[str, object], top: Mapping[str, object] | None = None, **table: object):
    """A checked manifest of a provider with the given rows; `table` goes into [provider], `top` above it."""
    data = {"api": 1, "provider": {"name": provider, **table}, "models": list(rows), **(top or {})}
    return PluginManifest.parse(data, f"{provider}/plugin.toml", provider)


def registry_of(*extra: object, settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Registry:
    """A registry of plugin objects: (name, object, manifest) each."""
    settings = settings or Settings()
    host = PluginHost(Discovery(), extra=extra)
    catalog = Catalog(host.discovery, models=settings.models, aliases=settings.aliases)
    return Registry(catalog, host, settings=settings, environ=environ or {})


@pytest.fixture
def fakes() -> SimpleNamespace:
    """The makers of fake plugins: test modules cannot import each other."""
    return SimpleNamespace(EchoHandler=EchoHandler, PluginOf=PluginOf, manifest=manifest, registry_of=registry_of)
