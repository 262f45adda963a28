"""The client: one object that opens a project, plans and runs its sheets, makes single calls, and closes everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType

from callsheet.adoption import collect_receipt
from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.budget import Budget
from callsheet.bulk import perform_many
from callsheet.call_book import cost_of
from callsheet.catalog import Catalog
from callsheet.discovery import Discovery, discover
from callsheet.errors import CallsheetError, ConfigError
from callsheet.fallback import refuse_lacking, unusable
from callsheet.inputs import Inputs, file_attributes, list_attributes, parse_inputs
from callsheet.intake import take_in
from callsheet.jobs import CallWarning, Job, JobResult, Receipt, WarningKind
from callsheet.models import Mode, ModelRef, Operation
from callsheet.pay_once import OnUnknown, PayOnce, Ticket
from callsheet.performing import Performance, Performed, Performer
from callsheet.plan import Plan
from callsheet.plugin_host import PluginHost
from callsheet.preparation import Prepared, PreparedCall, prepare_call
from callsheet.project import Project
from callsheet.registry import BoundHandler, Registry
from callsheet.runs import Run, RunRequest, SheetRun
from callsheet.runtime import Runtime
from callsheet.secret_sources import find_secrets
from callsheet.secrets import Redactor, SecretResolver
from callsheet.selection import offer_call, select_model
from callsheet.selector import Requirements, Selection, SelectionRequest, Selector
from callsheet.services import Services
from callsheet.settings import Settings
from callsheet.sheet import CallSheet
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.streaming import Streaming
from callsheet.streams import StreamEvent
from callsheet.transfer.pool import ConnectionPool
from callsheet.webhooks import WebhookOutcome, take_webhook

__all__ = ["Client"]

_Models = Sequence[tuple[str | ModelRef, Mapping[str, object]]]
"""Models, each with its options."""


class Client:
    """Use it as `async with callsheet.open() as client`; everything it opened is closed at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._exits = AsyncExitStack()
        self._streaming = Streaming(runtime.performer)

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
        selector: Selector | None = None,
        durable: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        environ: Mapping[str, str] | None = None,
    ) -> Client:
        """Open a project. `selector` decides for `auto:OPERATION`; `sleep`, and `environ` for base URLs, are for tests.

        `durable=False` keeps runs in memory for as long as the client is open, and nothing at all of single calls.
        """
        host = host or PluginHost(discovery or _discovered(settings))
        catalog = Catalog.of(host.discovery, settings)
        registry = Registry(catalog, host, settings=settings, environ=environ)
        project.prepare()
        redactor = Redactor()
        async with AsyncExitStack() as exits:
            owner = Owner.start(project.state)
            exits.callback(owner.close)
            place = project.state / "ledger.sqlite3" if durable else None
            ledger = await Ledger.open(place, owner, redactor=redactor)
            exits.push_async_callback(ledger.close)
            connections = ConnectionPool()
            exits.push_async_callback(connections.aclose)
            services = Services(
                ledger=ledger,
                blobs=LocalBlobs(project.state / "blobs"),
                host=host,
                secrets=secrets or find_secrets(settings, host, redactor),
                redactor=redactor,
                state=project.state,
                connections=connections,
                policies=settings.policies,
                sleep=sleep,
            )
            exits.push_async_callback(registry.aclose, services.complain)
            exits.callback(ledger.subscribe(lambda event: host.job_event(event, services.complain)))
            for broken in host.open_kind("events"):
                services.log.warning("plugin.not_loaded", plugin=broken.plugin, error=str(broken))
            performer = Performer(services, PayOnce(services))
            client = cls(Runtime(project, settings, services, registry, catalog, performer, selector))
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

    async def resume(self, run_id: str, *, on_unknown: OnUnknown | None = None, max_cost: Decimal | None = None) -> Run:
        """Go on with a run (by its id or the beginning of it): what is paid for is used, what is under way is awaited.

        `max_cost` is another bound for all that the run costs, what it has cost already included.
        """
        record = await self.ledger.run(run_id)
        request = RunRequest.from_json(record.request, run=record.id, output=record.output)
        if on_unknown is not None:
            request = replace(request, on_unknown=on_unknown)
        if max_cost is not None:
            request = replace(request, max_cost=max_cost)
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
        fallbacks: Sequence[str | ModelRef] = (),
        require: Requirements | None = None,
        max_cost: Decimal | None = None,
        **attributes: object,
    ) -> JobResult:
        """One call to one model. File attributes take paths. A fresh sample is paid for unless `reuse`.

        `fallbacks` are asked in order when the model surely failed; `options` are for the first one alone. For a `ref` like
        `auto:image.generate` a model is chosen that takes the call and meets `require`; others are its fallbacks.
        `max_cost` in US dollars takes the place of the configured `max_run`, for all of them together.
        Raises ConfigError for a wrong attribute or model, ProviderError as the (last) call fails, BudgetExceededError.
        """
        wish = (attributes, options or {}, on_unknown, reuse, strict, require, max_cost)
        asked = _Asked(ref, fallbacks, operation, Mode(mode), *wish)
        return self._told(await self.runtime.performer.perform(await self._performance(asked)))

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
        fallbacks: Sequence[str | ModelRef] = (),
        restart: bool = False,
        require: Requirements | None = None,
        max_cost: Decimal | None = None,
        **attributes: object,
    ) -> AsyncGenerator[StreamEvent, None]:
        """One call whose answer is read while it is made: `async for event in client.stream(…)`; as `call` otherwise.

        The last event is StreamFinished with the result, which is on record by then. What is paid for already is
        replayed. `sample` is the very sample to take instead of a fresh one. Raises as `call`, and MalformedOutputError
        for a stream that is cut; the error's `partial` is the text until then. A reader who leaves early ends the call.

        No fallback is asked any more once a part of the answer has come; with `restart` it is, and StreamRestarted says
        that the answer begins anew.
        """
        wish = (attributes, options or {}, on_unknown, reuse, strict, require, max_cost)
        asked = _Asked(ref, fallbacks, operation, Mode(mode), *wish)
        return self._streaming.events(lambda: self._performance(asked, sample, restart=restart), self._told)

    async def _performance(self, asked: _Asked, sample: int | None = None, *, restart: bool = False) -> Performance:
        """The job that is asked for: the model's call, and those of the fallbacks that can take it."""
        (ref, options), *fallbacks = await self._models(asked)
        bound = await self._bind(ref, asked.operation, asked.mode)
        first = self._call(bound, await self._job(bound, asked.attributes, options), strict=asked.strict)
        prepared = await self._chain(first, fallbacks, asked.mode, strict=asked.strict)
        fresh = 0 if asked.reuse else None  # `reuse` takes sample 0 as it is; else one that nobody has paid for yet
        samples = [fresh if sample is None else sample, *(fresh for _ in prepared.calls[1:])]
        budget = Budget.of(self.runtime.services, self.runtime.settings.bounded(asked.max_cost))

        def ticket(_call: PreparedCall, _warnings: tuple[CallWarning, ...]) -> Ticket:
            return Ticket("", asked.on_unknown, reuse=asked.reuse, budget=budget)

        chosen = list(zip(prepared.calls, samples, strict=True))
        known = asked.reuse and len(chosen) > 1
        return Performance(chosen, ticket, prepared.warnings, known=known, restart=restart)

    async def _chain(self, first: PreparedCall, fallbacks: _Models, mode: Mode, *, strict: bool = False) -> Prepared:
        """The call, and the same of each fallback that can take it."""
        calls, warnings = [first], []
        for ref, options in fallbacks:
            try:
                bound = await self._bind(ref, first.job.operation, mode)
                job = replace(first.job, ref=bound.ref, model=bound.info, options=dict(options))
                call = self._call(bound, job, strict=strict)
                refuse_lacking(first.request, call.request)
            except CallsheetError as error:
                if strict:
                    raise
                warnings.append(unusable(str(ref), "the call", error))
            else:
                calls.append(call)
        return Prepared(tuple(calls), tuple(warnings))

    async def _models(self, asked: _Asked) -> _Models:
        """The models to ask in order, each with its options; the chosen ones in the place of `auto:OPERATION`."""
        target = self._target(asked.ref)
        chosen = await self._selected(asked, target)
        refs = [target] if chosen is None else chosen.refs
        return [*((ref, asked.options) for ref in refs), *((ref, {}) for ref in asked.fallbacks)]

    async def _selected(self, asked: _Asked, target: ModelRef) -> Selection | None:
        request = SelectionRequest.of(target, "call", asked.require, asked.mode)
        if request is None:
            return None
        inputs = await self._inputs(request.operation, asked.attributes, str(request))
        return await select_model(self.runtime, request, partial(offer_call, inputs, asked.options))

    def _call(self, bound: BoundHandler, job: Job, *, strict: bool = False, batch: bool = False) -> PreparedCall:
        prepared = prepare_call(bound, job, salt=self.runtime.settings.salt, batch=batch)
        if strict and (prepared.request.warnings or bound.mapping == "unchecked"):
            refused = "; ".join(w.message for w in prepared.request.warnings) or "mapping = unchecked"
            raise ConfigError(f"strict: {refused}")
        return prepared

    def _told(self, done: Performed) -> JobResult:
        """The result with all that is to be told of it, ready to be saved."""
        call, paid = done.call, done.paid
        told = [*call.request.warnings, *done.warnings, *paid.result.warnings]
        if call.bound.mapping == "unchecked":
            text = f"mapping = unchecked: install the plugin of {call.bound.ref.provider!r} to check the request too"
            told.append(CallWarning(WarningKind.UNCHECKED, text))
        cost = cost_of(call, paid.result) if paid.cost is None else paid.cost
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
        strict: bool = False,
        fallbacks: Sequence[str | ModelRef] = (),
        max_cost: Decimal | None = None,
    ) -> list[JobResult | CallsheetError]:
        """Many calls to one model, each given by its attributes, in a batch: later, for less, and paid for once.

        Gives each call's result or error, in order. A provider without batches is called some calls at a time, with a
        warning in each result; so are `fallbacks`, each for the calls that surely failed, as in `call`. `max_cost` is for
        all of them together. After a crash the same batch with `reuse=True` goes on where it was. Raises ConfigError for a
        wrong attribute or model before anything is sent.
        """
        bound = await self._bind(ref, operation, Mode(mode))
        jobs = [await self._job(bound, attributes, options or {}) for attributes in calls]
        named = (replace(job, id=f"call[{number}]", index=number) for number, job in enumerate(jobs))
        firsts = [self._call(bound, job, strict=strict, batch=True) for job in named]
        others: _Models = [(other, {}) for other in fallbacks]
        prepared = [await self._chain(first, others, Mode(mode), strict=strict) for first in firsts]
        settings = self.runtime.settings
        perform = partial(perform_many, concurrency=settings.concurrency, money=settings.bounded(max_cost))
        ended = await perform(self.runtime.performer, prepared, reuse=reuse, on_unknown=on_unknown)
        return [self._told(end) if isinstance(end, Performed) else end for end in ended]

    async def collect(self, receipt: Receipt, mode: str | Mode = Mode.LIVE) -> JobResult:
        """The result of a remote job, by its receipt alone: waits, collects, and records it under the receipt's key.

        Raises ConfigError when nobody here handles its model, ProviderError as the job ended.
        """
        return self.located(await collect_receipt(self.runtime, receipt, Mode(mode)))

    async def webhook(self, provider: str, headers: Mapping[str, str], body: bytes) -> WebhookOutcome:
        """Take a provider's webhook, as it arrived: whoever waits for its job asks at once; else the job is collected.

        Raises AccessDeniedError when it is not signed by the provider (answer 401 or so), ConfigError for a provider
        without webhooks, CallsheetError when the job cannot be asked for now (answer 500: it will come again).
        """
        return await take_webhook(self.runtime, provider, headers, body)

    def located(self, result: JobResult) -> JobResult:
        """The result with the place of each file on this machine, so that it can be saved and shown."""
        blobs = self.runtime.services.blobs
        artifacts = (
            replace(a, location=blobs.path(a.file.sha256)) if isinstance(a, BlobArtifact) else a
            for a in result.artifacts
        )
        return replace(result, artifacts=tuple(artifacts))

    def _target(self, ref: str | ModelRef) -> ModelRef:
        return self.catalog.find(ref) if isinstance(ref, str) else ref

    async def _bind(self, ref: str | ModelRef, operation: str | Operation | None, mode: Mode) -> BoundHandler:
        target = self._target(ref)
        wanted = self.runtime.registry.operation_of(target) if operation is None else Operation(operation)
        if wanted is None:
            hint = self.catalog.hint(target)
            raise ConfigError(f"{target} is in no catalog here{hint}; or say what it does: operation='image.generate'")
        bound = self.runtime.registry.resolve(target, wanted, mode)
        await self.runtime.warm_start([bound])
        return bound

    async def _job(self, bound: BoundHandler, attributes: Mapping[str, object], options: Mapping[str, object]) -> Job:
        operation = bound.info.operation
        inputs = await self._inputs(operation, attributes, str(bound.ref))
        return Job("call", bound.ref, bound.info, operation, inputs, dict(options))

    async def _inputs(self, operation: Operation, attributes: Mapping[str, object], where: str) -> Inputs:
        files, lists = file_attributes(operation), list_attributes(operation)
        values: dict[str, object] = {}
        for name, value in attributes.items():
            if name not in files:
                values[name] = value
                continue
            many = value if isinstance(value, (list, tuple)) else [value]
            taken = tuple([await self._file(item, name) for item in many])
            values[name] = taken if name in lists or len(taken) != 1 else taken[0]
        return parse_inputs(operation, values, where)

    async def _file(self, value: object, name: str) -> FileRef:
        if isinstance(value, FileRef):
            return value
        if not isinstance(value, (str, Path)):
            raise ConfigError(f"{name} takes a file's path, got {type(value).__name__}")
        return await take_in(Path(value), self.runtime.services.blobs, name)


def _discovered(settings: Settings) -> Discovery:
    return discover(allow=settings.allow, deny=settings.deny, pins=settings.pins)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a caller wants of one model, or of its fallbacks."""

    ref: str | ModelRef
    fallbacks: Sequence[str | ModelRef]
    operation: str | Operation | None
    mode: Mode
    attributes: Mapping[str, object]
    options: Mapping[str, object]
    on_unknown: OnUnknown
    reuse: bool
    strict: bool
    require: Requirements | None = None
    max_cost: Decimal | None = None
