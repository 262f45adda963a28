"""Automatic selection: every model of an operation is tried on the job without sending it, and the best one is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from decimal import Decimal

from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.estimates import estimate_request, least_tokens
from callsheet.inputs import Inputs
from callsheet.jobs import Job, ProviderRequest, WarningKind
from callsheet.models import ModelInfo, ModelRef
from callsheet.money import Cost
from callsheet.preparation import Offer
from callsheet.registry import BoundHandler
from callsheet.runtime import Runtime
from callsheet.selector import Candidate, Refusal, Requirements, Selection, SelectionRequest, Selector
from callsheet.stores.breakers import Domain, Failing

__all__ = ["Attempt", "offer_call", "rank_reason", "select_model"]

Attempt = Callable[[BoundHandler], Offer | None]
"""What a model would be asked, and for how much; None where nothing is asked. Raises CallsheetError when it cannot."""

_FIXED = ("duration", "dimensions")
"""With another value of these a result is another thing."""
_BUSY_SECONDS = 10.0
"""A wait for a provider's gate that is worth going elsewhere for."""
_SHOWN = 12

_Able = tuple[BoundHandler, Candidate]


async def select_model(
    runtime: Runtime, request: SelectionRequest, attempt: Attempt, kept: Sequence[str] = ()
) -> Selection:
    """Choose a model and its fallbacks; sends nothing. `kept` are those of an earlier run, which hold while they can do it.

    Raises ConfigError that names every model and what it lacks, PluginError for a selector that fails.
    """
    able, refused = await _Trial(runtime, request, attempt, kept).sort_out(_rows(runtime, request))
    if not able:
        raise _nobody(request, refused)
    by, chosen = _decided(runtime, request, sorted(await _looked_up(runtime, able), key=_rank))
    known = {str(each.ref): each for each in chosen}
    again = [known[name] for name in kept if name in known]
    if again and str(again[0].ref) == kept[0]:
        by = "kept"
    ranked = (*again, *(each for each in chosen if each not in again))
    return Selection(request, ranked, tuple(refused), by, _lost(kept[0], refused) if kept and by != "kept" else "")


def offer_call(inputs: Inputs, options: Mapping[str, object], bound: BoundHandler) -> Offer:
    """What a model would be asked in a single call. Raises CallsheetError."""
    job = Job("call", bound.ref, bound.info, bound.info.operation, inputs, dict(options))
    request = bound.prepare(job)
    return Offer(request, estimate_request(job, request))


def _lost(first: str, refused: Sequence[Refusal]) -> str:
    reasons = (each.reason for each in refused if str(each.ref) == first)
    return f"{first}, chosen by an earlier run, is out: {next(reasons, 'it is not among the models any more')}"


def _rows(runtime: Runtime, request: SelectionRequest) -> list[ModelInfo]:
    """The rows to choose from. A live call is made up only where that was asked for by name."""
    named = request.requirements.providers
    known = {*runtime.catalog.providers(), *runtime.catalog.lent()}
    if unknown := [name for name in named if name not in known]:
        raise ConfigError(f"providers: there is no {', '.join(unknown)} here; there are {', '.join(sorted(known))}")
    return [
        row
        for row in runtime.catalog.search(operation=request.operation)
        if (row.provider in named if named else request.mode == "mock" or not _simulates(runtime, row.provider))
    ]


def _simulates(runtime: Runtime, provider: str) -> bool:
    plugin = runtime.catalog.providers().get(provider)
    return plugin is not None and plugin.simulates


class _Trial:
    """Who of the models can do it."""

    def __init__(self, runtime: Runtime, request: SelectionRequest, attempt: Attempt, kept: Sequence[str]) -> None:
        self._runtime = runtime
        self._request = request
        self._attempt = attempt
        self._kept = kept
        self._keys: dict[tuple[str, ...], str] = {}

    async def sort_out(self, rows: Iterable[ModelInfo]) -> tuple[list[_Able], list[Refusal]]:
        """Those that can do it and have a key; where none has one, it shows with the first call, so a plan needs none."""
        able: list[_Able] = []
        keyless: list[_Able] = []
        refused: dict[ModelRef, str] = {}
        for row in rows:
            ref = ModelRef(row.provider, row.model, self._request.environment)
            try:
                bound, candidate = self._tried(ref, row)
            except CallsheetError as error:
                text = self._runtime.services.redactor.text(str(error))
                refused[ref] = text.removeprefix(f"{ref}: ").removeprefix(f"{ref} ")
                continue
            problem = await self._key_problem(bound)
            (keyless if problem else able).append((bound, candidate))
            if problem:
                refused[ref] = problem
        out = [Refusal(ref, reason) for ref, reason in refused.items()]
        return (able, out) if able else (keyless, [each for each in out if each.reason not in self._keys.values()])

    def _tried(self, ref: ModelRef, row: ModelInfo) -> _Able:
        """Raises CallsheetError that says what is in the way; the cheapest question first."""
        wanted = self._request.requirements
        lacking = [name for name in wanted.needs if name not in row.capabilities and name not in row.inputs]
        if lacking:
            raise ConfigError(f"has no {', '.join(lacking)}")
        bound = self._runtime.registry.resolve(ref, row.operation, self._request.mode)
        offer = self._attempt(bound)
        cost = Cost.unknown("nothing is made") if offer is None else offer.cost
        adjusted = () if offer is None else _adjusted(offer.request)
        _check_context(wanted, row, offer)
        if offer is not None:
            _check_price(wanted, offer)
        simulated = _simulates(self._runtime, ref.provider)
        return bound, Candidate(ref, bound.info, cost, adjusted=adjusted, simulated=simulated)

    async def _key_problem(self, bound: BoundHandler) -> str:
        if bound.simulated or str(bound.ref) in self._kept:
            return ""  # what an earlier run had made is paid for, and to take that needs no key
        if bound.secrets not in self._keys:
            try:
                await self._runtime.services.scope(bound.asker, bound.secrets).key()
                self._keys[bound.secrets] = ""
            except CallsheetError as error:
                self._keys[bound.secrets] = self._runtime.services.redactor.text(str(error))
        return self._keys[bound.secrets]


def _adjusted(request: ProviderRequest) -> tuple[str, ...]:
    """The attributes that the model takes in its own way. Raises ConfigError for one that it does not take."""
    told = []
    for warning in request.warnings:
        changed = warning.kind is WarningKind.ADJUSTED
        if warning.kind is WarningKind.UNSUPPORTED or (changed and warning.attribute in _FIXED):
            raise ConfigError(warning.message)
        if changed or warning.kind is WarningKind.EMULATED:
            told.append(warning.attribute or str(warning.kind))
    return tuple(dict.fromkeys(told))


def _check_context(wanted: Requirements, row: ModelInfo, offer: Offer | None) -> None:
    takes = row.data.get("context")
    least = least_tokens(offer.request) if offer is not None else 0
    if not isinstance(takes, int):
        if wanted.context:
            raise ConfigError("context: how many tokens it takes is not known")
    elif takes < wanted.context:
        raise ConfigError(f"context: it takes {takes:,} tokens, fewer than {wanted.context:,}")
    elif takes < least:
        raise ConfigError(f"context: it takes {takes:,} tokens, and the job has {least:,} at least")


def _check_price(wanted: Requirements, offer: Offer) -> None:
    most, cost = wanted.max_price, offer.cost
    if most is None:
        return
    if cost.high is None:
        raise ConfigError(f"max_price: its price is not known ({cost.reason})")
    if cost.high > most:
        raise ConfigError(f"max_price: it costs {cost}, more than {Cost.exactly(most)}")
    if not offer.firm:
        raise ConfigError("max_price: its price depends on what upstream gives")


async def _looked_up(runtime: Runtime, able: Sequence[_Able]) -> list[Candidate]:
    """The candidates with what this project knows of them: how long they take, and whether they fail or are busy now."""
    ledger, now = runtime.services.ledger, runtime.services.clock()
    seconds = await ledger.latencies.seen([str(candidate.ref) for _, candidate in able])
    health = _Health(runtime, {each.domain: each for each in await ledger.breakers.read()})
    free = {gate.rate_key: max(gate.free, gate.tokens_free, gate.blocked) for gate in await ledger.gates.read()}
    return [
        replace(
            candidate,
            seconds=seconds.get(str(candidate.ref)),
            failing=await health.problem(bound),
            busy=0.0 if bound.simulated else max(free.get(bound.rate_key, 0.0) - now, 0.0),
        )
        for bound, candidate in able
    ]


@dataclass(frozen=True, slots=True)
class _Health:
    runtime: Runtime
    failing: Mapping[Domain, Failing]

    async def problem(self, bound: BoundHandler) -> str:
        """Why nothing is sent to a model just now; "" when there is no reason, or it is time to try it again."""
        if bound.simulated or not self.failing:
            return ""
        services = self.runtime.services
        target = services.admissions.target(bound)
        for domain in (*target.domains, await target.purse()):
            found = self.failing.get(domain)
            if found is not None and found.is_open and found.until > services.clock():
                return f"the {domain.scope} {domain.name} fails ({found.kind})"
        return ""


_Rank = tuple[bool, bool, bool, bool, int, bool, Decimal, bool, float, bool, str]


def _rank(candidate: Candidate) -> _Rank:
    """Smaller is better. The name is last, so that no two are equal."""
    cost, seconds = candidate.cost.high, candidate.seconds
    return (
        candidate.simulated,
        bool(candidate.failing),
        candidate.busy > _BUSY_SECONDS,
        bool(candidate.info.deprecated),
        len(candidate.adjusted),
        cost is None,
        cost or Decimal(0),
        seconds is None,
        seconds or 0.0,
        candidate.info.tier != "verified",
        str(candidate.ref),
    )


def rank_reason(candidate: Candidate, best: Candidate) -> str:
    """In what a candidate is behind the best one; "" when it is not."""
    reasons = (
        "it makes things up",
        candidate.failing,
        f"its provider is busy: the next request leaves in {candidate.busy:.0f} s",
        f"it is deprecated: {candidate.info.deprecated}",
        f"it takes {', '.join(candidate.adjusted)} in its own way",
        f"its price is not known: {candidate.cost.reason}",
        "it costs more",
        "nobody knows here how long it takes",
        "it takes longer",
        f"it is {candidate.info.tier}, not verified",
        "it is as good, and its name comes later",
    )
    ranks = zip(_rank(candidate), _rank(best), reasons, strict=True)
    return next((reason for one, other, reason in ranks if one != other and one > other), "")  # type: ignore[operator]


def _decided(runtime: Runtime, request: SelectionRequest, ranked: Sequence[Candidate]) -> tuple[str, list[Candidate]]:
    """Who decided, and how: the program's selector, else the first plugin's that answers, else the rank."""
    own = runtime.selector
    answer = None if own is None else own(request, ranked)
    if answer is not None:
        return "selector", _picked("the selector", answer, ranked)
    hook = "callsheet_register_selectors"
    for selector in runtime.services.host.registered("selectors", hook, Selector):  # type: ignore[type-abstract]
        who = f"{selector.__module__}.{getattr(selector, '__qualname__', type(selector).__qualname__)}"
        try:
            with redirect_stdout(sys.stderr):
                given = selector(request, ranked)
                picked = None if given is None else list(given)
        except Exception as error:
            raise PluginError(f"the selector {who} fails: {type(error).__name__}: {error}") from error
        if picked is not None:
            return who, _picked(f"the selector {who}", picked, ranked)
    return "rank", list(ranked)


def _picked(who: str, answer: Iterable[Candidate | ModelRef], ranked: Sequence[Candidate]) -> list[Candidate]:
    known = {each.ref: each for each in ranked}
    refs = [each.ref if isinstance(each, Candidate) else each for each in answer]
    for ref in refs:
        if ref not in known:
            raise PluginError(f"{who} chose {ref!s}, which is not among the candidates: {', '.join(map(str, known))}")
    if not refs:
        raise ConfigError(f"{who} wants none of {', '.join(map(str, known))}")
    return [known[ref] for ref in dict.fromkeys(refs)]


def _nobody(request: SelectionRequest, refused: Sequence[Refusal]) -> ConfigError:
    if not refused:
        limits = request.requirements.providers
        of = f" of {', '.join(limits)}" if limits else ""
        what = f"{request}: there is no model{of} for it here: install a provider's plugin (`callsheet models` lists models)"
        return ConfigError(what, missing=True)
    lines = [f"- {each.ref}: {each.reason}" for each in refused[:_SHOWN]]
    more = [f"- and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
    return ConfigError("\n".join([f"{request}: no model can do this:", *lines, *more]))
