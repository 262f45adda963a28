"""One refused poll holds back all polls of its provider, ends no job and delays no abort."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from random import Random
from types import SimpleNamespace

import pytest

from callsheet.errors import ConnectionFailedError, OverloadedError, ProviderTimeoutError, RateLimitedError, Sent
from callsheet.jobs import RemoteState, RemoteStatus
from callsheet.models import ModelRef
from callsheet.naps import Nap
from callsheet.patience import LONGEST_RETRY_AFTER, PATIENCE
from callsheet.policies import DeadlinePolicy, Policies
from callsheet.poll_gates import LONGEST_WISH, POLLS_A_SECOND, PollGate
from callsheet.reply_errors import reply_error
from callsheet.testing import Exchange, LoopbackServer, Reply
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool
from callsheet.waiting import RemoteWaiter

DONE, RUNNING = RemoteStatus(RemoteState.SUCCEEDED), RemoteStatus(RemoteState.RUNNING)
NEXT = 1 / POLLS_A_SECOND
CONTEXT = SimpleNamespace(log=SimpleNamespace(warning=lambda _event, **_about: None))


def receipt(provider="acme", job_id=""):
    """All that the waiter and the handlers read of a receipt."""
    return SimpleNamespace(ref=ModelRef(provider, "job"), job_id=job_id, account="")


class Vendor:
    """Answers the polls of many jobs as `says` of the seconds that have passed; notes when who asked, and was refused."""

    def __init__(self, timeline, says, chance=None):
        self.timeline, self.began, self.says = timeline, timeline.moment, says
        self.asked, self.refused, self.jobs = [], [], []
        clock, sleep, chance = timeline.now, timeline.sleep, chance or Random(1).random
        gates = defaultdict(lambda: PollGate(clock, sleep, chance))
        self.services = SimpleNamespace(sleep=sleep, chance=chance, poll_gates=gates)

    def start(self, count, provider="acme"):
        """Wait for so many jobs."""
        for number in range(len(self.jobs), len(self.jobs) + count):
            waiter = RemoteWaiter(_Handler(self, number), CONTEXT, self.services)
            self.jobs.append(asyncio.create_task(waiter.over(receipt(provider))))

    async def answer(self, number):
        """Of one job."""
        now = self.timeline.moment - self.began
        self.asked.append((now, number))
        said = self.says(now)
        if isinstance(said, Exception):
            self.refused.append((now, number))
            raise said
        return said

    async def until(self, seconds):
        """Let the time pass."""
        await self.timeline.go_on(self.began + seconds)

    async def stop(self):
        """Wait for none any more."""
        for job in self.jobs:
            job.cancel()
        await asyncio.gather(*self.jobs, return_exceptions=True)


class _Handler:
    def __init__(self, vendor, number):
        self._vendor, self._number = vendor, number

    async def poll(self, _receipt, _context):
        """As the vendor says."""
        return await self._vendor.answer(self._number)


async def test_200_jobs_are_held_by_one_refusal(timeline):
    """One poll is refused, and not hundreds; then all go on in turn, at the usual pace, and no job is forgotten."""

    def says(now):
        return RateLimitedError("slow down", retry_after=35 - now) if 30 <= now < 35 else RUNNING

    vendor = Vendor(timeline, says)
    vendor.start(200)
    await vendor.until(90)
    assert [job.done() for job in vendor.jobs] == [False] * 200
    await vendor.stop()
    ((refused, _),) = vendor.refused
    after = [now for now, _ in vendor.asked if now > refused]
    assert 30 <= refused < 30.5
    assert 35 <= after[0] <= 36.3  # never earlier than told
    line = [now for now in after if now <= after[0] + 5]
    assert min(later - now for now, later in pairwise(line)) >= NEXT - 1e-6
    assert len(line) == pytest.approx(5 * POLLS_A_SECOND, abs=2)
    assert {number for now, number in vendor.asked if after[0] <= now < after[0] + 20} == set(range(200))
    assert sum(1 for now in after if now >= 60) / 30 == pytest.approx(POLLS_A_SECOND, rel=0.1)


async def test_a_refusal_of_ten_minutes_ends_no_job(timeline):
    """Without a time: asked less and less often, by one job at a time, down to every ten seconds or so."""
    vendor = Vendor(timeline, lambda now: RateLimitedError("slow down") if now < 600 else DONE)
    vendor.start(200)
    await vendor.until(660)
    assert [job.result() for job in vendor.jobs] == [DONE] * 200
    assert 600 / 12.5 <= len(vendor.refused) <= 600 / 7.5 + 4
    assert max(Counter(number for _, number in vendor.refused).values()) < PATIENCE
    assert len(vendor.asked) == len(vendor.refused) + 200


async def test_who_was_held_is_held_again_by_the_next_refusal(timeline):
    """In the middle of the line: those behind are asked for when that one is over, each once."""
    vendor = Vendor(timeline, lambda _now: RUNNING, chance=lambda: 0.0)
    gate = vendor.services.poll_gates["acme"]
    gate.waiting = 5
    order = []

    async def poll(number, refusal=None):
        order.append((number, round(timeline.moment - vendor.began, 6)))
        if refusal is not None:
            raise refusal

    refusals = {0: RateLimitedError("x", retry_after=10), 2: RateLimitedError("x", retry_after=30)}
    polls = [gate.through(lambda n=n: poll(n, refusals.get(n))) for n in range(5)]
    answers = asyncio.gather(*polls, return_exceptions=True)
    await timeline.go_on()
    assert [answer is None for answer in await answers] == [False, True, False, True, True]
    assert order == [(0, 0.0), (1, 10.0), (2, 10.05), (3, 40.05), (4, 40.1)]


async def moments(timeline, gate, answers):
    """When polls left that were made one after the other, each as soon as could be."""
    began, left = timeline.moment, []

    async def poll(answer):
        left.append(round(timeline.moment - began, 6))
        if isinstance(answer, Exception):
            raise answer

    async def polls():
        for answer in answers:
            await asyncio.gather(gate.through(lambda answer=answer: poll(answer)), return_exceptions=True)
            await timeline.sleep(1e-6)  # an answer takes its time

    task = asyncio.create_task(polls())
    await timeline.go_on()
    await task
    return [round(later - now, 3) for now, later in pairwise(left)]


@pytest.fixture
def gate_of(timeline):
    """Makes a gate with one job, where chance always says the same."""

    def make(chance=0.5):
        gate = PollGate(timeline.now, timeline.sleep, lambda: chance)
        gate.waiting = 1
        return gate

    return make


@pytest.mark.parametrize(("chance", "part"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
async def test_the_pause_grows_and_a_success_makes_it_short_again(timeline, gate_of, chance, part):
    """Twice as long each time, up to ten seconds, and moved by chance; where none is refused, nobody waits."""
    no = RateLimitedError("slow down")
    waits = await moments(timeline, gate_of(chance), [None, None, *[no] * 6, None, no, None])
    assert waits == pytest.approx([0, 0, *(part * seconds for seconds in (1, 2, 4, 8, 10, 10)), NEXT, part], abs=0.002)


@pytest.mark.parametrize(("chance", "part"), [(0.0, 1.0), (1.0, 1.25)])
@pytest.mark.parametrize("error", [RateLimitedError, OverloadedError])
async def test_the_time_that_was_told_is_kept(timeline, gate_of, error, chance, part):
    """Never shorter; a day is cut as everywhere."""
    told = [error("x", retry_after=7), error("x", retry_after=86400.0), None]
    assert await moments(timeline, gate_of(chance), told) == [7 * part, LONGEST_RETRY_AFTER * part]


async def test_refusals_without_end(timeline, gate_of):
    """After days of them it is asked as after an hour."""
    waits = await moments(timeline, gate_of(), [RateLimitedError("no")] * 2000)
    assert set(waits[10:]) == {10.0}


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("busy"),
        ConnectionFailedError("cut", retry_after=9.0),
        RateLimitedError("the job was too fast", sent=Sent.FINISHED, retry_after=9.0),
    ],
    ids=["503 without a time", "cut", "the job failed"],
)
async def test_what_is_no_refusal_of_polls_holds_nobody(timeline, gate_of, error):
    """It says nothing of the other jobs."""
    assert await moments(timeline, gate_of(), [error, error, None]) == [0, 0]


async def test_polls_that_were_on_their_way_together_are_one_refusal(timeline, gate_of):
    """Ten of them are no reason for a pause as after ten in a row, and a success among them does not shorten the next."""
    gate, refused = gate_of(), asyncio.Event()

    async def poll(answer):
        await refused.wait()
        if isinstance(answer, Exception):
            raise answer

    no = RateLimitedError("slow down")
    crowd = [asyncio.create_task(gate.through(lambda a=a: poll(a))) for a in [*[no] * 10, None]]
    await timeline.settle()
    refused.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    began = timeline.moment
    assert await moments(timeline, gate, [no, None]) == [2.0]
    assert timeline.moment - began == pytest.approx(3.0, abs=0.01)


async def test_other_providers_go_on(timeline):
    """Each has its own gate."""
    vendor = Vendor(timeline, lambda now: RateLimitedError("x", retry_after=100) if now < 1 else RUNNING)
    vendor.start(3)
    await vendor.until(2)
    vendor.start(3, provider="other")
    await vendor.until(50)
    await vendor.stop()
    assert {number for _, number in vendor.refused} == {0}
    assert {number for now, number in vendor.asked if now > 1} == {3, 4, 5}


async def test_a_job_that_is_woken_is_held_too(timeline):
    """A webhook says that it is done; the provider still wants no polls."""
    said = {0: RUNNING, 1: RateLimitedError("x", retry_after=20)}
    vendor = Vendor(timeline, lambda now: said.get(int(now), DONE), chance=lambda: 0.0)
    nap = Nap(lambda _seconds: asyncio.Event().wait())  # until it is woken
    waiter = RemoteWaiter(_Handler(vendor, "woken"), CONTEXT, vendor.services, nap)
    vendor.jobs.append(asyncio.create_task(waiter.over(receipt())))
    await vendor.until(1)
    vendor.start(1)
    await vendor.until(2)
    nap.wake()
    await vendor.until(30)
    assert vendor.refused == [(1.0, 1)]
    assert [now for now, number in vendor.asked if number == "woken"] == pytest.approx([0, 21], abs=0.1)
    assert vendor.jobs[0].result() is DONE


async def test_more_jobs_than_polls_in_a_minute_go_on_faster(timeline, gate_of):
    """They are asked for once a minute, as if nobody had been held."""
    gate = gate_of(0.0)
    gate.waiting = 6000
    answers = [RateLimitedError("x", retry_after=1), None]
    assert await moments(timeline, gate, answers) == [1.0]
    assert await moments(timeline, gate, [None, None]) == [pytest.approx(LONGEST_WISH / 6000, abs=0.002)]


async def test_a_clock_that_is_set_back_holds_nobody_longer(timeline, gate_of):
    """Nobody waits for an hour that comes twice."""
    gate = gate_of(0.0)
    with pytest.raises(RateLimitedError):
        await gate.through(_refused)
    timeline.moment -= 3600
    assert await moments(timeline, gate, [None, None]) == [0]


async def _refused():
    raise RateLimitedError("slow down", retry_after=5)


class Polled(LoopbackServer):
    """A vendor whose jobs run for a minute; between two moments it answers polls with 429 and how long that still lasts."""

    def __init__(self, timeline):
        super().__init__()
        self.timeline, self.began = timeline, timeline.moment
        self.route("GET", "/jobs/{id}", "poll")(self._polled)

    def _polled(self, _request: Exchange) -> Reply:
        now = self.timeline.moment - self.began
        if 20 <= now < 25:
            return Reply(429, {"error": "slow down"}, {"retry-after": f"{25 - now:.3f}"})
        return Reply(200, {"done": now >= 60})


class OverHttp:
    """Polls jobs of a vendor over HTTP; `idle` is set while no poll is on its way."""

    def __init__(self, http):
        self.http, self.under_way, self.idle = http, 0, asyncio.Event()
        self.idle.set()

    async def poll(self, receipt, _context):
        """As the vendor says."""
        self.under_way += 1
        self.idle.clear()
        try:
            reply = await self.http.send("GET", f"/jobs/{receipt.job_id}")
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()
        if reply.status != 200:
            raise reply_error(reply, "no")
        return DONE if reply.json()["done"] else RUNNING


async def test_a_server_that_wants_no_polls_is_asked_once(timeline, monkeypatch):
    """60 jobs over real connections, for five seconds in which each is due: one poll is refused, no job is lost."""
    settle = timeline.settle
    async with AsyncExitStack() as exits:
        server = exits.enter_context(Polled(timeline))
        pool = ConnectionPool()
        exits.push_async_callback(pool.aclose)
        handler = OverHttp(Endpoint(pool, server.origin))

        async def settled():
            await settle()
            await handler.idle.wait()
            await settle()

        monkeypatch.setattr(timeline, "settle", settled)
        sleep, chance = timeline.sleep, Random(1).random
        gates = defaultdict(lambda: PollGate(timeline.now, sleep, chance))
        services = SimpleNamespace(sleep=sleep, chance=chance, poll_gates=gates)
        jobs = [
            asyncio.create_task(RemoteWaiter(handler, CONTEXT, services).over(receipt(job_id=f"job-{number}")))
            for number in range(60)
        ]
        counts = []
        for seconds in (20, 25, 60, 80):
            await timeline.go_on(server.began + seconds)
            counts.append(len(server.asked("poll")))
        assert [await job for job in jobs] == [DONE] * 60
    before, held, running, all_of_them = counts
    assert Counter(each.status for each in server.asked("poll")) == {429: 1, 200: all_of_them - 1}
    assert held - before == 1
    assert running - held <= 35 * POLLS_A_SECOND
    assert all_of_them - running == 60


class TestClient:
    """With all that stands around it."""

    async def test_a_deadline_that_comes_while_it_is_held_has_the_job_aborted(self, studio):
        """In time: the abort is not held."""
        studio.policies = replace(Policies.once(), deadlines=DeadlinePolicy(attempt=None, job=studio.acme.soon))
        studio.acme.polls["remote-call"] = [RateLimitedError("slow down", retry_after=300.0)]

        held = []

        async def never(seconds):
            held.append(seconds)
            if len(held) == 3:
                studio.acme.leap()
            await asyncio.Event().wait()

        studio.acme.sleep = never
        async with await studio.open() as client:
            calls = [client.call("acme:job", prompt=prompt) for prompt in ("one", "two", "three")]
            ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [(type(error), error.sent) for error in ended] == [(ProviderTimeoutError, Sent.FINISHED)] * 3
        assert studio.acme.polled == ["remote-call"]  # the two others were held
        assert studio.acme.aborted == ["remote-call"] * 3

    async def test_a_batch_is_held_by_a_refused_job_and_comes_home(self, studio):
        """Its polls go the same way."""
        studio.acme.polls["remote-call"] = [RateLimitedError("slow down", retry_after=9.0)]
        over, slept = asyncio.Event(), []

        async def sleep(seconds):
            slept.append(seconds)
            await over.wait()

        studio.acme.sleep = sleep
        async with asyncio.timeout(30), await studio.open() as client:
            job = asyncio.create_task(client.call("acme:job", prompt="lava"))
            while not slept:
                await asyncio.sleep(0)
            batch = asyncio.create_task(client.batch("acme:batch", [{"prompt": "one"}, {"prompt": "two"}]))
            while len(slept) < 2:
                await asyncio.sleep(0)
            assert (studio.acme.batches, studio.acme.polled) == ([["one", "two"]], ["remote-call"])
            over.set()
            result, results = await job, await batch
        assert result.artifacts[0].text == "re: lava #0"
        assert [each.artifacts[0].text for each in results] == ["batched: one", "batched: two"]
        assert sorted(studio.acme.polled) == ["batch-1", "remote-call", "remote-call"]
