"""Admission: what each way to a provider passes, when its place is free again, and what the ledger says of a refused call."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from types import SimpleNamespace

import pytest

from callsheet.admission import Admissions, expected_tokens
from callsheet.artifacts import FileRef, TextArtifact
from callsheet.breaker import CircuitOpenError
from callsheet.errors import (
    CallsheetError,
    ConnectionFailedError,
    ModelNotFoundError,
    OverloadedError,
    RateLimitedError,
    Sent,
)
from callsheet.jobs import JobResult, ProviderRequest, Receipt, RemoteState, RemoteStatus, Usage
from callsheet.models import ModelRef, Operation
from callsheet.policies import BreakerPolicy, LimitPolicy, Policies, RetryPolicy
from callsheet.settings import Settings
from callsheet.storage import CallState
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.streams import StreamFinished, TextDelta

REF = ModelRef("acme", "one")
REQUEST = ProviderRequest(REF, Operation.TEXT_GENERATE, {"prompt": "lava" * 100}, ())


class Desk:
    """Admissions over a ledger in memory, at a moment that tests move."""

    def __init__(self, ledger, timeline):
        self.ledger, self.time, self.warnings = ledger, timeline, []

    def admissions(self, **policies):
        """Those of one process."""

        async def account():
            return "f00d"

        return Admissions(
            self.ledger,
            Policies(**policies),
            lambda _bound: SimpleNamespace(account=account),
            clock=self.time.now,
            sleep=self.time.sleep,
            redact=lambda text: text.replace("sk-secret", "[redacted]"),
            warn=lambda event, **about: self.warnings.append((event, about)),
        )

    @staticmethod
    def bound(*, simulated=False):
        """A model and who runs it, as far as admission looks."""
        origin = "https://api.acme.example/v1"
        return SimpleNamespace(ref=REF, origin=origin, rate_key="acme/one", simulated=simulated)


@pytest.fixture
async def desk(tmp_path, timeline):
    """A fresh one."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(None, owner) as ledger:
        yield Desk(ledger, timeline)
    owner.close()


async def answer(value=None):
    """What a provider gives; an exception is raised."""
    if isinstance(value, BaseException):
        raise value
    return value


async def test_a_healthy_call_writes_nothing_and_reads_once_a_second(desk):
    """Whatever other processes did is known a second later."""
    admissions, bound = desk.admissions(), desk.bound()
    reads = []
    read, desk.ledger.gates.read = desk.ledger.gates.read, lambda: reads.append(desk.time.now()) or read()
    commits = desk.ledger._writer.commits
    for _ in range(10):
        async with await admissions.admit(bound, REQUEST) as passage:
            assert await passage.through(answer("lava")) == "lava"
        desk.time.moment += 0.25
    assert desk.ledger._writer.commits == commits
    assert len(reads) == 3


async def test_simulated_calls_pass_through_nothing(desk):
    """Neither a limit nor an open breaker is theirs, and nothing is learned from them."""
    admissions = desk.admissions(limits={"acme": LimitPolicy(requests=0.001)})
    for _ in range(10):
        async with await admissions.admit(desk.bound(simulated=True), REQUEST) as passage:
            with pytest.raises(ModelNotFoundError):
                await passage.through(answer(ModelNotFoundError("404")))
    assert await desk.ledger.gates.read() == []
    assert await desk.ledger.breakers.read() == []


async def test_what_the_breaker_keeps_of_an_error_is_redacted(desk):
    """Its text lies in the ledger, and is shown by other processes."""
    admissions = desk.admissions()
    async with await admissions.admit(desk.bound(), REQUEST) as passage:
        with pytest.raises(ModelNotFoundError):
            await passage.through(answer(ModelNotFoundError("no model for sk-secret")))
    with pytest.raises(CircuitOpenError) as caught:
        await admissions.admit(desk.bound(), REQUEST)
    [row] = await desk.ledger.breakers.read()
    assert "sk-secret" not in str(caught.value) + row.message


async def test_one_refusal_stops_everybody_at_the_gate(desk):
    """Also in another process, which has heard of it a second later at most; and no breaker opens for it."""
    mine, theirs = desk.admissions(), desk.admissions()
    await (await theirs.admit(desk.bound(), REQUEST)).ended(None)
    async with await mine.admit(desk.bound(), REQUEST) as passage:
        with pytest.raises(RateLimitedError):
            await passage.through(answer(RateLimitedError("slowly", retry_after=7.0)))
    desk.time.moment += 1.0
    began = desk.time.now()
    tasks = [asyncio.create_task(each.admit(desk.bound(), REQUEST)) for each in (mine, theirs)]
    await desk.time.go_on()
    assert desk.time.now() - began == 6.0
    assert all(task.done() for task in tasks)
    assert await desk.ledger.breakers.read() == []


async def test_tokens_are_expected_and_then_counted(desk):
    """The next call waits for what the provider counted, not for what was thought."""
    admissions = desk.admissions(limits={"acme": LimitPolicy(tokens=100.0)})
    result = JobResult((TextArtifact("hot"),), usage=Usage(input_tokens=150, output_tokens=50))
    async with await admissions.admit(desk.bound(), REQUEST) as passage:  # about 100
        await passage.through(answer(result))
    began = desk.time.now()
    task = asyncio.create_task(admissions.admit(desk.bound(), REQUEST))
    await desk.time.go_on()
    assert task.done()
    assert desk.time.now() - began == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("units", "body", "tokens"),
    [
        ({"input_token": 12.0, "output_token": 3.0, "run": 1.0}, {"prompt": "x" * 4000}, 15.0),
        ({"run": 1.0}, {"messages": [{"content": "x" * 40}, {"content": ["y" * 40]}], "temperature": 0.5}, 20.0),
        ({}, {"image": FileRef("ab" * 32, "image/png", 1_000_000)}, 1.0),
    ],
)
def test_expected_tokens(units, body, tokens):
    """What was counted beforehand, else the letters of all texts; a file is no text."""
    assert expected_tokens(ProviderRequest(REF, Operation.TEXT_GENERATE, body, (), units)) == tokens


async def test_a_place_is_given_back_however_a_call_ends(desk):
    """Answered, failed, cancelled, or never sent."""
    admissions, bound = desk.admissions(limits={"acme": LimitPolicy(concurrency=1)}), desk.bound()
    gate = admissions.gate(bound.rate_key)
    for end in ("lava", OverloadedError("busy"), asyncio.CancelledError(), ValueError("odd")):
        async with await admissions.admit(bound, REQUEST) as passage:
            assert gate.under_way == 1
            await asyncio.gather(passage.through(answer(end)), return_exceptions=True)
            assert gate.under_way == 0
    async with await admissions.admit(bound, REQUEST):
        pass
    assert gate.under_way == 0


async def test_a_ledger_that_cannot_be_written_takes_no_result(desk):
    """It was paid for: the result is given, and somebody is told."""
    admissions = desk.admissions()
    async with await admissions.admit(desk.bound(), REQUEST) as passage:
        await asyncio.gather(passage.through(answer(OverloadedError("busy"))), return_exceptions=True)
    last = await admissions.admit(desk.bound(), REQUEST)
    await desk.ledger.close()
    assert await last.through(answer("lava")) == "lava"
    assert [event for event, _ in desk.warnings] == ["gates.not_written"]


async def stream_of(*events):
    """A stream; an exception among the events is raised."""
    for event in events:
        if isinstance(event, BaseException):
            raise event
        yield event


RECEIPT = Receipt(REF, Operation.TEXT_GENERATE, "job", "key", "digest", (), 0.0)
DONE = StreamFinished(JobResult((TextArtifact("hot"),)))


@pytest.mark.parametrize(
    ("events", "taken", "failures"),
    [
        ((TextDelta("hot"), DONE), [1, 0], 0),
        ((RECEIPT, TextDelta("hot"), DONE), [0, 0, 0], 0),
        ((TextDelta("hot"), OverloadedError("busy")), [1], 1),
        ((TextDelta("hot"),), [1], 0),
    ],
    ids=["finished", "submitted", "broken", "cut"],
)
async def test_a_stream_holds_its_place_until_it_ends(desk, events, taken, failures):
    """Or until it is known as a remote job; and how it ended is what the breaker hears."""
    admissions, bound = desk.admissions(), desk.bound()
    gate, places = admissions.gate(bound.rate_key), []
    async with await admissions.admit(bound, REQUEST) as passage:
        source = passage.reading(stream_of(*events))
    with suppress(OverloadedError):
        async for _ in source:
            places.append(gate.under_way)  # noqa: PERF401 - those before an error count
    assert (places, gate.under_way) == (taken, 0)
    assert sum(row.failures for row in await desk.ledger.breakers.read()) == failures


async def test_a_stream_that_nobody_reads_gives_its_place_back(desk):
    """When it is closed, begun or not."""
    admissions, bound = desk.admissions(), desk.bound()
    for read in (0, 1):
        async with await admissions.admit(bound, REQUEST) as passage:
            source = passage.reading(stream_of(TextDelta("hot"), DONE))
        async with aclosing(source):
            for _ in range(read):
                await anext(source)
            assert admissions.gate(bound.rate_key).under_way == 1
        assert admissions.gate(bound.rate_key).under_way == 0


def policed(studio, **policies):
    """The project's settings with these policies; one attempt each."""
    return Settings(policies=Policies(retries={"": RetryPolicy(attempts=1)}, **policies))


async def only_call(client):
    """The ledger's one call."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    assert len(rows) == 1
    return await client.ledger.get(rows[0][0])


async def test_an_open_breaker_refuses_before_anything_is_sent(studio):
    """The call has failed, without an attempt; in the next process too, until the breaker is reset."""
    studio.acme.script["call"] = [ModelNotFoundError("no such model")]
    async with await studio.open() as client:
        with pytest.raises(ModelNotFoundError):
            await client.call("acme:text", prompt="lava", reuse=True)
    for _ in range(3):
        async with await studio.open() as client:
            with pytest.raises(CircuitOpenError) as caught:
                await client.call("acme:text", prompt="lava", reuse=True)
            record = await only_call(client)
            attempts = await client.ledger.attempts(record.key)
    assert (caught.value.sent, caught.value.kind) == (Sent.NOT_SENT, "model_not_found")
    assert (record.state, record.failure.sent, len(attempts)) == (CallState.FAILED, "not_sent", 1)
    assert studio.acme.sent == ["call"]
    async with await studio.open() as client:
        await client.ledger.breakers.reset("acme")
        assert (await client.call("acme:text", prompt="lava", reuse=True)).artifacts[0].text == "re: lava #0"


@pytest.mark.parametrize("durable", [True, False])
async def test_thirty_calls_cost_a_dead_provider_no_more_than_it_takes_to_open(studio, durable):
    """Connection errors too, with one host only, and with a client that keeps nothing."""
    studio.acme.script["call"] = [ConnectionFailedError("refused", sent=Sent.NOT_SENT) for _ in range(30)]
    settings = policed(studio, breakers={"": BreakerPolicy(failures=2)})
    async with await studio.open(settings=settings, durable=durable) as client:
        for _ in range(30):
            with pytest.raises(ConnectionFailedError) if len(studio.acme.sent) < 2 else pytest.raises(CircuitOpenError):
                await client.call("acme:text", prompt="lava")
    assert len(studio.acme.sent) == 2


async def test_a_remote_job_gives_its_place_back_once_it_is_submitted(studio):
    """Polls pass no gate: with one place, three jobs run at the provider at the same time."""
    running = asyncio.Event()

    async def poll():
        if len(studio.acme.sent) == 3:
            running.set()
        await running.wait()
        return RemoteStatus(RemoteState.SUCCEEDED)

    studio.acme.polls["remote-call"] = [poll, poll, poll]
    settings = policed(studio, limits={"acme": LimitPolicy(concurrency=1)})
    async with await studio.open(settings=settings) as client:
        results = await asyncio.gather(*(client.call("acme:job", prompt=p) for p in ("a", "b", "c")))
        assert len(results) == len(studio.acme.sent) == 3
        assert client.runtime.services.admissions.gate("acme").under_way == 0


async def test_who_waits_at_the_gate_has_sent_nothing(studio):
    """Cancelled there, the call is one of which surely nothing was sent, and the next one sends it."""
    first = asyncio.get_running_loop().create_future()

    async def held(request, context):
        return await first

    studio.acme.script["call"] = [held]
    settings = policed(studio, limits={"acme": LimitPolicy(concurrency=1)})
    async with await studio.open(settings=settings) as client:
        one = asyncio.create_task(client.call("acme:text", prompt="one", reuse=True))
        while not studio.acme.sent:
            await asyncio.sleep(0)
        two = asyncio.create_task(client.call("acme:text", prompt="two", reuse=True))
        while len(calls := await client.ledger.open_calls()) < 2:
            await asyncio.sleep(0)
        assert sorted(call.state for call in calls) == [CallState.CLAIMED, CallState.SENDING]
        two.cancel()
        await asyncio.wait([two])
        assert studio.acme.sent == ["call"]
        first.set_result(JobResult((TextArtifact("hot"),)))
        await one
        assert (await client.call("acme:text", prompt="two", reuse=True)).artifacts[0].text == "re: two #0"


async def test_a_streamed_call_passes_the_gate(studio):
    """It is under way until its stream has ended."""
    async with await studio.open() as client:
        gate = client.runtime.services.admissions.gate("acme")
        async with aclosing(client.stream("acme:live", prompt="lava")) as events:
            await anext(events)
            assert gate.under_way == 1
            async for _ in events:
                pass
        assert gate.under_way == 0


async def test_a_batch_is_one_request(studio):
    """An open breaker keeps all of its calls from leaving, and the ledger says that none was sent."""
    studio.acme.submits = [ModelNotFoundError("no such model")]
    async with await studio.open() as client:
        refused = await client.batch("acme:batch", [{"prompt": "one"}, {"prompt": "two"}])
        kept_out = await client.batch("acme:batch", [{"prompt": "three"}, {"prompt": "four"}])
        calls = await client.ledger._read(lambda turn: turn.db.execute("SELECT state FROM calls").fetchall())
    assert [type(each) for each in refused] == [ModelNotFoundError] * 2
    assert [type(each) for each in kept_out] == [CircuitOpenError] * 2
    assert calls == [("failed",)] * 4
    assert studio.acme.batches == [["one", "two"]]


async def test_a_gate_that_is_closed_for_long_fails_the_call(studio):
    """A wait beyond the policy's is not slept: it is told, and nothing was sent."""
    studio.acme.script["call"] = [RateLimitedError("tomorrow", retry_after=86_400.0)]
    async with await studio.open() as client:
        for _ in range(2):
            with pytest.raises(RateLimitedError) as caught:
                await client.call("acme:text", prompt="lava")
    assert (caught.value.sent, studio.acme.sent) == (Sent.NOT_SENT, ["call"])
    assert isinstance(caught.value, CallsheetError)


@pytest.mark.parametrize("processes", [1, 30])
async def test_a_dead_primary_with_a_healthy_fallback_costs_at_most_a_probe(studio, processes):
    """Thirty requests, from one process or from thirty: once its breaker is open, the primary is called no more."""
    called = []

    async def answered(request, context):
        called.append(request.ref.model)
        if request.ref.model == "text":
            raise OverloadedError("busy")
        return JobResult((TextArtifact("hot"),))

    studio.acme.script["call"] = [answered] * 100
    settings = policed(studio, breakers={"": BreakerPolicy(failures=3)})
    for _ in range(processes):
        async with await studio.open(settings=settings) as client:
            for _ in range(30 // processes):
                result = await client.call("acme:text", prompt="lava", fallbacks=["acme:other"])
                assert result.artifacts[0].text == "hot"
    assert (called.count("text"), called.count("other")) == (3, 30)
