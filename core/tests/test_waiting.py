"""Waiting for remote jobs: polls, patience and the pace of asking."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count
from random import Random
from types import SimpleNamespace

import pytest

from callsheet.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ErrorKind,
    JobCancelledError,
    JobFailedError,
    MalformedOutputError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitedError,
    Sent,
)
from callsheet.http import HttpReply
from callsheet.jobs import JobResult, RemoteState, RemoteStatus
from callsheet.json_api import JsonApi
from callsheet.models import ModelRef
from callsheet.patience import FIRST_WAIT, LONGEST_RETRY_AFTER, LONGEST_WAIT, PATIENCE
from callsheet.poll_gates import LONGEST_WISH, POLLS_A_SECOND, PollGate
from callsheet.reply_errors import reply_error
from callsheet.waiting import SHORTEST_WAIT, RemoteWaiter

DONE = RemoteStatus(RemoteState.SUCCEEDED)
RUNNING = RemoteStatus(RemoteState.RUNNING)
RESULT = JobResult(())


class Remote:
    """Answers polls and collects from a list."""

    def __init__(self, polls, collects=()):
        self.polls, self.collects = list(polls), list(collects)
        self.told = []

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
        self.told.append(context.answer)
        if self.collects:
            raise self.collects.pop(0)
        return RESULT


class Receipt:
    """All that the waiter reads of a receipt."""

    ref = ModelRef("acme", "job")
    account = ""


class Log:
    """Notes what is told."""

    def __init__(self):
        self.told = []

    def warning(self, event, **about):
        """One line."""
        self.told.append((event, about))


@dataclass
class Context:
    """All that the waiter uses of a context."""

    log: Log
    answer: object = None


def services_of(sleep, chance, clock=lambda: 0.0):
    """All that the waiter uses of the services."""
    gates = defaultdict(lambda: PollGate(clock, sleep, chance))
    return SimpleNamespace(sleep=sleep, chance=chance, poll_gates=gates)


async def wait(polls, collects=(), *, chance=0.5, waiting=0, log=None):
    """The waiter's result and the seconds it would have slept; `waiting` other jobs are waited for."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    services = services_of(sleep, lambda: chance, lambda: sum(slept))
    services.poll_gates["acme"].waiting = waiting
    context = Context(log or Log())
    result = await RemoteWaiter(Remote(polls, collects), context, services).result(Receipt())
    assert services.poll_gates["acme"].waiting == waiting
    return result, slept


async def test_a_finished_job_is_collected_without_waiting():
    """The first poll comes at once."""
    assert await wait([DONE]) == (RESULT, [])


async def test_collect_is_told_what_the_last_poll_had_from_the_provider():
    """Again when it has to be tried again: the provider is not asked twice."""
    remote = Remote([RUNNING, RemoteStatus(RemoteState.SUCCEEDED, answer={"id": 1})], [ConnectionFailedError("x")])

    async def sleep(_seconds):
        """Nobody waits."""

    services = services_of(sleep, lambda: 0.5)
    assert await RemoteWaiter(remote, Context(Log()), services).result(Receipt()) is RESULT
    assert remote.told == [{"id": 1}, {"id": 1}]


async def test_the_pace_slows_down_to_a_limit():
    """Each wait is half as long again, up to the longest."""
    _, slept = await wait([RUNNING] * 20 + [DONE])
    assert slept[:3] == [FIRST_WAIT, FIRST_WAIT * 1.5, FIRST_WAIT * 2.25]
    assert slept[-1] == LONGEST_WAIT


@pytest.mark.parametrize(("chance", "part"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
async def test_chance_spreads_the_polls_of_jobs_that_began_together(chance, part):
    """A quarter less to a quarter more, of waits between polls and after failures alike."""
    _, slept = await wait([RUNNING, ConnectionFailedError("x"), DONE], chance=chance)
    assert slept == [FIRST_WAIT * part, FIRST_WAIT * 2 * part]


async def test_the_provider_may_say_when_to_ask_again():
    """Its wish is taken, within a minute, and never cut short by chance."""
    wishes = [3, 9999, 0, -1, float("nan")]
    polls = [RemoteStatus(RemoteState.QUEUED, poll_after=wish) for wish in wishes]
    for chance, part in ((0.0, 1.0), (1.0, 1.25)):
        _, slept = await wait([*polls, DONE], chance=chance)
        assert slept == [each * part for each in (3, LONGEST_WISH, *[SHORTEST_WAIT] * 3)]


@pytest.mark.parametrize("wish", [None, 0])
async def test_many_jobs_share_the_polls_of_a_provider(wish):
    """A job among 200 is asked for every five seconds from the first on; however many there are, once a minute."""
    polls = [RemoteStatus(RemoteState.RUNNING, poll_after=wish), DONE]
    assert (await wait(list(polls), waiting=199, chance=0.5 if wish is None else 0))[1] == [200 / POLLS_A_SECOND]
    assert (await wait(list(polls), waiting=10**6, chance=0.5 if wish is None else 0))[1] == [LONGEST_WISH]


class Hours:
    """Time that goes from one sleeper's end to the next one's."""

    def __init__(self):
        self.now, self._sleepers, self._order = 0.0, [], count()

    async def sleep(self, seconds):
        """Until it is that time."""
        woken = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.now + seconds, next(self._order), woken))
        await woken

    async def pass_until(self, end):
        """Wake the sleepers one by one."""
        while self.now < end:
            for _ in range(4):  # whoever was woken asks, and sleeps again
                await asyncio.sleep(0)
            self.now, _, woken = heappop(self._sleepers)
            woken.set_result(None)


async def test_200_jobs_that_begin_together_are_polled_evenly():
    """One first question each; from then on the seconds of ten minutes are all alike, and no job is forgotten."""
    hours, seconds, asked = Hours(), Counter(), Counter()
    services = services_of(hours.sleep, Random(1).random, lambda: hours.now)

    class Running(Remote):
        async def poll(self, receipt, context):
            seconds[int(hours.now)] += 1
            asked[id(self)] += 1
            return RUNNING

    jobs = [Running([]) for _ in range(200)]
    tasks = [asyncio.create_task(RemoteWaiter(job, None, services).over(Receipt())) for job in jobs]
    await hours.pass_until(600)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 200 <= seconds[0] <= 240  # the first ones do not know yet how many they are
    assert max(seconds[second] for second in range(1, 20)) <= 200
    assert sum(seconds[second] for second in range(60, 600)) / 540 <= 1.05 * POLLS_A_SECOND
    assert all(5 <= seconds[second] <= 2 * POLLS_A_SECOND for second in range(60, 600))  # chance moves each of them
    assert min(asked.values()) >= 50
    assert max(asked.values()) <= 80


async def test_jobs_that_end_badly_are_waited_for_no_longer():
    """The others have their polls back."""
    services = services_of(None, None)
    waiter = RemoteWaiter(Remote([RemoteStatus(RemoteState.FAILED)]), None, services)
    with pytest.raises(JobFailedError):
        await waiter.over(Receipt())
    assert services.poll_gates["acme"].waiting == 0


async def test_passing_errors_of_polls_are_no_failures():
    """A few lost polls cost nothing but time."""
    errors = [ConnectionFailedError("x", sent=Sent.NOT_SENT), OverloadedError("y")]
    result, slept = await wait([*errors, DONE], [ConnectionFailedError("again")])
    assert result is RESULT
    assert slept == [FIRST_WAIT * 2, FIRST_WAIT * 4, FIRST_WAIT * 2]


@pytest.mark.parametrize("error", [RateLimitedError, OverloadedError])
@pytest.mark.parametrize(("chance", "part"), [(0.0, 1.0), (1.0, 1.25)])
async def test_retry_after_is_heard_at_poll_and_collect(error, chance, part):
    """Nobody comes earlier than he was told, and not all come at the same moment."""
    log = Log()
    _, slept = await wait([error("y", retry_after=7), DONE], [error("z", retry_after=30)], chance=chance, log=log)
    assert slept == [7 * part, 30 * part]
    assert log.told == []


@pytest.mark.parametrize(
    ("header", "waits"), [("120", 120.0), ("Sat, 21 Nov 2026 10:02:00 GMT", 120.0), ("86400", LONGEST_RETRY_AFTER)]
)
async def test_retry_after_as_the_header_says_it(header, waits):
    """Seconds or a date; a day is cut to what an output outlives, and the log says so."""
    now, log = datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp(), Log()
    refusal = reply_error(HttpReply(429, {"retry-after": header}, b""), "slow down", now=now)
    _, slept = await wait([refusal, DONE], chance=0.0, log=log)
    assert slept == [waits]
    cut = [("poll.retry_after_cut", {"told": 86400.0, "wait": LONGEST_RETRY_AFTER})]
    assert log.told == (cut if header == "86400" else [])


async def test_patience_ends():
    """After so many in a row the error comes out; the receipt is still good."""
    with pytest.raises(ConnectionFailedError):
        await wait([ConnectionFailedError("x")] * PATIENCE)


async def test_patience_is_for_failures_in_a_row():
    """An answer between them gives it back."""
    failures = [ConnectionFailedError("x")] * (PATIENCE - 1)
    result, _ = await wait([*failures, RUNNING, *failures, DONE])
    assert result is RESULT


async def key():
    """A vendor that wants none."""


class Answering:
    """A vendor's wire as plugins have it: each poll gets the next of these replies."""

    def __init__(self, replies):
        self.replies, self.secrets, self.http = list(replies), SimpleNamespace(key=key), self
        self.provider, self.job, self.log, self.clock = "acme", None, Log(), lambda: 0.0

    async def send(self, _method, _path, **_more):
        """As `Http.send`."""
        return self.replies.pop(0)

    async def poll(self, _receipt, context):
        """As a plugin's handler."""
        states = {"going": RemoteState.RUNNING, "made": RemoteState.SUCCEEDED}
        return JsonApi().status(await JsonApi().ask(context, "/jobs/1"), states, context)


MADE = HttpReply(200, {}, b'{"status": "made"}')
GARBAGE = {
    "a proxy's page": HttpReply(200, {"content-type": "text/html"}, b"<html>Sign in to continue</html>"),
    "JSON that is cut": HttpReply(200, {}, MADE.body[:11]),
    "nothing": HttpReply(200, {}, b""),
    "no object": HttpReply(200, {}, b'["made"]'),
    "an object without the word": HttpReply(200, {}, b'{"detail": "try later"}'),
    "a word that nobody knows": HttpReply(200, {}, b'{"status": "m\xc3\xa4de"}'),
    "a redirect": HttpReply(302, {"location": "https://portal.invalid/"}, b""),
}


async def asked_of(vendor):
    """What the last poll said, and the seconds that would have been slept."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    services = services_of(sleep, lambda: 0.5)
    return slept, await asyncio.gather(RemoteWaiter(vendor, vendor, services).over(Receipt()), return_exceptions=True)


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE)
async def test_a_poll_that_is_answered_by_garbage_is_asked_again(reply):
    """After longer and longer pauses, and no more than twelve times; then as ever: nobody could ask, the receipt is good."""
    slept, (status,) = await asked_of(Answering([reply, reply, MADE]))
    assert (status.state, status.answer, slept) == (RemoteState.SUCCEEDED, {"status": "made"}, [1.0, 2.0])
    vendor = Answering([reply] * PATIENCE + [MADE])
    slept, (error,) = await asked_of(vendor)
    assert (error.kind, error.sent, vendor.replies) == (ErrorKind.MALFORMED_OUTPUT, Sent.UNKNOWN, [MADE])
    assert slept == [1.0, 2.0, 4.0, 8.0, *[LONGEST_WAIT] * (PATIENCE - 5)]


async def test_a_job_whose_output_is_said_to_be_broken_is_not_asked_for_again():
    """That was the provider's word on the job; and what is wrong with a collected result is so the next time, too."""
    with pytest.raises(MalformedOutputError):
        await wait([MalformedOutputError("broken", sent=Sent.FINISHED), DONE])
    with pytest.raises(MalformedOutputError):
        await wait([DONE], [MalformedOutputError("broken", sent=Sent.UNKNOWN)])


async def test_an_error_that_will_not_pass_comes_out_at_once():
    """A refused key is not asked twelve times."""
    with pytest.raises(AuthenticationError):
        await wait([AuthenticationError("no")])


@pytest.mark.parametrize("error", [OverloadedError, RateLimitedError, ProviderTimeoutError])
async def test_a_job_that_failed_is_not_asked_for_again(error):
    """Whatever the vendor gives as the reason: the poll was answered, and the job is over."""
    polls = [error("it was busy", sent=Sent.FINISHED, retry_after=7), DONE]
    with pytest.raises(error):
        await wait(polls)


@pytest.mark.parametrize(
    ("state", "error"), [(RemoteState.FAILED, JobFailedError), (RemoteState.CANCELLED, JobCancelledError)]
)
async def test_other_ends_are_errors_that_are_surely_over(state, error):
    """`finished`: nothing runs there any more."""
    with pytest.raises(error) as caught:
        await wait([RemoteStatus(state, error="broke")])
    assert caught.value.sent is Sent.FINISHED
    assert caught.value.kind in (ErrorKind.JOB_FAILED, ErrorKind.CANCELLED)
