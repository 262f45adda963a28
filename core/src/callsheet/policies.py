"""What a host lets calls do: how fast, how often, how long and for how much. Values only; who obeys them stands above.

A rate key says what a vendor counts together: `acme`, or `acme/model` where each model is counted by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeVar

__all__ = ["BreakerPolicy", "DeadlinePolicy", "LimitPolicy", "MoneyPolicy", "Policies", "RetryPolicy", "nearest"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """At most so many `requests` and `tokens` a second, and so many calls at once; None: no limit is known."""

    requests: float | None = None
    tokens: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is sent that was surely not accepted: at most `attempts` times, and not after `seconds`.

    The first wait is about `first_wait` seconds, each further one longer, none above `longest_wait`; a provider that
    asks for a longer one ends the call.
    """

    attempts: int = 4
    seconds: float = 300.0
    longest_wait: float = 60.0
    first_wait: float = 0.5


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """After so many `failures` in a row nothing is sent for `cooldown` seconds, then one probe.

    Each probe that fails doubles the wait, up to `longest_cooldown`.
    """

    failures: int = 5
    cooldown: float = 30.0
    longest_cooldown: float = 600.0


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """Seconds for one request to a provider, for a job with all its attempts, and for a run; None: no deadline."""

    attempt: float | None = 900.0
    job: float | None = None
    run: float | None = None


@dataclass(frozen=True, slots=True)
class MoneyPolicy:
    """US dollars: the most for one run, and for one day of this project; above `confirm_above` the user is asked.

    None: no bound. `unknown` says whether a call whose price nobody knows may be made while one of the bounds holds.
    """

    max_run: Decimal | None = None
    max_day: Decimal | None = None
    confirm_above: Decimal | None = None
    unknown: Literal["allow", "refuse"] = "allow"


_LIMIT, _RETRY, _BREAKER = LimitPolicy(), RetryPolicy(), BreakerPolicy()


@dataclass(frozen=True, slots=True)
class Policies:
    """All of them. `limits`, `retries` and `breakers` are by rate key, complete each; the empty key is for all."""

    limits: Mapping[str, LimitPolicy] = field(default_factory=dict)
    retries: Mapping[str, RetryPolicy] = field(default_factory=dict)
    breakers: Mapping[str, BreakerPolicy] = field(default_factory=dict)
    deadlines: DeadlinePolicy = DeadlinePolicy()
    money: MoneyPolicy = MoneyPolicy()

    @classmethod
    def once(cls) -> Policies:
        """For a host with retries and deadlines of its own: nothing is sent twice, and no attempt is cut short."""
        return cls(retries={"": RetryPolicy(attempts=1)}, deadlines=DeadlinePolicy(attempt=None))

    @classmethod
    def for_server(cls) -> Policies:
        """For a host whose callers wait: it gives up early, so that they can be told, and others be served."""
        return cls(
            retries={"": RetryPolicy(attempts=3, seconds=20.0, longest_wait=5.0, first_wait=0.25)},
            deadlines=DeadlinePolicy(attempt=300.0, job=3600.0),
        )

    def limit(self, rate_key: str) -> LimitPolicy:
        """The limits of a rate key."""
        return nearest(self.limits, rate_key, _LIMIT)

    def retry(self, rate_key: str) -> RetryPolicy:
        """How often its calls are sent."""
        return nearest(self.retries, rate_key, _RETRY)

    def breaker(self, rate_key: str) -> BreakerPolicy:
        """When its calls are not sent for a while."""
        return nearest(self.breakers, rate_key, _BREAKER)


def nearest(table: Mapping[str, T], rate_key: str, default: T) -> T:
    """The entry of the rate key or of the longest beginning of it (`acme` of `acme/model`), else that of all."""
    while table:
        if rate_key in table:
            return table[rate_key]
        if not rate_key:
            break
        rate_key = rate_key.rpartition("/")[0]
    return default
