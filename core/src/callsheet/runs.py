"""A run of a sheet from beginning to end: what was asked for, the plan, the jobs, the manifest and the outputs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from callsheet.artifacts import Artifact, FileRef
from callsheet.bindings import CompiledProducer
from callsheet.budget import Budget
from callsheet.cancel_watch import CancelWatch
from callsheet.digests import json_ready
from callsheet.errors import CallsheetError, ConfigError
from callsheet.expansion import Expansion, expand
from callsheet.intake import pinned_artifacts, take_in_all
from callsheet.jobs import CallWarning, JobResult
from callsheet.manifest import build_manifest
from callsheet.models import Mode
from callsheet.outputs import OutputFolder
from callsheet.pay_once import OnUnknown
from callsheet.plan import JobState, Plan, Planner, PriorParts, strict_problems
from callsheet.preparation import Preparer
from callsheet.registry import BoundHandler
from callsheet.result_check import has_all_files
from callsheet.runner import JobOutcome, JobStatus, Runner, RunOptions
from callsheet.runtime import Runtime
from callsheet.secrets import MASK
from callsheet.selector import AUTO, Selection
from callsheet.sheet import CallSheet
from callsheet.sheet_selection import SheetSelection, mark, told_of
from callsheet.storage import RunRecord

__all__ = ["Run", "RunRequest", "SheetRun"]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """How a run was asked for. `mock` names producers that are mocked in a live run; `models` choose other primaries;
    `chosen` are the models that an earlier run chose for `auto:` entries, with spaces between them, by `mode:producer`.

    `output` is the folder for the results (None: `output` beside the sheet, `output-mock` for a mocked run);
    `run` continues an earlier run under its id. `max_cost` in US dollars takes the place of the configured `max_run`, and
    calls of unknown price are then refused, unless the configuration allows them.
    """

    mode: Mode = Mode.LIVE
    mock: frozenset[str] = frozenset()
    inputs: Mapping[str, object] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)
    reset_selection: bool = False
    strict: bool = False
    fail_fast: bool = False
    on_unknown: OnUnknown = OnUnknown.DEFAULT
    max_cost: Decimal | None = None
    output: Path | None = None
    run: str = ""

    def to_json(self) -> dict[str, object]:
        """What a resume needs to ask the same again."""
        kept = ("mode", "mock", "inputs", "models", "strict", "fail_fast")
        bound = {} if self.max_cost is None else {"max_cost": str(self.max_cost)}
        return {**{name: json_ready(getattr(self, name)) for name in kept}, **bound}

    @classmethod
    def from_json(cls, data: Mapping[str, object], *, run: str, output: str) -> RunRequest:
        """The request that `to_json` wrote, as a continuation of that run. Raises ConfigError when parts are masked."""
        inputs = _table(data.get("inputs"))
        if any(MASK in str(value) for value in inputs.values()):
            what = "an input of this run held a secret, and secrets are not kept"
            raise ConfigError(f"{what}: run the sheet again with the same --input (what is paid for is used)")
        return cls(
            mode=Mode(str(data.get("mode", Mode.LIVE))),
            mock=frozenset(map(str, _listed(data.get("mock")))),
            inputs=inputs,
            models={name: str(ref) for name, ref in _table(data.get("models")).items()},
            chosen={name: str(ref) for name, ref in _table(data.get("chosen")).items()},
            strict=bool(data.get("strict")),
            fail_fast=bool(data.get("fail_fast")),
            max_cost=Decimal(str(data["max_cost"])) if data.get("max_cost") is not None else None,
            output=Path(output),
            run=run,
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended. `status` is succeeded, partial, failed or cancelled; `notes` are for the user's eye."""

    id: str
    status: str
    output: Path
    outcomes: Mapping[str, JobOutcome]
    manifest: Mapping[str, object]
    files: tuple[Path, ...]
    warnings: tuple[CallWarning, ...]
    notes: tuple[str, ...]

    def count(self, *statuses: JobStatus) -> int:
        """How many jobs ended so."""
        return sum(1 for outcome in self.outcomes.values() if outcome.status in statuses)


class SheetRun:
    """One sheet, made ready: expanded, its models resolved, its files taken in."""

    def __init__(self, runtime: Runtime, sheet: CallSheet, request: RunRequest, expansion: Expansion) -> None:
        self._runtime = runtime
        self._request = request
        self._expansion = expansion
        self._sheet = sheet
        self._sheet_id = runtime.project.sheet_id(sheet.source)
        # what satisfied a job is remembered apart for live and mocked runs, what the user selected is not
        self._picks_id = f"{self._sheet_id}#{request.mode.value}"
        self._notes: list[str] = []
        self._warnings: list[CallWarning] = []
        self._selected: Mapping[str, str] = {}
        self._chosen_id = f"{self._sheet_id}#{AUTO}"
        self._selections: Mapping[str, Selection] = {}
        self._pinned: Mapping[str, tuple[Artifact, ...]] = {}
        self._files: Mapping[Path, FileRef] = {}

    @classmethod
    async def prepare(cls, runtime: Runtime, sheet: CallSheet, request: RunRequest) -> SheetRun:
        """Everything that can be wrong with a sheet is found here, before any money. Raises ConfigError, PluginError."""
        ledger = runtime.services.ledger
        sheet_id = runtime.project.sheet_id(sheet.source)
        kept = {} if request.reset_selection else await ledger.selection(sheet_id)
        kept = {name: ref for name, ref in kept.items() if name in sheet.producers}
        for name in request.mock - sheet.producers.keys():
            raise ConfigError(f"has no producer {name!r} to mock", where=sheet.source.name)
        chosen = sheet.with_inputs(request.inputs).with_models({**kept, **request.models})
        expansion = expand(chosen, runtime.project.folder)
        run = cls(runtime, chosen, request, expansion)
        run._selected = {**kept, **request.models}
        run._note_selection(kept)
        run._files = await take_in_all(expansion.files, runtime.services.blobs)
        run._pinned = await pinned_artifacts(expansion, runtime.services.blobs)
        await run._choose_models()
        for name in expansion.producers:
            run._warnings += run._preparer().check(name)
        return run

    async def _choose_models(self) -> None:
        """Have models chosen where the sheet names none; a run that goes on keeps its own."""
        kept: Mapping[str, str] = self._request.chosen
        if not kept and not self._request.reset_selection:
            kept = await self._runtime.services.ledger.selection(self._chosen_id)
        choice = SheetSelection(self._runtime, self._expansion, self._preparer(), self._mode_of, kept)
        self._expansion, self._selections = await choice.choose()
        self._notes += told_of(self._selections)

    def _chosen(self) -> dict[str, str]:
        return {mark(made.request): " ".join(map(str, made.refs)) for made in self._selections.values()}

    async def plan(self) -> Plan:
        """The plan, with the user's notes. Raises ConfigError under `strict` for every warning in it."""
        planner = Planner(
            self._expansion, self._preparer(), self._paid_results, await self._prior(), self._pinned, self._mode_name()
        )
        plan = await planner.plan()
        warnings = tuple(dict.fromkeys((*self._warnings, *plan.warnings)))
        plan = replace(plan, warnings=warnings, notes=tuple(self._notes), selections=tuple(self._selections.values()))
        if self._request.strict:
            strict_problems(plan.warnings)
        return plan

    async def run(self) -> Run:
        """Run every job, then write manifest and outputs; also when cancelled, before CancelledError goes on.

        A run that another process asked to stop ends as one that is cancelled, without CancelledError.
        """
        output = OutputFolder(self._output())
        output.check()
        plan = await self.plan()
        await self._must_have_keys(plan)
        run_id = await self._begin(output.path)
        runner = Runner(
            run_id=run_id,
            sheet=self._picks_id,
            expansion=self._expansion,
            preparer=self._preparer(),
            performer=self._runtime.performer,
            services=self._runtime.services,
            options=self._options(run_id),
            pinned=self._pinned,
            prior=await self._prior(),
        )
        watch = CancelWatch(self._runtime.services, run_id)
        try:
            outcomes = await watch.over(self._work(plan, runner))
        except asyncio.CancelledError:
            run = await asyncio.shield(self._finish(run_id, "cancelled", runner.outcomes, output, plan))
            if watch.stopped_it:
                return run
            raise
        except CallsheetError:
            await self._finish(run_id, "failed", runner.outcomes, output, plan)
            raise
        return await self._finish(run_id, _status(outcomes), outcomes, output, plan)

    async def _work(self, plan: Plan, runner: Runner) -> Mapping[str, JobOutcome]:
        with self._runtime.services.telemetry.run(runner.run_id, self._sheet_id, self._mode_name()) as trace:
            await self._runtime.warm_start(self._bounds(plan))
            outcomes = await runner.run()
            trace.tell(status=_status(outcomes))
            return outcomes

    async def _begin(self, output: Path) -> str:
        ledger = self._runtime.services.ledger
        started = ("run.started", "", {"sheet": self._sheet_id, "mode": self._mode_name()})
        if self._request.run:
            await ledger.reopen_run(self._request.run, ledger.owner.id, events=[("run.resumed", "", {})])
            return self._request.run
        if self._request.reset_selection:
            await ledger.clear_selection(self._sheet_id)
            await ledger.clear_selection(self._chosen_id)
        for name, ref in self._request.models.items():
            await ledger.set_selection(self._sheet_id, name, ref)
        chosen = self._chosen()
        for name, ref in chosen.items():
            await ledger.set_selection(self._chosen_id, name, ref)
        record = RunRecord(
            id=uuid.uuid4().hex[:12],
            sheet=self._sheet_id,
            mode=self._mode_name(),
            status="running",
            owner=ledger.owner.id,
            started=self._runtime.services.clock(),
            ended=None,
            output=str(output),
            request={
                **self._request.to_json(),
                "models": dict(self._selected),
                "chosen": chosen,
                "title": self._sheet.title,
            },
        )
        await ledger.start_run(record, events=[started])
        return record.id

    async def _finish(
        self, run_id: str, status: str, outcomes: Mapping[str, JobOutcome], output: OutputFolder, plan: Plan
    ) -> Run:
        ledger = self._runtime.services.ledger
        untold = (JobStatus.SKIPPED, JobStatus.CANCELLED)
        events = [(f"job.{o.status}", o.id, {"detail": o.detail}) for o in outcomes.values() if o.status in untold]
        record = await ledger.finish_run(run_id, status, events=[*events, ("run.finished", "", {"status": status})])
        manifest = build_manifest(record, self._sheet.title, await ledger.events(run_id))
        results = {name: outcome.artifacts for name, outcome in outcomes.items()}
        files = output.write(manifest, results, self._runtime.services.blobs)
        return Run(
            id=run_id,
            status=status,
            output=output.path,
            outcomes=outcomes,
            manifest=manifest,
            files=tuple(files),
            warnings=plan.warnings,
            notes=tuple(self._notes),
        )

    def _options(self, run_id: str) -> RunOptions:
        request, settings = self._request, self._runtime.settings
        budget = Budget.of(self._runtime.services, settings.bounded(request.max_cost), run_id)
        concurrency, seconds = settings.concurrency, settings.policies.deadlines.run
        return RunOptions(concurrency, request.fail_fast, request.strict, request.on_unknown, budget, seconds)

    def _preparer(self) -> Preparer:
        return Preparer(self._expansion, self._resolve, self._mode_of, self._files, self._runtime.settings.salt)

    def _resolve(self, name: str, compiled: CompiledProducer, mode: Mode) -> BoundHandler:
        ref = self._runtime.catalog.find(name)
        return self._runtime.registry.resolve(ref, compiled.producer.operation, mode)

    def _mode_of(self, producer: str) -> Mode:
        return Mode.MOCK if producer in self._request.mock else self._request.mode

    def _mode_name(self) -> str:
        return "hybrid" if self._request.mock and self._request.mode is Mode.LIVE else self._request.mode.value

    def _bounds(self, plan: Plan) -> list[BoundHandler]:
        """The handlers of the producers that have something to do: what is paid for needs no SDK and no key."""
        busy = {job.producer for job in plan.jobs if job.state in (JobState.RUN, JobState.MAYBE)}
        preparer = self._preparer()
        return [preparer.bound(name) for name in self._expansion.producers if name in busy]

    async def _must_have_keys(self, plan: Plan) -> None:
        """A key that is missing for the last step must not show after the first ones were paid for."""
        missing: list[str] = []
        for bound in self._bounds(plan):
            if not bound.simulated:
                try:
                    await self._runtime.services.scope(bound.asker, bound.secrets).key()
                except ConfigError as error:
                    missing.append(str(error))
        if missing:
            raise ConfigError("; ".join(dict.fromkeys(missing)), missing=True)

    def _note_selection(self, kept: Mapping[str, str]) -> None:
        for name, ref in kept.items():
            if name not in self._request.models:
                self._notes.append(f"{name} uses {ref}, chosen earlier with --model; --reset-selection forgets it")

    async def _prior(self) -> dict[str, PriorParts]:
        picks = await self._runtime.services.ledger.picks(self._picks_id)
        return {job: PriorParts(pick.key, pick.parts) for job, pick in picks.items()}

    async def _paid_results(self, keys: object) -> Mapping[str, JobResult]:
        assert isinstance(keys, list)
        records = await self._runtime.services.ledger.get_many(keys)
        blobs = self._runtime.services.blobs
        results = {key: record.result for key, record in records.items() if record.result is not None}
        return {key: result for key, result in results.items() if has_all_files(result, blobs)}

    def _output(self) -> Path:
        if self._request.output is not None:
            return self._request.output.absolute()
        return self._sheet.folder / ("output-mock" if self._request.mode is Mode.MOCK else "output")


def _status(outcomes: Mapping[str, JobOutcome]) -> str:
    good = sum(1 for outcome in outcomes.values() if outcome.status.good)
    if good == len(outcomes):
        return "succeeded"
    return "partial" if good else "failed"
