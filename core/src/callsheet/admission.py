"""Admission: what a request passes right before it leaves, the breaker first and the rate gate second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import copy
from types import TracebackType
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from callsheet.breaker import Breakers, Target, Trial
from callsheet.errors import CallsheetError, RateLimitedError
from callsheet.jobs import JobResult, ProviderRequest, Receipt
from callsheet.policies import Policies
from callsheet.rate_gate import Porter, RateGate
from callsheet.registry import BoundHandler
from callsheet.secrets import SecretScope
from callsheet.stores.gates import Place
from callsheet.stores.ledger import Ledger
from callsheet.streams import StreamFinished

__all__ = ["LETTERS_A_TOKEN", "Admissions", "Passage", "Reading", "expected_tokens"]

LOOK_SECONDS = 1.0
"""How old what is known of other processes may be."""
LETTERS_A_TOKEN = 4.0
"""Of English; what was wrong is put right when the provider has counted."""

T = TypeVar("T")
E = TypeVar("E")

_UNSAID = asyncio.CancelledError()
"""How a request ended that says nothing of the provider."""


class Admissions:
    """The gates and breakers of a project, as this process knows them. `scope` gives the secrets of a call's plugin.

    `warn` is told when the ledger cannot be written: a call that was paid for does not fail because of it.
    """

    def __init__(
        self,
        ledger: Ledger,
        policies: Policies,
        scope: Callable[[BoundHandler], SecretScope],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        redact: Callable[[str], str],
        warn: Callable[..., object],
    ) -> None:
        self.warn = warn
        self._ledger = ledger
        self._policies = policies
        self._scope = scope
        self.now = clock
        self._porter = Porter(clock, sleep, self.look, self._heed)
        self.breakers = Breakers(ledger.breakers, ledger.owner, self._porter, redact)
        self._gates: dict[str, RateGate] = {}
        self._targets: dict[int, tuple[BoundHandler, Target]] = {}
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def admit(self, bound: BoundHandler, request: ProviderRequest | None = None) -> Passage:
        """Wait until the request may leave: `async with await admissions.admit(…) as passage`, then send it `through` that.

        Without a `request` (a batch), nothing counts against the limit of tokens.
        Raises CircuitOpenError, and RateLimitedError for a refusal that lasts too long; nothing was sent then.
        """
        passage = Passage(self, bound, request)
        if not bound.simulated:
            await passage.enter()
        return passage

    def at_once(self, bound: BoundHandler, request: ProviderRequest) -> Passage | None:
        """A passage for a request that may leave now, as far as this process knows; its `place` is still to be taken.

        None where something is in the way, or has to be looked at first. Who does not get the place takes a `step_back`.
        """
        passage = Passage(self, bound, request)
        return passage if bound.simulated or (self._is_fresh() and passage.at_once()) else None

    def gate(self, rate_key: str) -> RateGate:
        """The gate of a rate key."""
        gate = self._gates.get(rate_key)
        if gate is None:
            limit, longest_wait = self._policies.limit(rate_key), self._policies.retry(rate_key).longest_wait
            gate = RateGate(rate_key, limit, longest_wait, self._ledger.gates, self._porter)
            self._gates[rate_key] = gate
            self._looked = float("-inf")
        return gate

    def target(self, bound: BoundHandler) -> Target:
        """What the calls of a handler fail together with."""
        known = self._targets.get(id(bound))
        if known is None:
            ref = bound.ref
            scope = self._scope(bound)
            host = urlsplit(bound.origin).netloc or bound.origin
            target = Target(ref.provider, ref.environment, str(ref), host, scope.account)
            known = self._targets[id(bound)] = (bound, target)  # the handler is kept, so that its id stays its own
        return known[1]

    async def enter(self, bound: BoundHandler) -> Trial:
        """Past the breaker. Raises CircuitOpenError."""
        await self.look()
        return await self.breakers.enter(self.target(bound), self._policies.breaker(bound.rate_key))

    def trial(self, bound: BoundHandler) -> Trial:
        """Of a call that passes while nothing fails."""
        return Trial(self.target(bound), self._policies.breaker(bound.rate_key))

    def works(self, bound: BoundHandler) -> None:
        """A request that seemed to have failed was found with the provider: that was no sign against it."""
        self.breakers.works(self.target(bound))

    async def look(self) -> None:
        """Learn what other processes have written; at most once a second, for all calls together."""
        if self._is_fresh():
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._read())
        try:
            await asyncio.shield(self._looking)  # all who wait go on together, in the order they came
        except CallsheetError as error:
            raise copy(error) from error  # a common one would collect everybody's traceback

    async def _read(self) -> None:
        now = self.now()
        gates, failing = await asyncio.gather(self._ledger.gates.read(), self._ledger.breakers.read())
        self.breakers.learn(failing)
        for row in gates:
            if row.rate_key in self._gates:
                self._gates[row.rate_key].learn(row)
        self._looked = now

    def _is_fresh(self) -> bool:
        return abs(self.now() - self._looked) < LOOK_SECONDS

    def _heed(self, write: asyncio.Future[Any]) -> None:
        write.add_done_callback(self._written)

    def _written(self, write: asyncio.Future[Any]) -> None:
        error = None if write.cancelled() else write.exception()
        if error is not None:
            self.warn("gates.not_written", error=str(error))


class Passage:
    """One request on its way to a provider. Simulated ones pass through nothing."""

    __slots__ = (
        "_admissions",
        "_bound",
        "_entered",
        "_gate",
        "_over",
        "_read",
        "_request",
        "_tokens",
        "_trial",
        "place",
    )

    def __init__(self, admissions: Admissions, bound: BoundHandler, request: ProviderRequest | None) -> None:
        self._admissions = admissions
        self._bound = bound
        self._request = request
        self._over = True
        self._read = False
        self._tokens = 0.0
        self.place: Place | None = None
        """What it takes of a limit; None when nothing, or when it is taken already."""
        self._entered = 0.0
        self._trial: Trial | None = None
        self._gate: RateGate | None = None

    async def enter(self) -> None:
        """Past the breaker, then through the gate."""
        gate = self._admissions.gate(self._bound.rate_key)
        trial = await self._admissions.enter(self._bound)
        try:
            self._expect(gate)
            self._entered = await gate.enter(self._tokens)
        except BaseException:
            await self._admissions.breakers.ended(trial, _UNSAID)
            raise
        self._trial, self._gate, self._over = trial, gate, False

    def at_once(self) -> bool:
        """Like `enter`, without a wait; False, and not entered, where that is not sure to succeed."""
        gate = self._admissions.gate(self._bound.rate_key)
        if not self._admissions.breakers.all_well or not gate.at_once():
            return False
        self._expect(gate)
        self.place = gate.place(self._tokens)
        self._entered = self._admissions.now()
        self._trial, self._gate, self._over = self._admissions.trial(self._bound), gate, False
        return True

    def step_back(self) -> None:
        """Nothing was sent."""
        if self._gate is not None and not self._over:
            self._over = True
            self._gate.leave()

    def _expect(self, gate: RateGate) -> None:
        if gate.limit.tokens and self._request is not None:
            self._tokens = expected_tokens(self._request)

    async def __aenter__(self) -> Passage:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._read:
            await self.ended(_UNSAID)  # nothing came through

    def reading(self, source: AsyncIterator[E]) -> Reading[E]:
        """The request is sent when its stream is read: it has its answer with a receipt, or with the stream's end."""
        self._read = True
        return Reading(self, source)

    async def through(self, sending: Awaitable[T]) -> T:
        """Send the request, and make place for the next one as soon as it is answered: nobody polls through a gate."""
        try:
            answer = await sending
        except BaseException as error:
            await self.ended(error)
            raise
        await self.ended(None, answer)
        return answer

    async def ended(self, error: BaseException | None, answer: object = None) -> None:
        """How the request was answered: None for a result or a receipt. Only the first time counts.

        Never raises because of the ledger, and does not pause unless something had failed.
        """
        if self._over or self._trial is None or self._gate is None:
            return
        self._over = True
        gate = self._gate
        gate.leave()
        try:
            if isinstance(error, RateLimitedError):
                gate.refused(error.retry_after, self._entered)
            elif error is None:
                gate.went_well()
            if gate.limit.tokens and isinstance(answer, JobResult):
                gate.correct((_counted(answer) or self._tokens) - self._tokens)
            await self._admissions.breakers.ended(self._trial, error)
        except CallsheetError as failure:
            self._admissions.warn("gates.not_written", error=str(failure))


class Reading(Generic[E]):
    """A stream on its way through a passage."""

    __slots__ = ("_passage", "_source")

    def __init__(self, passage: Passage, source: AsyncIterator[E]) -> None:
        self._passage = passage
        self._source = source

    def __aiter__(self) -> Reading[E]:
        return self

    async def __anext__(self) -> E:
        try:
            event = await self._source.__anext__()
        except BaseException as error:
            await self._passage.ended(error)
            raise
        kind = type(event)
        if kind is StreamFinished:
            await self._passage.ended(None, event.result)  # type: ignore[attr-defined]  # its exact type was just looked at
        elif kind is Receipt:
            await self._passage.ended(None)
        return event

    async def aclose(self) -> None:
        """Nobody reads it any more."""
        await self._passage.ended(_UNSAID)
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()


def expected_tokens(request: ProviderRequest) -> float:
    """About how many tokens a request takes of the limit, before it is answered: what is counted, or its text's length."""
    counted = sum(count for unit, count in request.units.items() if "token" in unit)
    return counted or max(_letters(request.body) / LETTERS_A_TOKEN, 1.0)


def _letters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_letters(each) for each in value.values())
    return sum(_letters(each) for each in value) if isinstance(value, (list, tuple)) else 0


def _counted(result: JobResult) -> float | None:
    usage = result.usage
    counted = [count for count in (usage.input_tokens, usage.output_tokens) if count is not None]
    return float(sum(counted)) if counted else None
