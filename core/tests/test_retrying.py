"""Retrying: what is sent again, after how long, and when no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.breaker import CircuitOpenError
from callsheet.errors import ErrorKind, Sent, error_for
from callsheet.models import Operation
from callsheet.policies import RetryPolicy
from callsheet.retrying import Retrying

PASSING = {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.CONNECTION_FAILED, ErrorKind.TIMEOUT}


def retrying(operation=Operation.VIDEO_GENERATE, chance=0.5, clock=lambda: 0.0, **policy):
    """The tries of one call."""
    return Retrying(RetryPolicy(**policy), operation, clock, lambda: chance)


def failure(kind, sent, *, retryable=True, retry_after=None):
    """An error of this kind."""
    return error_for(kind)("no", sent=sent, retryable=retryable, retry_after=retry_after)


@pytest.mark.parametrize("sent", list(Sent))
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_what_is_sent_again(kind, sent):
    """By kind and by what is known of the request; never what may have been accepted."""
    wait = retrying().wait(failure(kind, sent))
    passing = PASSING | ({ErrorKind.JOB_FAILED} if sent is Sent.FINISHED else set())
    assert (wait is not None) == (sent is not Sent.UNKNOWN and kind in passing)


def test_the_plugin_has_the_last_word():
    """A refusal that does not pass is no reason to come back."""
    assert retrying().wait(failure(ErrorKind.RATE_LIMITED, Sent.REJECTED, retryable=False)) is None


@pytest.mark.parametrize(("operation", "again"), [(Operation.TEXT_GENERATE, 2), (Operation.VIDEO_GENERATE, 1)])
def test_what_was_paid_for_is_sent_again_rarely(operation, again):
    """Each time may be paid anew: once, and twice for what is cheap."""
    tries = retrying(operation, attempts=10)
    errors = [failure(ErrorKind.JOB_FAILED, Sent.FINISHED) for _ in range(again + 1)]
    assert [tries.wait(error) is not None for error in errors] == [True] * again + [False]
    assert "may be paid anew" in str(errors[-1])


def test_attempts_are_counted():
    """The fourth of four attempts is the last one, and says so."""
    tries, last = retrying(attempts=4), failure(ErrorKind.OVERLOADED, Sent.REJECTED)
    assert all(tries.wait(failure(ErrorKind.OVERLOADED, Sent.REJECTED)) is not None for _ in range(3))
    assert tries.wait(last) is None
    assert str(last) == "no (the last of 4 attempts)"


def test_a_breaker_is_waited_for_by_who_has_the_time():
    """It counts as no attempt, but not for longer than any wait may be; a key that is refused is not waited for."""
    policy = RetryPolicy(attempts=2)
    eager = Retrying(policy, Operation.TEXT_GENERATE, lambda: 0.0, lambda: 0.0)
    patient = replace(eager, patient=True)

    def is_open(kind, retry_after):
        error = CircuitOpenError("open", retry_after=retry_after)
        error.kind = kind
        return error

    assert eager.wait(is_open(ErrorKind.OVERLOADED, 5.0)) is None
    assert [patient.wait(is_open(ErrorKind.CONNECTION_FAILED, 5.0)) for _ in range(5)] == [5.0] * 5
    assert patient.tries == 1
    assert patient.wait(is_open(ErrorKind.OVERLOADED, policy.longest_wait + 1)) is None
    assert patient.wait(is_open(ErrorKind.AUTHENTICATION, 5.0)) is None
    once = replace(patient, policy=replace(policy, attempts=1))
    assert once.wait(is_open(ErrorKind.OVERLOADED, 5.0)) is None


def test_a_single_attempt_says_nothing():
    """Who wants no retries is not told of them."""
    error = failure(ErrorKind.OVERLOADED, Sent.REJECTED)
    assert retrying(attempts=1).wait(error) is None
    assert str(error) == "no"


@given(chance=st.floats(0, 1), told=st.floats(0.01, 60))
def test_a_wait_that_is_told_is_never_cut(chance, told):
    """As the provider says, and up to a quarter later."""
    wait = retrying(chance=chance).wait(failure(ErrorKind.RATE_LIMITED, Sent.REJECTED, retry_after=told))
    assert wait is not None
    assert told <= wait <= told * 1.25 + 1e-9


@given(chance=st.floats(0, 1), tries=st.integers(1, 30))
def test_a_wait_of_our_own_is_by_chance_below_a_bound_that_doubles(chance, tries):
    """Full jitter, and never longer than the policy says."""
    many = retrying(chance=chance, attempts=100, seconds=1e9, longest_wait=7.0)
    waits = [many.wait(failure(ErrorKind.OVERLOADED, Sent.REJECTED)) for _ in range(tries)]
    assert all(wait == min(2.0**number, 7.0) * chance for number, wait in enumerate(waits))


def test_no_number_of_tries_is_too_many():
    """Who allows thousands of attempts waits for the longest time before each of the later ones."""
    tries = retrying(attempts=5000, seconds=1e9, longest_wait=2.0, chance=1.0)
    waits = [tries.wait(failure(ErrorKind.OVERLOADED, Sent.REJECTED)) for _ in range(1100)]
    assert set(waits[10:]) == {2.0}


def test_a_wait_beyond_the_longest_is_not_waited():
    """The call fails at once, and says what was asked."""
    error = failure(ErrorKind.RATE_LIMITED, Sent.REJECTED, retry_after=61.0)
    assert retrying().wait(error) is None
    assert "come back in 61 s, retry.longest_wait is 60 s" in str(error)


def test_the_total_time_is_bounded():
    """No attempt begins after it."""
    now = [0.0]
    tries = retrying(clock=lambda: now[0], seconds=10.0)
    assert tries.wait(failure(ErrorKind.OVERLOADED, Sent.REJECTED, retry_after=4.0)) == 4.5
    now[0] = 7.0
    late = failure(ErrorKind.OVERLOADED, Sent.REJECTED, retry_after=4.0)
    assert tries.wait(late) is None
    assert "the 10 s of retry.seconds" in str(late)


async def test_no_attempt_comes_after_the_deadline():
    """What would only be cut is not waited for."""
    tries = Retrying(RetryPolicy(), Operation.TEXT_GENERATE, lambda: 0.0, lambda: 1.0, until=0.0)
    error = failure(ErrorKind.OVERLOADED, Sent.REJECTED)
    assert tries.wait(error) is None
    assert "after the deadline" in str(error)
