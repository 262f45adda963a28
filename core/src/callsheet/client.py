"""The client: one object that opens a project, plans and runs its sheets, makes single calls, and closes everything."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.bulk import perform_many
from callsheet.call_book import cost_of
from callsheet.catalog import Catalog
from callsheet.discovery import Discovery, discover
from callsheet.errors import CallsheetError, ConfigError
from callsheet.failures import cleanse
from callsheet.inputs import file_attributes, list_attributes, parse_inputs
from callsheet.intake import take_in
from callsheet.jobs import CallWarning, Job, JobResult, Receipt, WarningKind
from callsheet.models import Mode, ModelRef, Operation
from callsheet.pay_once import OnUnknown, Paid, PayOnce, Ticket
from callsheet.plan import Plan
from callsheet.plugin_host import PluginHost
from callsheet.preparation import PreparedCall, prepare_call
from callsheet.project import Project
from callsheet.receipts import settle_receipt
from callsheet.registry import BoundHandler, Registry
from callsheet.runs import Run, RunRequest, SheetRun
from callsheet.runtime import Runtime
from callsheet.secrets import EnvSecrets, Redactor, SecretResolver
from callsheet.services import Services, library_log
from callsheet.settings import Settings
from callsheet.sheet import CallSheet
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.streaming import Streaming
from callsheet.streams import StreamEvent
from callsheet.transfer.pool import ConnectionPool

__all__ = ["Client"]


class Client:
    """Use it as `async with callsheet.open() as client`; everything it opened is closed at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._exits = AsyncExitStack()
        self._streaming = Streaming(runtime.pay_once)

    @property
    def catalog(self) -> Catalog:
        """What models there are."""
        return self.runtime.catalog

    @property
    def ledger(self) -> Ledger:
        """The durable record of calls and runs."""
        return self.runtime.services.ledger

    @classmethod
    async def open(
        cls,
        project: Project,
        settings: Settings,
        *,
        secrets: SecretResolver | None = None,
        discovery: Discovery | None = None,
        host: PluginHost | None = None,
        durable: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Client:
        """Open a project. `sleep` is for tests.

        `durable=False` keeps runs in memory for as long as the client is open, and nothing at all of single calls.
        """
        found = discovery or discover(allow=settings.allow, deny=settings.deny, pins=settings.pins)
        host = host or PluginHost(found)
        catalog = Catalog(
            host.discovery, models=settings.models, aliases=settings.aliases, providers=settings.providers
        )
        registry = Registry(catalog, host, settings=settings)
        project.prepare()
        redactor = Redactor()
        async with AsyncExitStack() as exits:
            owner = Owner.start(project.state)
            exits.callback(owner.close)
            ledger = await Ledger.open(project.state / "ledger.sqlite3" if durable else None, owner)
            exits.push_async_callback(ledger.close)
            connections = ConnectionPool()
            exits.push_async_callback(connections.aclose)
            exits.push_async_callback(registry.aclose)
            for problem in host.open_kind("events"):
                library_log(redactor).warning("plugin.broken", plugin=problem.plugin, error=str(problem))
            exits.callback(ledger.subscribe(host.job_event))
            services = Services(
                ledger=ledger,
                blobs=LocalBlobs(project.state / "blobs"),
                host=host,
                secrets=secrets or EnvSecrets(os.environ),
                redactor=redactor,
                state=project.state,
                connections=connections,
                sleep=sleep,
            )
            for broken in host.open_kind("events"):
                services.log.warning("plugin.not_loaded", plugin=broken.plugin, error=str(broken))
            client = cls(Runtime(project, settings, services, registry, catalog, PayOnce(services)))
            exits.push_async_callback(client._streaming.aclose)
            client._exits = exits.pop_all()
        return client

    async def aclose(self) -> None:
        """Close handlers, ledger and lock. Safe to call twice."""
        await self._exits.aclose()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def plan(self, sheet: CallSheet, request: RunRequest | None = None) -> Plan:
        """What a run would do, and for how much. Sends nothing. Raises ConfigError."""
        prepared = await SheetRun.prepare(self.runtime, sheet, request or RunRequest())
        return await prepared.plan()

    async def run(self, sheet: CallSheet, request: RunRequest | None = None, *, mode: str | Mode | None = None) -> Run:
        """Run a sheet and write its outputs. Raises ConfigError for a bad sheet; failed jobs are in the result."""
        wanted = request or RunRequest()
        if mode is not None:
            wanted = replace(wanted, mode=Mode(mode))
        prepared = await SheetRun.prepare(self.runtime, sheet, wanted)
        return await prepared.run()

    async def resume(self, run_id: str, *, on_unknown: OnUnknown | None = None) -> Run:
        """Go on with a run (by its id or the beginning of it): what is paid for is used, what is under way is awaited."""
        record = await self.ledger.run(run_id)
        request = RunRequest.from_json(record.request, run=record.id, output=record.output)
        if on_unknown is not None:
            request = replace(request, on_unknown=on_unknown)
        sheet = CallSheet.load(self.runtime.project.folder / record.sheet)
        return await self.run(sheet, request)

    async def call(
        self,
        ref: str | ModelRef,
        *,
        operation: str | Operation | None = None,
        mode: str | Mode = Mode.LIVE,
        options: Mapping[str, object] | None = None,
        reuse: bool = False,
        on_unknown: OnUnknown = OnUnknown.DEFAULT,
        strict: bool = False,
        **attributes: object,
    ) -> JobResult:
        """One call to one model. File attributes take paths. A fresh sample is paid for unless `reuse`.

        Raises ConfigError for a wrong attribute or model, ProviderError as the call fails.
        """
        bound = await self._bind(ref, operation, Mode(mode))
        prepared = await self._prepared(bound, attributes, options or {}, strict=strict)
        sample = await self._sample(prepared, reuse=reuse)
        paid = await self.runtime.pay_once.perform(prepared, sample, Ticket("", on_unknown, reuse=reuse))
        return self._told(prepared, paid)

    def stream(
        self,
        ref: str | ModelRef,
        *,
        operation: str | Operation | None = None,
        mode: str | Mode = Mode.LIVE,
        options: Mapping[str, object] | None = None,
        reuse: bool = False,
        on_unknown: OnUnknown = OnUnknown.DEFAULT,
        strict: bool = False,
        sample: int | None = None,
        **attributes: object,
    ) -> AsyncGenerator[StreamEvent, None]:
        """One call whose answer is read while it is made: `async for event in client.stream(…)`; as `call` otherwise.

        The last event is StreamFinished with the result, which is on record by then. What is paid for already is
        replayed. `sample` is the very sample to take instead of a fresh one. Raises as `call`, and MalformedOutputError
        for a stream that is cut; the error's `partial` is the text until then. A reader who leaves early ends the call.
        """

        async def asked() -> tuple[PreparedCall, int, Ticket]:
            bound = await self._bind(ref, operation, Mode(mode))
            prepared = await self._prepared(bound, attributes, options or {}, strict=strict)
            chosen = await self._sample(prepared, reuse=reuse) if sample is None else sample
            return prepared, chosen, Ticket("", on_unknown, reuse=reuse)

        return self._streaming.events(asked, self._told)

    async def _prepared(
        self, bound: BoundHandler, attributes: Mapping[str, object], options: Mapping[str, object], *, strict: bool
    ) -> PreparedCall:
        job = await self._job(bound, attributes, options)
        prepared = prepare_call(bound, job, salt=self.runtime.settings.salt)
        if strict and (prepared.request.warnings or bound.mapping == "unchecked"):
            refused = "; ".join(w.message for w in prepared.request.warnings) or "mapping = unchecked"
            raise ConfigError(f"strict: {refused}")
        return prepared

    def _told(self, call: PreparedCall, paid: Paid) -> JobResult:
        """The result with all that is to be told of it, ready to be saved."""
        told = [*call.request.warnings, *paid.result.warnings]
        if call.bound.mapping == "unchecked":
            text = f"mapping = unchecked: install the plugin of {call.bound.ref.provider!r} to check the request too"
            told.append(CallWarning(WarningKind.UNCHECKED, text))
        cost = cost_of(call, paid.result)
        return self.located(replace(paid.result, warnings=tuple(dict.fromkeys(told)), cost=cost))

    async def batch(
        self,
        ref: str | ModelRef,
        calls: Iterable[Mapping[str, object]],
        *,
        operation: str | Operation | None = None,
        mode: str | Mode = Mode.LIVE,
        options: Mapping[str, object] | None = None,
        reuse: bool = False,
        on_unknown: OnUnknown = OnUnknown.DEFAULT,
    ) -> list[JobResult | CallsheetError]:
        """Many calls to one model, each given by its attributes, in a batch: later, for less, and paid for once.

        Gives each call's result or error, in order. A provider without batches is called some calls at a time, with a
        warning in each result. After a crash the same batch with `reuse=True` goes on where it was. Raises ConfigError
        for a wrong attribute or model before anything is sent.
        """
        bound = await self._bind(ref, operation, Mode(mode))
        jobs = [await self._job(bound, attributes, options or {}) for attributes in calls]
        named = (replace(job, id=f"call[{number}]", index=number) for number, job in enumerate(jobs))
        prepared = [prepare_call(bound, job, salt=self.runtime.settings.salt, batch=True) for job in named]
        concurrency = self.runtime.settings.concurrency
        services, pay_once = self.runtime.services, self.runtime.pay_once
        ended = await perform_many(
            services, pay_once, prepared, reuse=reuse, on_unknown=on_unknown, concurrency=concurrency
        )
        pairs = zip(prepared, ended, strict=True)
        return [self._told(call, end) if isinstance(end, Paid) else end for call, end in pairs]

    async def collect(self, receipt: Receipt, mode: str | Mode = Mode.LIVE) -> JobResult:
        """The result of a remote job, by its receipt alone: waits, collects, and records it under the receipt's key.

        Raises ConfigError when nobody here handles its model, ProviderError as the job ended.
        """
        bound = self.runtime.registry.resolve(receipt.ref, receipt.operation, Mode(mode))
        await self.runtime.warm_start([bound])
        try:
            return self.located(await settle_receipt(self.runtime.services, bound, receipt))
        except CallsheetError as error:
            cleanse(error, self.runtime.services.redactor)
            raise

    def located(self, result: JobResult) -> JobResult:
        """The result with the place of each file on this machine, so that it can be saved and shown."""
        blobs = self.runtime.services.blobs
        artifacts = (
            replace(a, location=blobs.path(a.file.sha256)) if isinstance(a, BlobArtifact) else a
            for a in result.artifacts
        )
        return replace(result, artifacts=tuple(artifacts))

    async def _bind(self, ref: str | ModelRef, operation: str | Operation | None, mode: Mode) -> BoundHandler:
        target = self.catalog.find(ref) if isinstance(ref, str) else ref
        wanted = self.runtime.registry.operation_of(target) if operation is None else Operation(operation)
        if wanted is None:
            hint = self.catalog.hint(target)
            raise ConfigError(f"{target} is in no catalog here{hint}; or say what it does: operation='image.generate'")
        bound = self.runtime.registry.resolve(target, wanted, mode)
        await self.runtime.warm_start([bound])
        return bound

    async def _job(self, bound: BoundHandler, attributes: Mapping[str, object], options: Mapping[str, object]) -> Job:
        operation = bound.info.operation
        files, lists = file_attributes(operation), list_attributes(operation)
        values: dict[str, object] = {}
        for name, value in attributes.items():
            if name not in files:
                values[name] = value
                continue
            many = value if isinstance(value, (list, tuple)) else [value]
            taken = tuple([await self._file(item, name) for item in many])
            values[name] = taken if name in lists or len(taken) != 1 else taken[0]
        inputs = parse_inputs(operation, values, str(bound.ref))
        return Job("call", bound.ref, bound.info, operation, inputs, dict(options))

    async def _file(self, value: object, name: str) -> FileRef:
        if isinstance(value, FileRef):
            return value
        if not isinstance(value, (str, Path)):
            raise ConfigError(f"{name} takes a file's path, got {type(value).__name__}")
        return await take_in(Path(value), self.runtime.services.blobs, name)

    async def _sample(self, call: PreparedCall, *, reuse: bool) -> int:
        """`reuse` takes sample 0 as it is; else one that nobody has paid for yet."""
        return 0 if reuse else (await self.runtime.pay_once.fresh.take(call))[0]
