"""From a cell and its upstream's artifacts to requests: one for each model choice, mapped, priced and with its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from callsheet.artifacts import Artifact, FileRef
from callsheet.batching import group_of, one_by_one
from callsheet.bindings import BoundChoice, CompiledProducer, Scope, evaluate, values_for
from callsheet.digests import digest, json_ready
from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.estimates import estimate_request
from callsheet.expansion import Cell, Expansion
from callsheet.fallback import refuse_lacking, unusable
from callsheet.inputs import Inputs, parse_inputs
from callsheet.jobs import CallWarning, Job, ProviderRequest, WarningKind
from callsheet.models import Mode, Operation
from callsheet.money import FREE, Cost
from callsheet.registry import BoundHandler
from callsheet.trial import PLACEHOLDER, trial_inputs, trial_options, weighs_nothing

__all__ = ["KEY_VERSION", "Offer", "Prepared", "PreparedCall", "Preparer", "Samples", "prepare_call"]

KEY_VERSION = 1


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A request that is ready to be paid for. `identity` is the cache key's material without the sample.

    `group` is that of its batch; empty for a call that is sent by itself.
    """

    bound: BoundHandler
    job: Job
    request: ProviderRequest
    request_digest: str
    identity: Mapping[str, object]
    group: str = ""
    _keys: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    def key(self, sample: int) -> str:
        """The cache key: hex sha256. Equal keys are the same paid thing."""
        if sample not in self._keys:
            self._keys[sample] = digest({**self.identity, "sample": sample})
        return self._keys[sample]

    @property
    def cost(self) -> Cost:
        """What it will cost; in a batch, at the price of one. Worked out for whoever asks."""
        return _cost(self.bound, self.job, self.request, self.group)

    @property
    def parts(self) -> Mapping[str, str]:
        """Digests of what the request was made from, so that a later plan can say what changed."""
        job, bound = self.job, self.bound
        given = json_ready(job.inputs)
        assert isinstance(given, dict)
        return {
            "model": str(job.ref),
            "revision": job.model.revision,
            "handler": f"{bound.namespace}/{bound.cache_version}",
            "options": digest(job.options),
            "salt": str(self.identity["salt"]),
            **{f"inputs.{name}": digest(value) for name, value in given.items() if value not in ([], None)},
        }


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model would be asked, and for how much when live; `firm` when nothing that is still to come changes that."""

    request: ProviderRequest
    cost: Cost
    firm: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job's calls, primary first; `warnings` tell which fallbacks cannot take part and why."""

    calls: tuple[PreparedCall, ...]
    warnings: tuple[CallWarning, ...] = ()


class Samples:
    """Numbers equal requests of one producer 0, 1, 2, … so that three takes of one prompt are three pictures."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()

    def take(self, producer: str, call: PreparedCall) -> int:
        """The next number for this request within its producer."""
        mark = (producer, call.key(0))
        self._taken[mark] += 1
        return self._taken[mark] - 1


def prepare_call(bound: BoundHandler, job: Job, *, salt: str = "", batch: bool = False) -> PreparedCall:
    """Map a job to its request and derive digests and key material. Raises CallsheetError; sends nothing.

    `batch` asks for a batch; where that cannot be, the call has a warning.
    """
    request = bound.prepare(job)
    body = json_ready(request.body)
    identity = {
        "v": KEY_VERSION,
        "namespace": bound.namespace,
        "provider": job.ref.provider,
        "model": job.ref.model,
        "revision": job.model.revision,
        "operation": job.operation.value,
        "body": body,
        "cache_version": bound.cache_version,
        "salt": salt,
    }
    group = group_of(bound, request) if batch else ""
    if batch and not group and not bound.simulated:
        request = replace(request, warnings=(*request.warnings, one_by_one(bound)))
    return PreparedCall(bound, job, request, digest({"ref": str(job.ref), "body": body}), identity, group)


class Preparer:
    """Prepares the cells of one sheet. `resolve(name, operation, mode)` gives the handler of a model choice."""

    def __init__(
        self,
        expansion: Expansion,
        resolve: Callable[[str, CompiledProducer, Mode], BoundHandler],
        mode_of: Callable[[str], Mode],
        files: Mapping[Path, FileRef],
        salt: str,
    ) -> None:
        self._expansion = expansion
        self._resolve = resolve
        self._mode_of = mode_of
        self._files = files
        self._salt = salt
        self._bound: dict[tuple[str, str], BoundHandler] = {}

    def bound(self, producer: str) -> BoundHandler:
        """The handler of a producer's primary model. Raises ConfigError for an unknown one."""
        compiled = self._expansion.producers[producer]
        return self._bind(compiled, compiled.choices[0])

    def _bind(self, compiled: CompiledProducer, choice: BoundChoice) -> BoundHandler:
        """The handler of a choice, resolved once for all its cells."""
        wanted = (compiled.producer.name, choice.choice.name)
        if wanted not in self._bound:
            self._bound[wanted] = self._resolve(choice.choice.name, compiled, self._mode_of(compiled.producer.name))
        return self._bound[wanted]

    def prepare(self, cell: Cell, results: Mapping[str, tuple[Artifact, ...]]) -> Prepared:
        """The cell's calls. Raises CallsheetError when its primary model cannot take it."""
        if cell.missing:
            raise ConfigError(f"reads {cell.missing}, which does not exist", where=self._where(cell))
        compiled = self._expansion.producers[cell.producer]
        calls: list[PreparedCall] = []
        warnings: list[CallWarning] = []
        for number, choice in enumerate(compiled.choices):
            if number and not self._usable(compiled, choice):
                continue  # `check` has told of it, once for all cells
            try:
                call = self._call(cell, compiled, choice, results)
                if number:
                    refuse_lacking(calls[0].request, call.request)
                calls.append(call)
            except CallsheetError as error:
                if number == 0:
                    raise
                warnings.append(unusable(choice.choice.name, cell.id, error))
        return Prepared(tuple(calls), tuple(warnings))

    def _usable(self, compiled: CompiledProducer, choice: BoundChoice) -> bool:
        try:
            self._bind(compiled, choice)
        except (ConfigError, PluginError):
            return False
        return True

    def check(self, producer: str) -> list[CallWarning]:
        """Try a producer with placeholders for what upstream will give: its primary model's warnings.

        A fallback that cannot take it is a warning, too. Raises ConfigError when the primary model cannot take it, whatever
        upstream gives.
        """
        compiled = self._expansion.producers[producer]
        size = self._expansion.sizes[producer]
        if compiled.producer.pin:
            return []
        cell = Cell(producer, producer, None if size is None else 0, ())
        where = f"{self._expansion.sheet.source.name}: producers.{producer}"
        warnings: list[CallWarning] = []
        first: ProviderRequest | None = None
        for number, choice in enumerate(compiled.choices):
            try:
                bound = self._bind(compiled, choice)
            except (ConfigError, PluginError) as error:
                if number == 0:
                    raise _at(error, f"{where}.models[0]") from error
                warnings.append(_unusable(producer, choice, error))
                continue
            try:
                if size != 0:
                    request = bound.prepare(self._trial(cell, compiled, choice, bound, where))
                    first = first or request
                    if number:
                        refuse_lacking(first, request)
                    else:
                        warnings += request.warnings
            except PluginError:
                continue  # a plugin that breaks over a placeholder may be right about the real thing
            except CallsheetError as error:
                if number == 0:
                    raise error if isinstance(error, ConfigError) else ConfigError(str(error), where=where) from error
                warnings.append(_unusable(producer, choice, error))
        return warnings

    def _trial(
        self,
        cell: Cell,
        compiled: CompiledProducer,
        choice: BoundChoice,
        bound: BoundHandler,
        where: str,
        *,
        text: str = PLACEHOLDER,
    ) -> Job:
        sheet, operation = self._expansion.sheet, compiled.producer.operation
        scope = self._scope(cell, {})
        values = trial_inputs(sheet, choice, operation, scope, where, text=text)
        options = trial_options(sheet, choice, scope, where)
        return self._job(cell, bound, operation, parse_inputs(operation, values, where), options)

    def offer(self, producer: str, choice: BoundChoice, bound: BoundHandler) -> Offer | None:
        """What a model would be asked for a producer's first job; None for one without jobs. Raises CallsheetError."""
        compiled, sheet = self._expansion.producers[producer], self._expansion.sheet
        size = self._expansion.sizes[producer]
        if size == 0:
            return None
        cell = Cell(producer, producer, None if size is None else 0, ())
        where = f"{sheet.source.name}: producers.{producer}"
        offers = []
        for text in (PLACEHOLDER, PLACEHOLDER * 10):
            job = self._trial(cell, compiled, choice, bound, where, text=text)
            call = prepare_call(bound, job, salt=self._salt, batch=compiled.producer.dispatch == "batch")
            offers.append(Offer(call.request, _live_cost(bound, job, call.request, call.group)))
        firm = weighs_nothing(sheet, choice, compiled.producer.operation)
        return replace(offers[1], firm=firm and offers[0].cost == offers[1].cost)

    def foresee(self, cell: Cell) -> Cost:
        """What a cell that waits for upstream will cost, where that does not depend on what upstream gives."""
        compiled = self._expansion.producers[cell.producer]
        choice = compiled.choices[0]
        bound = self._bind(compiled, choice)
        if bound.simulated:
            return FREE
        costs: set[Cost] = set()
        if weighs_nothing(self._expansion.sheet, choice, compiled.producer.operation):
            with suppress(CallsheetError):
                for text in (PLACEHOLDER, PLACEHOLDER * 10):
                    job = self._trial(cell, compiled, choice, bound, self._where(cell), text=text)
                    request = bound.prepare(job)
                    group = group_of(bound, request) if compiled.producer.dispatch == "batch" else ""
                    costs.add(_cost(bound, job, request, group))
        return costs.pop() if len(costs) == 1 else Cost.unknown("priced when its upstream is there")

    def _call(
        self, cell: Cell, compiled: CompiledProducer, choice: BoundChoice, results: Mapping[str, tuple[Artifact, ...]]
    ) -> PreparedCall:
        operation = compiled.producer.operation
        where = self._where(cell)
        bound = self._bind(compiled, choice)
        scope = self._scope(cell, results)
        values = values_for(choice, scope, operation, where)
        options = {name: evaluate(b, scope, f"{where}.options.{name}") for name, b in choice.options.items()}
        job = self._job(cell, bound, operation, parse_inputs(operation, values, where), options)
        batch = compiled.producer.dispatch == "batch" and choice is compiled.choices[0]
        return prepare_call(bound, job, salt=self._salt, batch=batch)

    def _scope(self, cell: Cell, results: Mapping[str, tuple[Artifact, ...]]) -> Scope:
        expansion = self._expansion
        sheet = expansion.sheet
        upstream = {job: results[job] for job in cell.upstream if job in results}
        return Scope(sheet.inputs, cell.index, expansion.sizes, upstream, self._files, sheet.folder, expansion.project)

    @staticmethod
    def _job(
        cell: Cell, bound: BoundHandler, operation: Operation, inputs: Inputs, options: Mapping[str, object]
    ) -> Job:
        return Job(
            id=cell.id,
            ref=bound.ref,
            model=bound.info,
            operation=operation,
            inputs=inputs,
            options=options,
            producer=cell.producer,
            index=cell.index,
        )

    def _where(self, cell: Cell) -> str:
        return f"{self._expansion.sheet.source.name}: {cell.id}"


def _cost(bound: BoundHandler, job: Job, request: ProviderRequest, group: str) -> Cost:
    return FREE if bound.simulated else _live_cost(bound, job, request, group)


def _live_cost(bound: BoundHandler, job: Job, request: ProviderRequest, group: str) -> Cost:
    cost = estimate_request(job, request)
    return cost.times(bound.batch.price_factor) if group and bound.batch is not None else cost


def _unusable(producer: str, choice: BoundChoice, error: CallsheetError) -> CallWarning:
    text = f"{producer}: the fallback {choice.choice.name} cannot be used: {error}"
    return CallWarning(WarningKind.UNSUPPORTED, text)


def _at(error: ConfigError | PluginError, where: str) -> CallsheetError:
    """The same error with the place in the sheet in front."""
    if isinstance(error, ConfigError):
        return ConfigError(str(error), where=where, missing=error.exit_code == 3)
    return PluginError(f"{where}: {error}", plugin=error.plugin)
