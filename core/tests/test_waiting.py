"""Waiting for remote jobs: polls, patience and the pace of asking."""

from __future__ import annotations

import pytest

from callsheet.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ErrorKind,
    JobCancelledError,
    JobFailedError,
    OverloadedError,
    RateLimitedError,
    Sent,
)
from callsheet.jobs import JobResult, RemoteState, RemoteStatus
from callsheet.waiting import FIRST_WAIT, LONGEST_WAIT, PATIENCE, RemoteWaiter

DONE = RemoteStatus(RemoteState.SUCCEEDED)
RUNNING = RemoteStatus(RemoteState.RUNNING)
RESULT = JobResult(())


class Remote:
    """Answers polls and collects from a list."""

    def __init__(self, polls, collects=()):
        self.polls, self.collects = list(polls), list(collects)

    async def submit(self, request, context):
        """Never asked here."""
        raise AssertionError

    async def poll(self, receipt, context):
        """The next answer."""
        answer = self.polls.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def collect(self, receipt, context):
        """The next error, else the result."""
        if self.collects:
            raise self.collects.pop(0)
        return RESULT


class Receipt:
    """All that the waiter reads of a receipt."""

    ref = "acme:job"


async def wait(polls, collects=()):
    """The waiter's result and the seconds it would have slept."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    return await RemoteWaiter(Remote(polls, collects), None, sleep).result(Receipt()), slept


async def test_a_finished_job_is_collected_without_waiting():
    """The first poll comes at once."""
    assert await wait([DONE]) == (RESULT, [])


async def test_the_pace_slows_down_to_a_limit():
    """Each wait is half as long again, up to the longest."""
    _, slept = await wait([RUNNING] * 20 + [DONE])
    assert slept[:3] == [FIRST_WAIT, FIRST_WAIT * 1.5, FIRST_WAIT * 2.25]
    assert slept[-1] == LONGEST_WAIT


async def test_the_provider_may_say_when_to_ask_again():
    """Its wish is taken, within a minute."""
    polls = [RemoteStatus(RemoteState.QUEUED, poll_after=3), RemoteStatus(RemoteState.RUNNING, poll_after=9999), DONE]
    _, slept = await wait(polls)
    assert slept == [3, 60.0]


async def test_passing_errors_of_polls_are_no_failures():
    """A few lost polls cost nothing but time; Retry-After is heard."""
    errors = [
        ConnectionFailedError("x", sent=Sent.NOT_SENT),
        OverloadedError("y"),
        RateLimitedError("z", retry_after=7),
    ]
    result, slept = await wait([*errors, DONE], [ConnectionFailedError("again")])
    assert result is RESULT
    assert slept[2] == 7


async def test_patience_ends():
    """After so many in a row the error comes out; the receipt is still good."""
    with pytest.raises(ConnectionFailedError):
        await wait([ConnectionFailedError("x")] * PATIENCE)


async def test_an_error_that_will_not_pass_comes_out_at_once():
    """A refused key is not asked twelve times."""
    with pytest.raises(AuthenticationError):
        await wait([AuthenticationError("no")])


@pytest.mark.parametrize(
    ("state", "error"), [(RemoteState.FAILED, JobFailedError), (RemoteState.CANCELLED, JobCancelledError)]
)
async def test_other_ends_are_errors_that_are_surely_over(state, error):
    """`finished`: nothing runs there any more."""
    with pytest.raises(error) as caught:
        await wait([RemoteStatus(state, error="broke")])
    assert caught.value.sent is Sent.FINISHED
    assert caught.value.kind in (ErrorKind.JOB_FAILED, ErrorKind.CANCELLED)
