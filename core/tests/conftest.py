"""Fake plugins: real distributions in a temporary folder on sys.path, and plugins that are plain objects."""

from __future__ import annotations

import asyncio
import heapq
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend

from callsheet.catalog import Catalog
from callsheet.client import Client
from callsheet.discovery import GROUP, Discovery, discover
from callsheet.errors import CallsheetError
from callsheet.plugin import (
    AbortOutcome,
    Draft,
    Expected,
    HandlerSpec,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    StreamFinished,
    TextArtifact,
    TextDelta,
    hookimpl,
)
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.policies import Policies
from callsheet.project import Project
from callsheet.registry import Registry
from callsheet.settings import Settings
from callsheet.storage import CallState


@dataclass
class Site:
    """A folder of installed distributions, in front on sys.path."""

    folder: Path
    packages: list[str] = field(default_factory=list)
    elsewhere: frozenset[str] = frozenset()
    """The distributions with plugins that were there before."""

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
        """Discovery of what is installed in this folder: without other plugins and the environment's variables."""
        options.setdefault("environ", {})
        return discover(deny={*self.elsewhere, *deny}, **options)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder for distributions on sys.path; what tests import from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    installed = frozenset(found.dist.name for found in entry_points(group=GROUP) if found.dist)
    monkeypatch.syspath_prepend(str(folder))
    made = Site(folder, elsewhere=installed)
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
    catalog = Catalog(host.discovery, models=settings.models, aliases=settings.aliases, providers=settings.providers)
    return Registry(catalog, host, settings=settings, environ=environ or {})


@pytest.fixture
def fakes() -> SimpleNamespace:
    """The makers of fake plugins: test modules cannot import each other."""
    return SimpleNamespace(EchoHandler=EchoHandler, PluginOf=PluginOf, manifest=manifest, registry_of=registry_of)


class Timeline:
    """A clock that only moves when everybody sleeps: it goes to the moment when the first one wakes."""

    def __init__(self) -> None:
        self.moment = 1_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.moment

    async def sleep(self, seconds: float) -> None:
        """Until the clock is moved so far."""
        self._count += 1
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.moment + seconds, self._count, waking))
        await waking

    async def settle(self) -> None:
        """Let everybody do what can be done without a wait."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def go_on(self, until: float = float("inf")) -> None:
        """Wake the sleepers one after the other, up to this moment; without one, until nobody sleeps any more."""
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, waking = heapq.heappop(self._sleepers)
            if not waking.done():
                self.moment = max(self.moment, at)
                waking.set_result(None)
                await self.settle()
        if until != float("inf"):
            self.moment = max(self.moment, until)


@pytest.fixture
def timeline() -> Timeline:
    """A fresh one."""
    return Timeline()


class Acme:
    """A provider whose every answer a test scripts: by job id, a list of outcomes taken one after the other.

    An outcome is an exception to raise, a result to give, or an async callable of (request, context). What is not
    scripted is answered with a text that repeats the prompt.
    """

    soon = 60.0
    """Seconds of a deadline that is to be missed."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.polled: list[str] = []
        self.aborted: list[str] = []
        self.script: dict[str, list[Any]] = {}
        self.polls: dict[str, list[Any]] = {}
        self.abort_outcome: Any = AbortOutcome.STOPPED
        self.found: Any = None
        self.slept: list[float] = []
        self.events: list[Any] = []
        self.closed = 0
        self.limits: Mapping[str, object] = {"max_requests": 100, "max_bytes": 1_000_000, "price_factor": 0.5}
        self.batches: list[list[str]] = []
        self.submits: list[Any] = []
        self.collected: list[list[str]] = []
        self.collects: list[BaseException] = []
        self.ends: dict[str, list[Any]] = {}
        self.looked: list[str] = []

    @hookimpl
    def callsheet_register_handlers(self) -> Iterable[HandlerSpec]:
        """One wire for answers, one for remote jobs, one for remote jobs that can be found again."""
        return [
            HandlerSpec(provider="acme", wire="answer", factory=lambda: AcmeAnswers(self)),
            HandlerSpec(provider="acme", wire="plain", factory=lambda: AcmePlain(self)),
            HandlerSpec(provider="acme", wire="job", factory=lambda: AcmeJobs(self)),
            HandlerSpec(provider="acme", wire="found", factory=lambda: AcmeFound(self)),
            HandlerSpec(provider="acme", wire="live", factory=lambda: AcmeLive(self)),
            HandlerSpec(provider="acme", wire="batch", factory=lambda: AcmeBatches(self)),
            HandlerSpec(provider="acme", wire="batch-found", factory=lambda: AcmeFoundBatches(self)),
        ]

    @hookimpl
    def callsheet_job_event(self, event: Any) -> None:
        """Keep every event."""
        self.events.append(event)

    async def sleep(self, seconds: float) -> None:
        """Instead of waiting."""
        self.slept.append(seconds)

    def leap(self) -> None:
        """Let a deadline that is `soon` pass at this very moment, on however slow a machine: the event loop's clock leaps."""
        loop = asyncio.get_running_loop()
        time = loop.time
        loop.time = lambda: time() + self.soon  # type: ignore[method-assign]

    async def never(self, *_: object) -> None:
        """What does not come before a deadline that is `soon`."""
        self.leap()
        await asyncio.Event().wait()

    async def answer(self, request: ProviderRequest, context: JobContext) -> Any:
        """The next scripted outcome of this job."""
        self.sent.append(context.job.id)
        outcomes = self.script.get(context.job.id, [])
        outcome = outcomes.pop(0) if outcomes else None
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            return await outcome(request, context)
        return outcome or JobResult((TextArtifact(f"re: {request.body['prompt']} #{context.sample}"),))


class AcmeAnswers:
    """One-shot."""

    def __init__(self, acme: Acme) -> None:
        self.acme = acme

    def prepare(self, job: Job) -> ProviderRequest:
        """The prompt and the options."""
        body = {"prompt": getattr(job.inputs, "prompt", None), **job.options}
        files = {f: getattr(job.inputs, f, None) for f in ("images", "image") if getattr(job.inputs, f, None)}
        expects = (Expected("text", "text/plain"),) if job.operation == "text.generate" else ()
        return ProviderRequest(job.ref, job.operation, {**body, **files}, expects, {"run": 1.0})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """As scripted."""
        return await self.acme.answer(request, context)


class AcmePlain(AcmeAnswers):
    """Has no place for a schema, and says so."""

    def prepare(self, job: Job) -> ProviderRequest:
        """As the others, with the warning."""
        draft = Draft(job)
        draft.refuse(["output_schema"])
        return replace(super().prepare(job), warnings=draft.request().warnings)


class AcmeLive(AcmeAnswers):
    """Streams: the events of the scripted outcome (an exception among them is raised), else the answer as one text."""

    async def stream(self, request: ProviderRequest, context: JobContext) -> Any:
        """As scripted; `closed` counts the streams that were closed or read to their end."""
        try:
            answer = await self.acme.answer(request, context)
            if isinstance(answer, JobResult):
                answer = [TextDelta(answer.artifacts[0].text), StreamFinished(answer)]
            for event in answer:
                if isinstance(event, BaseException):
                    raise event
                yield await event() if callable(event) else event
        finally:
            self.acme.closed += 1


class AcmeJobs(AcmeAnswers):
    """Remote jobs."""

    invoke = None  # type: ignore[assignment]

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """As scripted, else a receipt."""
        result = await self.acme.answer(request, context)
        if isinstance(result, Receipt):
            return result
        return self.receipt(request, context, result.artifacts[0].text)

    def receipt(self, request: ProviderRequest, context: JobContext, text: str = "found") -> Receipt:
        """A receipt that carries its own result."""
        return Receipt(
            ref=request.ref,
            operation=request.operation,
            job_id=f"remote-{context.job.id}",
            key=context.key,
            request_digest=context.request_digest,
            expects=request.expects,
            created=context.clock(),
            state={"text": text},
        )

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """As scripted by job id, else done."""
        self.acme.polled.append(receipt.job_id)
        outcomes = self.acme.polls.get(receipt.job_id, [])
        outcome = outcomes.pop(0) if outcomes else RemoteStatus(RemoteState.SUCCEEDED)
        if isinstance(outcome, BaseException):
            raise outcome
        return await outcome() if callable(outcome) else outcome

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """What the receipt says."""
        return JobResult((TextArtifact(str(receipt.state["text"])),))

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """As scripted: an exception to raise, or the outcome."""
        self.acme.aborted.append(receipt.job_id)
        if isinstance(self.acme.abort_outcome, BaseException):
            raise self.acme.abort_outcome
        return self.acme.abort_outcome


class AcmeFound(AcmeJobs):
    """Remote jobs that can be asked for when the receipt was lost."""

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Any:
        """As scripted: an exception, None, or True for a receipt."""
        if isinstance(self.acme.found, BaseException):
            raise self.acme.found
        return self.receipt(request, context) if self.acme.found else None


class AcmeBatches(AcmeAnswers):
    """One-shot, and batches whose calls end as scripted by prompt (`ends`), else with a text that repeats it."""

    def batch_group(self, request: ProviderRequest) -> str:
        """One for each `group` in the options; an empty one keeps a request out."""
        return str(request.body.get("group", "all"))

    async def submit_batch(self, items: Any, context: JobContext) -> Receipt:
        """As scripted (`submits`): an exception to raise, or an async callable to wait for; then a receipt."""
        self.acme.batches.append([item.request.body["prompt"] for item in items])
        outcome = self.acme.submits.pop(0) if self.acme.submits else None
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            await outcome()
        return self.receipt(context, len(self.acme.batches))

    def receipt(self, context: JobContext, number: int) -> Receipt:
        """The receipt of the n-th batch."""
        job, key, digest = context.job, context.key, context.request_digest
        return Receipt(job.ref, job.operation, f"batch-{number}", key, digest, (), context.clock())

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """As scripted by job id, else done."""
        return await AcmeJobs.poll(self, receipt, context)  # type: ignore[arg-type]

    async def collect_batch(self, receipt: Receipt, items: Any, context: JobContext) -> Mapping[str, Any]:
        """As scripted; "missing" is left out. `collects` are exceptions to raise first."""
        self.acme.collected.append([item.request.body["prompt"] for item in items])
        if self.acme.collects:
            raise self.acme.collects.pop(0)
        ended = {}
        for item in items:
            prompt = item.request.body["prompt"]
            outcomes = self.acme.ends.get(prompt, [])
            outcome = outcomes.pop(0) if outcomes else JobResult((TextArtifact(f"batched: {prompt}"),))
            if outcome != "missing":
                ended[item.key] = outcome
        return ended

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """As scripted."""
        self.acme.aborted.append(receipt.job_id)
        return self.acme.abort_outcome


class AcmeFoundBatches(AcmeBatches):
    """Batches that can be asked for when the receipt was lost."""

    async def find_batch(self, since: float, context: JobContext) -> Receipt | None:
        """As scripted: an exception, None, or True for the first batch."""
        self.acme.looked.append(context.key)
        if isinstance(self.acme.found, BaseException):
            raise self.acme.found
        return self.receipt(context, 1) if self.acme.found else None


ACME_ROWS = (
    {"model": "batch", "operation": "text.generate", "wire": "batch"},
    {"model": "batch-found", "operation": "text.generate", "wire": "batch-found"},
    {
        "model": "batch-priced",
        "operation": "text.generate",
        "wire": "batch",
        "price": [{"per": "run", "usd": 0.25, "as_of": "2026-11-01", "source": "acme.example/prices"}],
    },
    {"model": "text", "operation": "text.generate", "wire": "answer"},
    {"model": "other", "operation": "text.generate", "wire": "answer"},
    {"model": "picture", "operation": "image.generate", "wire": "answer"},
    {"model": "plain", "operation": "text.generate", "wire": "plain"},
    {"model": "live", "operation": "text.generate", "wire": "live"},
    {"model": "job", "operation": "text.generate", "wire": "job"},
    {"model": "found", "operation": "text.generate", "wire": "found"},
    {
        "model": "priced",
        "operation": "text.generate",
        "wire": "answer",
        "price": [{"per": "run", "usd": 0.25, "as_of": "2026-11-01", "source": "acme.example/prices"}],
    },
    {
        "model": "live-priced",
        "operation": "text.generate",
        "wire": "live",
        "price": [{"per": "run", "usd": 0.25, "as_of": "2026-11-01", "source": "acme.example/prices"}],
    },
)


@dataclass
class Studio:
    """A project folder with the scripted provider; `open()` is a fresh process's view of it."""

    folder: Path
    acme: Acme = field(default_factory=Acme)
    policies: Policies = field(default_factory=Policies.once)
    """What one attempt leads to is what most tests look at."""

    def extra(self) -> list[Any]:
        """The scripted provider as a plugin."""
        return [("acme", self.acme, manifest("acme", *ACME_ROWS, batch=self.acme.limits))]

    def open(self, **options: Any) -> Any:
        """A client of this project, to be awaited."""
        host = options.pop("host", None) or PluginHost(Discovery(), extra=self.extra())
        options.setdefault("settings", Settings(policies=self.policies))
        return Client.open(Project.at(self.folder), host=host, sleep=self.acme.sleep, **options)

    def sheet(self, text: str, **files: str) -> Path:
        """Write sheet.toml (and other files, by name with _ for .) and return its folder."""
        (self.folder / "sheet.toml").write_text(text, encoding="utf-8")
        for name, content in files.items():
            (self.folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
        return self.folder


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """An empty project with the scripted provider."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Studio(folder)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[CallState]]:
    """Let a client's ledger refuse these steps of its calls, as long as they are in the set that this gives."""

    def refuse(client: Client, *states: CallState) -> set[CallState]:
        real, refused = client.ledger.advance, set(states)

        async def advance(key: str, epoch: int, state: CallState, **more: Any) -> None:
            if state in refused:
                raise CallsheetError("the disk is full")
            await real(key, epoch, state, **more)

        monkeypatch.setattr(client.ledger, "advance", advance)
        return refused

    return refuse


@pytest.fixture
def first_abort_hangs(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The first time that a provider is told to stop a job, it does not answer; `begun` is set then, `told` has the jobs."""
    seen = SimpleNamespace(begun=asyncio.Event(), told=[])

    async def stop(_services: object, _bound: object, receipt: Receipt, _context: object) -> AbortOutcome:
        seen.told.append(receipt.job_id)
        if len(seen.told) == 1:
            seen.begun.set()
            await asyncio.Event().wait()
        return AbortOutcome.STOPPED

    monkeypatch.setattr("callsheet.delivery.abort_remote", stop)
    return seen


class Keyring(KeyringBackend):
    """A keyring in memory; `fault` is raised by whatever it is asked."""

    priority = 1
    fault: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.asked: list[str] = []

    def get_password(self, service, username):
        """What is kept."""
        self.asked.append(username)
        if self.fault is not None:
            raise self.fault
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        """Keep it."""
        if self.fault is not None:
            raise self.fault
        self.kept[service, username] = password


@pytest.fixture
def ring() -> Iterator[Keyring]:
    """The machine's keyring for one test."""
    before, own = keyring.get_keyring(), Keyring()
    keyring.set_keyring(own)
    yield own
    keyring.set_keyring(before)
