"""The runner: starts what is ready, bounded, keeps going by branch, and knows how every job ended."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum

from callsheet.artifacts import Artifact
from callsheet.budget import Budget
from callsheet.errors import BudgetExceededError, CallsheetError
from callsheet.expansion import Cell, Expansion
from callsheet.failures import failure_of
from callsheet.gathering import Gathering, NotStartedError
from callsheet.jobs import CallWarning, JobResult
from callsheet.pay_once import OnUnknown, Paid, StillRunningError, Ticket, UnknownOutcomeError
from callsheet.performing import Performance, Performer
from callsheet.plan import PriorParts, stale_reason, strict_problems
from callsheet.preparation import Prepared, PreparedCall, Preparer, Samples
from callsheet.run_events import inputs_summary, result_summary
from callsheet.services import Services
from callsheet.storage import Failure
from callsheet.stores.ledger import EventRow, Pick

__all__ = ["JobOutcome", "JobStatus", "RunOptions", "Runner"]


class JobStatus(StrEnum):
    """How a job ended in this run."""

    EXECUTED = "executed"
    REUSED = "reused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    PENDING = "pending"
    """Still with the provider; `resume` asks again."""
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Not started, because an earlier failure ended the run (`--fail-fast`)."""

    @property
    def good(self) -> bool:
        """True when there is a result."""
        return self in (JobStatus.EXECUTED, JobStatus.REUSED)


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """A job's end. `error` is set when it has no result; `reason` says why it ran or why it did not."""

    id: str
    status: JobStatus
    artifacts: tuple[Artifact, ...] = ()
    error: CallsheetError | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run behaves. `concurrency` is how many calls are on their way at once; waiting jobs do not count."""

    concurrency: int = 8
    fail_fast: bool = False
    strict: bool = False
    on_unknown: OnUnknown = OnUnknown.DEFAULT
    budget: Budget | None = None
    deadline: float | None = None
    """Seconds; nothing is started after them."""


@dataclass(slots=True)
class Runner:
    """Runs the cells of one sheet once. `pinned` cells have their artifacts; `prior` is what satisfied jobs before."""

    run_id: str
    sheet: str
    expansion: Expansion
    preparer: Preparer
    performer: Performer
    services: Services
    options: RunOptions
    pinned: Mapping[str, tuple[Artifact, ...]]
    prior: Mapping[str, PriorParts]
    outcomes: dict[str, JobOutcome] = field(default_factory=dict)
    _results: dict[str, tuple[Artifact, ...]] = field(default_factory=dict)
    _origins: dict[str, dict[str, object]] = field(default_factory=dict)
    _samples: Samples = field(default_factory=Samples)
    _ready: list[tuple[int, str]] = field(default_factory=list)
    _waiting: dict[str, int] = field(default_factory=dict)
    _dependants: dict[str, list[str]] = field(default_factory=dict)
    _order: dict[str, int] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _slots: int = 0
    _returning: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Jobs that had given back their slot, and have something to send again."""
    _stopping: str = ""
    """Why nothing more is started."""
    _until: float | None = None
    _gathering: Gathering = field(init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Mapping[str, JobOutcome]:
        """Every job's outcome. When cancelled, tells the providers of what is under way, records, and raises."""
        self._prepare_graph()
        self._slots = self.options.concurrency
        if self.options.deadline is not None:
            self._until = asyncio.get_running_loop().time() + self.options.deadline
        self._gathering = Gathering(self.services, self.expansion, self._wake.set)
        try:
            while len(self.outcomes) < len(self.expansion.cells):
                self._start_ready()
                self._gathering.close_ready(self.outcomes.keys())
                if len(self.outcomes) < len(self.expansion.cells):
                    await self._wake.wait()
                    self._wake.clear()
        except asyncio.CancelledError:
            await self._cancel_all()
            raise
        return self.outcomes

    def _prepare_graph(self) -> None:
        for number, cell in enumerate(self.expansion.cells.values()):
            self._order[cell.id] = number
            self._waiting[cell.id] = len(cell.upstream)
            for job in cell.upstream:
                self._dependants.setdefault(job, []).append(cell.id)
            if not cell.upstream or cell.id in self.pinned:
                heapq.heappush(self._ready, (number, cell.id))

    def _start_ready(self) -> None:
        while self._ready and (self._slots > 0 or self._stopping):
            cell = self.expansion.cells[heapq.heappop(self._ready)[1]]
            if self._until is not None and asyncio.get_running_loop().time() >= self._until:
                self._stopping = self._stopping or "the run's deadline has passed"
            if self._stopping:
                self._settle(JobOutcome(cell.id, JobStatus.SKIPPED, detail=self._stopping))
                continue
            self._slots -= 1
            slot = _Slot(self._take, self._give_back)
            task = asyncio.create_task(self._execute(cell, slot), name=cell.id)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        """Wait for a slot, before any job that has not begun."""
        if self._slots > 0:
            self._slots -= 1
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returning.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._returning:
            given = self._returning.popleft()
            if not given.done():
                given.set_result(None)
                return
        self._slots += 1
        self._wake.set()

    async def _execute(self, cell: Cell, slot: _Slot) -> None:
        try:
            outcome = await self._outcome(cell, slot)
        except asyncio.CancelledError:
            self._settle(JobOutcome(cell.id, JobStatus.CANCELLED, detail="the run was cancelled"))
            raise
        except NotStartedError as error:
            outcome = JobOutcome(cell.id, JobStatus.SKIPPED, detail=str(error))
        except CallsheetError as error:
            if isinstance(error, BudgetExceededError) and error.later:
                outcome = JobOutcome(cell.id, JobStatus.SKIPPED, detail=str(error))
            else:
                outcome = await self._failed(cell, error)
        except Exception as error:
            self.services.log.exception("job.broke", job=cell.id)
            outcome = await self._failed(cell, CallsheetError(f"internal error: {type(error).__name__}: {error}"))
        finally:
            slot.park()
        self._settle(outcome)

    def _settle(self, outcome: JobOutcome) -> None:
        self.outcomes[outcome.id] = outcome
        self._gathering.settled(self.expansion.cells[outcome.id])
        if outcome.status.good:
            self._results[outcome.id] = outcome.artifacts
        elif self.options.fail_fast and outcome.status is not JobStatus.BLOCKED:
            self._stopping = self._stopping or "an earlier job failed"
            self._gathering.dismiss()
        for dependant in self._dependants.get(outcome.id, ()):
            self._waiting[dependant] -= 1
            if self._waiting[dependant] == 0 and dependant not in self.pinned:
                heapq.heappush(self._ready, (self._order[dependant], dependant))
        self._wake.set()

    async def _outcome(self, cell: Cell, slot: _Slot) -> JobOutcome:
        if cell.id in self.pinned:
            return await self._pinned(cell)
        lacking = [job for job in cell.upstream if not self.outcomes[job].status.good]
        if lacking:
            detail = f"needs {', '.join(lacking)}"
            await self._tell("job.blocked", cell, {"needs": lacking})
            return JobOutcome(cell.id, JobStatus.BLOCKED, detail=detail)
        prepared = self.preparer.prepare(cell, self._results)
        self._origins[cell.id] = self._origin(cell, prepared.calls[0])
        warnings = (*prepared.calls[0].request.warnings, *prepared.warnings)
        if self.options.strict:
            strict_problems(warnings)
        return await self._perform(cell, prepared, slot)

    async def _perform(self, cell: Cell, prepared: Prepared, slot: _Slot) -> JobOutcome:
        changed = [job for job in cell.upstream if self.outcomes[job].status is JobStatus.EXECUTED]
        reason, detail = stale_reason(prepared.calls[0], self.prior.get(cell.id), changed)

        def ticket(call: PreparedCall, warnings: tuple[CallWarning, ...]) -> Ticket:
            note = {**self._note(cell, call, warnings), "reason": reason.value, "detail": detail}
            seat = self._gathering.seat(cell, call)
            run, unknown = self.run_id, self.options.on_unknown
            return Ticket(run, unknown, slot.park, self.sheet, note, seat, budget=self.options.budget)

        def place(call: PreparedCall) -> AbstractAsyncContextManager[object]:
            return nullcontext() if call is prepared.calls[0] else slot

        calls = [(call, self._samples.take(cell.producer, call)) for call in prepared.calls]
        asked = Performance(calls, ticket, prepared.warnings, known=True, until=self._until, place=place)
        done = await self.performer.perform(asked)
        if done.paid.reused:
            return await self._reuse(cell, done.call, done.paid, done.warnings)
        return JobOutcome(cell.id, JobStatus.EXECUTED, done.paid.result.artifacts, None, reason.value, detail)

    async def _reuse(self, cell: Cell, call: PreparedCall, paid: Paid, warnings: tuple[CallWarning, ...]) -> JobOutcome:
        prior = self.prior.get(cell.id)
        if prior is None or prior.key != paid.key:
            await self.services.ledger.set_pick(Pick(self.sheet, cell.id, paid.key, str(call.job.ref), call.parts))
        body = {"key": paid.key, "ref": str(call.job.ref), "sample": paid.sample}
        body |= {**result_summary(paid.result), **self._note(cell, call, warnings)}
        await self._tell("job.reused", cell, body)
        return JobOutcome(cell.id, JobStatus.REUSED, paid.result.artifacts)

    async def _pinned(self, cell: Cell) -> JobOutcome:
        artifacts = self.pinned[cell.id]
        files = list(self.expansion.producers[cell.producer].producer.pin)
        summary = result_summary(JobResult(artifacts))
        await self._tell("job.pinned", cell, {"pin": files, "artifacts": summary["artifacts"]})
        return JobOutcome(cell.id, JobStatus.REUSED, artifacts, reason="pinned", detail=", ".join(files))

    async def _failed(self, cell: Cell, error: CallsheetError) -> JobOutcome:
        status, event = JobStatus.FAILED, "job.failed"
        if isinstance(error, UnknownOutcomeError):
            status, event = JobStatus.UNKNOWN, "job.unknown"
        elif isinstance(error, StillRunningError):
            status, event = JobStatus.PENDING, "job.pending"
        failure = failure_of(error, self.services.redactor.text)
        body: dict[str, object] = {"kind": failure.kind, "sent": failure.sent, "message": failure.message}
        body |= {**self._origins.get(cell.id, {}), **_optional(failure)}
        await self._tell(event, cell, body)
        return JobOutcome(cell.id, status, error=error, detail=failure.message)

    def _note(self, cell: Cell, call: PreparedCall, warnings: tuple[CallWarning, ...]) -> dict[str, object]:
        """What the manifest tells of a job beside its result."""
        told = [*call.request.warnings, *warnings]
        return {**self._origins.get(cell.id, {}), **_how(call), "warnings": [w.message for w in told]}

    def _origin(self, cell: Cell, call: PreparedCall) -> dict[str, object]:
        """What a job is made from, and by whom; told of a failed one, too."""
        inputs = inputs_summary(call.job.inputs, self.services.redactor.text)
        made = {"operation": call.job.operation.value, "inputs": inputs, "upstream": list(cell.upstream)}
        return {**made, **_how(call)}

    async def _tell(self, event: str, cell: Cell, body: Mapping[str, object]) -> None:
        row: EventRow = (event, cell.id, body)
        await self.services.ledger.append(self.run_id, [row])

    async def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for cell in self.expansion.cells.values():
            self.outcomes.setdefault(cell.id, JobOutcome(cell.id, JobStatus.CANCELLED, detail="the run was cancelled"))


class _Slot:
    """A job's place among the calls under way: given back early when the job only waits, taken again for another model."""

    def __init__(self, take: Callable[[], Awaitable[None]], give_back: Callable[[], None]) -> None:
        self._take = take
        self._give_back = give_back
        self._held = True

    def park(self) -> None:
        if self._held:
            self._held = False
            self._give_back()

    async def __aenter__(self) -> None:
        if not self._held:
            await self._take()
            self._held = True

    async def __aexit__(self, *_: object) -> None:
        """It is given back when the job ends."""


def _how(call: PreparedCall) -> dict[str, object]:
    how = {"mode": call.bound.mode.value, "mapping": call.bound.mapping, "mocked": call.bound.simulated}
    return {**how, **({"dispatch": "batch"} if call.group else {})}


def _optional(failure: Failure) -> dict[str, object]:
    names = ("ref", "status_code", "request_id", "docs_url", "prompt")
    return {name: value for name in names if (value := getattr(failure, name))}
