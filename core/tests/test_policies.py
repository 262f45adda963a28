"""Policies: which one a rate key has, and the sets of them for hosts."""

from __future__ import annotations

import pytest

from callsheet.policies import BreakerPolicy, LimitPolicy, Policies, RetryPolicy

ALL, ACME, MODEL = RetryPolicy(attempts=1), RetryPolicy(attempts=2), RetryPolicy(attempts=3)


@pytest.mark.parametrize(
    ("rate_key", "expected"),
    [
        ("acme", ACME),
        ("acme/other", ACME),
        ("acme/owner/model", MODEL),
        ("acme/owner/model/wire", MODEL),
        ("acme/owner/models", ACME),
        ("acme-too", ALL),
        ("other", ALL),
    ],
)
def test_the_longest_beginning_of_the_rate_key_counts(rate_key: str, expected: RetryPolicy) -> None:
    """Name by name: `acme` is no beginning of `acme-too`."""
    policies = Policies(retries={"": ALL, "acme": ACME, "acme/owner/model": MODEL})
    assert policies.retry(rate_key) is expected


def test_what_nobody_set_is_the_default() -> None:
    """Also where others have a policy of their own."""
    limit, breaker = LimitPolicy(requests=1), BreakerPolicy(failures=1)
    policies = Policies(limits={"acme": limit}, breakers={"acme": breaker})
    assert (policies.limit("acme/m"), policies.breaker("acme/m")) == (limit, breaker)
    assert (policies.limit("other"), policies.breaker("other")) == (LimitPolicy(), BreakerPolicy())
    assert Policies().retry("other/m") == RetryPolicy()


def test_a_host_with_retries_of_its_own_gets_one_attempt() -> None:
    """And is the only one who cuts it short."""
    once = Policies.once()
    assert (once.retry("acme/m").attempts, once.deadlines.attempt, once.deadlines.job) == (1, None, None)


def test_a_server_gives_up_before_a_command_line_does() -> None:
    """Its caller waits for an answer."""
    server, here = Policies.for_server(), Policies()
    assert server.retry("acme").seconds < here.retry("acme").seconds
    assert server.retry("acme").longest_wait < here.retry("acme").longest_wait
    assert (server.deadlines.job, here.deadlines.job) == (3600, None)
