"""The plan: every job of a sheet with its state, the reason for it and its price, before anything is paid."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from callsheet.artifacts import Artifact
from callsheet.batching import takes_batches
from callsheet.errors import CallsheetError, ConfigError
from callsheet.expansion import Cell, Expansion
from callsheet.jobs import CallWarning, JobResult, WarningKind
from callsheet.money import FREE, Cost, PriceRow, total
from callsheet.preparation import Prepared, PreparedCall, Preparer, Samples
from callsheet.registry import BoundHandler
from callsheet.selector import Selection

__all__ = ["JobState", "Plan", "PlannedJob", "Planner", "PriorParts", "Reason", "stale_reason", "strict_problems"]


class JobState(StrEnum):
    """What a run would do with a job."""

    CACHED = "cached"
    RUN = "run"
    MAYBE = "maybe"
    """Waits for upstream: whether it runs depends on what upstream gives."""
    BLOCKED = "blocked"
    """Cannot run: what it reads does not exist, or its model cannot take it."""


_PAID = (JobState.RUN, JobState.MAYBE)


class Reason(StrEnum):
    """Why a job is not cached (or, for a pin, why it does not run)."""

    NEW = "new"
    INPUTS = "inputs"
    MODEL = "model"
    OPTIONS = "options"
    HANDLER = "handler"
    UPSTREAM = "upstream"
    LOST = "lost"
    PINNED = "pinned"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class PriorParts:
    """What satisfied a job the last time: the key, and digests of what the request was made from."""

    key: str
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job of a plan. `detail` says which attributes changed, or what is wrong.

    `prices` are the rows that its model is priced by, where something may have to be paid.
    """

    id: str
    producer: str
    index: int | None
    operation: str
    ref: str
    fallbacks: tuple[str, ...]
    mode: str
    mapping: str
    state: JobState
    reason: Reason | None
    detail: str
    cost: Cost
    upstream: tuple[str, ...]
    key: str = ""
    warnings: tuple[CallWarning, ...] = ()
    dispatch: str = "call"
    prices: tuple[PriceRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs in order, what they would cost, and what the user should know beforehand."""

    sheet: str
    title: str
    mode: str
    jobs: tuple[PlannedJob, ...]
    warnings: tuple[CallWarning, ...]
    notes: tuple[str, ...] = ()
    selections: tuple[Selection, ...] = ()

    @property
    def cost(self) -> Cost:
        """The cost of all jobs that run, and of those that may."""
        return total(job.cost for job in self.jobs if job.state in _PAID)

    @property
    def most(self) -> Decimal:
        """US dollars that the jobs with a known price or range may cost at most."""
        costs = (job.cost.high for job in self.jobs if job.state in _PAID)
        return sum((high for high in costs if high is not None), Decimal(0))

    def count(self, state: JobState) -> int:
        """How many jobs are in this state."""
        return sum(1 for job in self.jobs if job.state is state)


def stale_reason(call: PreparedCall, prior: PriorParts | None, changed_upstream: Sequence[str]) -> tuple[Reason, str]:
    """Why a call's key is not the one that satisfied its job before. Pure."""
    if prior is None:
        return Reason.NEW, ""
    parts = call.parts
    different = sorted(name for name in prior.parts.keys() | parts.keys() if prior.parts.get(name) != parts.get(name))
    attributes = [name.removeprefix("inputs.") for name in different if name.startswith("inputs.")]
    if changed_upstream and attributes:
        return Reason.UPSTREAM, f"{', '.join(changed_upstream)} gave something new"
    for part, reason in (("model", Reason.MODEL), ("revision", Reason.MODEL), ("options", Reason.OPTIONS)):
        if part in different:
            return reason, prior.parts.get(part, "") if part == "model" else ""
    if attributes:
        return Reason.INPUTS, ", ".join(attributes)
    return Reason.HANDLER, ", ".join(different)


def strict_problems(warnings: Sequence[CallWarning]) -> None:
    """Raises ConfigError when `--strict` forbids what the warnings tell."""
    if warnings:
        lines = "\n".join(f"- {w.message}" for w in warnings)
        raise ConfigError(f"--strict: {len(warnings)} warning(s) count as errors:\n{lines}")


Lookup = Callable[[Sequence[str]], Awaitable[Mapping[str, JobResult]]]
LARGEST_BATCH = 500
"""How many cells are prepared before the ledger is asked for all of them at once."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A cell that can be prepared; whether it is paid for is yet to be asked."""

    cell: Cell
    prepared: Prepared
    keys: tuple[str, ...]


@dataclass(slots=True)
class Planner:
    """Walks the cells in order. `lookup` gives the results of the keys that are paid for; `prior` what was used last."""

    expansion: Expansion
    preparer: Preparer
    lookup: Lookup
    prior: Mapping[str, PriorParts]
    pinned: Mapping[str, tuple[Artifact, ...]]
    mode: str
    _results: dict[str, tuple[Artifact, ...]] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _samples: Samples = field(default_factory=Samples)

    async def plan(self) -> Plan:
        """Plan every cell. Raises ConfigError for models that nobody provides."""
        jobs = [job for batch in self._batches() for job in await self._jobs(batch)]
        sheet = self.expansion.sheet
        warnings = list(dict.fromkeys(w for job in jobs for w in job.warnings))
        return Plan(str(sheet.source), sheet.title, self.mode, tuple(jobs), (*self._unchecked(jobs), *warnings))

    def _batches(self) -> Iterator[list[Cell]]:
        """The cells in order; none stands in one batch with a cell that it reads."""
        batch: dict[str, Cell] = {}
        for cell in self.expansion.cells.values():
            if len(batch) == LARGEST_BATCH or not batch.keys().isdisjoint(cell.upstream):
                yield list(batch.values())
                batch = {}
            batch[cell.id] = cell
        yield list(batch.values())

    async def _jobs(self, batch: Sequence[Cell]) -> list[PlannedJob]:
        begun = [self._begin(cell) for cell in batch]
        keys = [key for each in begun if isinstance(each, _Candidate) for key in each.keys]
        found = await self.lookup(keys) if keys else {}
        return [self._decide(each, found) if isinstance(each, _Candidate) else each for each in begun]

    def _unchecked(self, jobs: Sequence[PlannedJob]) -> list[CallWarning]:
        refs = sorted({job.ref for job in jobs if job.mapping == "unchecked"})
        if not refs:
            return []
        text = f"mapping = unchecked for {', '.join(refs)}: install their plugins to check the requests too"
        return [CallWarning(WarningKind.UNCHECKED, text)]

    def _begin(self, cell: Cell) -> PlannedJob | _Candidate:
        if cell.id in self.pinned:
            self._results[cell.id] = self.pinned[cell.id]
            pins = self.expansion.producers[cell.producer].producer.pin
            return self._planned(cell, JobState.CACHED, Reason.PINNED, ", ".join(pins), FREE)
        waiting = [job for job in cell.upstream if job not in self._results]
        if waiting and not cell.missing:
            changed = [job for job in waiting if job in self._changed]
            self._changed.add(cell.id)
            detail = f"waits for {', '.join(changed or waiting)}"
            return self._planned(cell, JobState.MAYBE, Reason.UPSTREAM, detail, self.preparer.foresee(cell))
        try:
            prepared = self.preparer.prepare(cell, self._results)
        except CallsheetError as error:
            return self._planned(cell, JobState.BLOCKED, Reason.IMPOSSIBLE, str(error), FREE)
        keys = [call.key(self._samples.take(cell.producer, call)) for call in prepared.calls]
        return _Candidate(cell, prepared, tuple(keys))

    def _decide(self, candidate: _Candidate, found: Mapping[str, JobResult]) -> PlannedJob:
        cell, prepared, keys = candidate.cell, candidate.prepared, candidate.keys
        warnings = (*prepared.calls[0].request.warnings, *prepared.warnings)
        for call, key in zip(prepared.calls, keys, strict=True):
            if key in found:
                self._results[cell.id] = found[key].artifacts
                ref = str(call.job.ref)
                return self._planned(cell, JobState.CACHED, None, "", FREE, key=key, ref=ref, warnings=warnings)
        self._changed.add(cell.id)
        call = prepared.calls[0]
        reason, detail = stale_reason(call, self.prior.get(cell.id), [])
        if self.prior.get(cell.id) is not None and self.prior[cell.id].key == keys[0]:
            reason, detail = Reason.LOST, "its result is not in the store any more, or the last try failed"
        return self._planned(cell, JobState.RUN, reason, detail, call.cost, key=keys[0], warnings=warnings)

    def _planned(
        self,
        cell: Cell,
        state: JobState,
        reason: Reason | None,
        detail: str,
        cost: Cost,
        *,
        key: str = "",
        ref: str = "",
        warnings: tuple[CallWarning, ...] = (),
    ) -> PlannedJob:
        compiled = self.expansion.producers[cell.producer]
        pinned = reason is Reason.PINNED
        bound = None if pinned else self.preparer.bound(cell.producer)
        names = [choice.choice.name for choice in compiled.choices]
        batched = compiled.producer.dispatch == "batch" and bound is not None and takes_batches(bound)
        return PlannedJob(
            id=cell.id,
            producer=cell.producer,
            index=cell.index,
            operation=compiled.producer.operation.value,
            ref=ref or (str(bound.ref) if bound else names[0]),
            fallbacks=tuple(names[1:]),
            mode="pinned" if bound is None else bound.mode.value,
            mapping="" if bound is None else bound.mapping,
            state=state,
            reason=reason,
            detail=detail,
            cost=cost,
            upstream=cell.upstream,
            key=key,
            warnings=warnings,
            dispatch="batch" if batched else "call",
            prices=_prices(bound, batched=batched) if bound is not None and state in _PAID else (),
        )


def _prices(bound: BoundHandler, *, batched: bool) -> tuple[PriceRow, ...]:
    """The rows that a model's calls are priced by, at the price of a batch where they go by batch."""
    if bound.simulated:
        return ()
    if not batched or bound.batch is None:
        return bound.info.price
    return tuple(replace(row, usd=row.usd * bound.batch.price_factor) for row in bound.info.price)
