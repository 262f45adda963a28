"""Retrying: when a call that failed is sent again, and after how long a wait. What may have been paid for never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from callsheet.breaker import CircuitOpenError
from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.models import Operation
from callsheet.patience import spread
from callsheet.policies import RetryPolicy

__all__ = ["Retrying"]

_PASSING = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.CONNECTION_FAILED, ErrorKind.TIMEOUT})
_AGAIN: Mapping[Sent, frozenset[ErrorKind]] = {
    Sent.NOT_SENT: _PASSING,
    Sent.REJECTED: _PASSING,
    # the vendor's own failure; not an answer that is not as promised: the same request would get, and pay, it again
    Sent.FINISHED: _PASSING | {ErrorKind.JOB_FAILED},
}
PAID_AGAIN = 1
"""How often a call is sent again of which the provider reports a failure: each time it may be paid anew."""
CHEAP_PAID_AGAIN = 2
"""The same for text and embeddings."""


@dataclass(slots=True)
class Retrying:
    """The tries of one call to one model. `clock` and `chance` as in Services; `until` is by the event loop's clock.

    `patient` waits for a breaker to close: a run has the time, and there is no other model to ask.
    """

    policy: RetryPolicy
    operation: Operation
    clock: Callable[[], float]
    chance: Callable[[], float]
    until: float | None = None
    patient: bool = False
    tries: int = 1
    _finished: int = 0
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def wait(self, error: ProviderError) -> float | None:
        """Seconds until the call is sent again; None when it is not. The error's text says why, where one would ask."""
        if isinstance(error, CircuitOpenError):
            return self._until_it_closes(error)
        if not error.retryable or error.kind not in _AGAIN.get(error.sent, frozenset()) or self.policy.attempts <= 1:
            return None
        self._finished += error.sent is Sent.FINISHED
        wait = self._seconds(error.retry_after)
        why_not = self._why_not(error, wait)
        if why_not:
            error.args = (f"{error} ({why_not})",)
            return None
        self.tries += 1
        return wait

    def _until_it_closes(self, error: CircuitOpenError) -> float | None:
        """Nothing was sent, so it is no attempt; how long it may take is bounded all the same."""
        if not self.patient or error.kind not in _PASSING or self.policy.attempts <= 1:
            return None
        wait = self._seconds(error.retry_after)
        return None if self._too_late(error, wait) else wait

    def _why_not(self, error: ProviderError, wait: float) -> str:
        policy = self.policy
        if self.tries >= policy.attempts:
            return f"the last of {self.tries} attempts"
        if self._finished > (CHEAP_PAID_AGAIN if self.operation.cheap else PAID_AGAIN):
            return "each further attempt may be paid anew"
        return self._too_late(error, wait)

    def _too_late(self, error: ProviderError, wait: float) -> str:
        policy = self.policy
        if error.retry_after is not None and error.retry_after > policy.longest_wait:
            asked = f"the provider asks to come back in {error.retry_after:g} s"
            return f"{asked}, retry.longest_wait is {policy.longest_wait:g} s"
        if self.clock() + wait > self._began + policy.seconds:
            return f"the next attempt would come after the {policy.seconds:g} s of retry.seconds"
        if self.until is not None and asyncio.get_running_loop().time() + wait > self.until:
            return "the next attempt would come after the deadline"
        return ""

    def _seconds(self, told: float | None) -> float:
        """As the provider says, and a little later; else by chance, up to a bound that doubles (full jitter)."""
        if told:
            return spread(told, self.chance())
        doubled = min(self.tries, 64)  # far over any longest wait, and a float still holds it
        bound: float = self.policy.first_wait * 2**doubled
        return min(bound, self.policy.longest_wait) * self.chance()
