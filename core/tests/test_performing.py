"""The chain around a call: retries, fallbacks, deadlines, and what each of them leaves on record."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.breaker import CircuitOpenError
from callsheet.errors import (
    ConfigError,
    ConnectionFailedError,
    ContentRejectedError,
    JobFailedError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitedError,
    Sent,
)
from callsheet.jobs import AbortOutcome, JobResult, RemoteState, RemoteStatus
from callsheet.pay_once import OnUnknown, StillRunningError, UnknownOutcomeError
from callsheet.policies import BreakerPolicy, DeadlinePolicy, Policies, RetryPolicy
from callsheet.runner import JobStatus
from callsheet.runs import RunRequest
from callsheet.settings import Settings
from callsheet.sheet import CallSheet
from callsheet.storage import CallState

ONE = """
[producers.a]
operation = "text.generate"
models = ["acme:text", "acme:other"]
prompt = "lava"
"""


@pytest.fixture(autouse=True)
def _no_last_word(monkeypatch):
    """What never answers is not waited for after a cancellation."""
    monkeypatch.setattr("callsheet.delivery.LAST_WORD_SECONDS", 0.0)


@pytest.fixture
def patient(studio):
    """A project with the default policies."""
    studio.policies = Policies()
    return studio


def within(studio, **deadlines):
    """The project with these deadlines, and one attempt a call."""
    studio.policies = replace(Policies.once(), deadlines=DeadlinePolicy(**{"attempt": None, **deadlines}))
    return studio


@pytest.fixture
def hurried(studio, monkeypatch):
    """The project where the first of two models has no time, and the last one has all of it."""
    soon = studio.acme.soon
    monkeypatch.setattr("callsheet.performing.share", lambda now, _until, left: now + (soon if left > 1 else 600.0))
    return within(studio, job=1200.0)


async def records(client):
    """All calls, by model."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    return {record.ref: record for record in [await client.ledger.get(row[0]) for row in rows]}


def told(studio, name):
    """The bodies of the events of this type."""
    return [event.body for event in studio.acme.events if event.type == name]


class TestRetries:
    """What surely failed is sent again, by the host."""

    async def test_a_busy_provider_is_asked_again(self, patient):
        """After a wait by chance; each attempt is on record, and the wait is told."""
        patient.acme.script["call"] = [OverloadedError("busy"), ConnectionFailedError("refused", sent=Sent.NOT_SENT)]
        async with await patient.open() as client:
            result = await client.call("acme:picture", prompt="lava", reuse=True)
            (record,) = (await records(client)).values()
            attempts = await client.ledger.attempts(record.key)
        assert result.artifacts[0].text == "re: lava #0"
        assert [(a.outcome, a.kind, a.sent) for a in attempts] == [
            ("failed", "overloaded", "rejected"),
            ("failed", "connection_failed", "not_sent"),
            ("succeeded", "", ""),
        ]
        waits = [event["wait"] for event in told(patient, "job.retrying")]
        assert waits == [round(wait, 3) for wait in patient.acme.slept]
        assert [0 <= wait <= 1 * 2**number for number, wait in enumerate(waits)] == [True, True]

    async def test_a_wait_that_the_provider_asks_for_is_kept(self, patient):
        """Retry-After, and a little more."""
        patient.acme.script["call"] = [RateLimitedError("slow down", retry_after=8.0)]
        async with await patient.open() as client:
            await client.call("acme:text", prompt="lava")
        (wait,) = [event["wait"] for event in told(patient, "job.retrying")]
        assert 8.0 <= wait <= 10.0

    async def test_a_refusal_for_the_content_is_final(self, patient):
        """Nobody asks twice."""
        patient.acme.script["call"] = [ContentRejectedError("no")]
        async with await patient.open() as client:
            with pytest.raises(ContentRejectedError):
                await client.call("acme:text", prompt="lava")
        assert patient.acme.sent == ["call"]

    async def test_a_remote_job_that_failed_there_is_started_once_more(self, patient):
        """A new paid attempt, and only one for what is not cheap."""
        patient.acme.polls["remote-call"] = [RemoteStatus(RemoteState.FAILED, error="out of memory")] * 5
        async with await patient.open() as client:
            with pytest.raises(JobFailedError, match="may be paid anew"):
                await client.call("acme:job", prompt="lava")
        assert patient.acme.sent == ["call"] * 3

    async def test_an_unknown_outcome_is_not_the_business_of_retries(self, patient):
        """on_unknown decides, whatever the policy says."""
        patient.acme.script["call"] = [ConnectionFailedError("cut", sent=Sent.UNKNOWN)]
        async with await patient.open() as client:
            with pytest.raises(UnknownOutcomeError):
                await client.call("acme:picture", prompt="lava")
        assert patient.acme.sent == ["call"]

    async def test_equal_calls_share_the_retries(self, patient):
        """The second one waits for the first one's attempts instead of making its own."""
        patient.acme.script["call"] = [OverloadedError("busy"), OverloadedError("busy")]
        async with await patient.open() as client:
            asked = [client.call("acme:text", prompt="lava", reuse=True) for _ in range(3)]
            results = await asyncio.gather(*asked)
        assert {result.artifacts[0].text for result in results} == {"re: lava #0"}
        assert patient.acme.sent == ["call"] * 3

    async def test_calls_of_a_refused_batch_leave_together_again(self, patient):
        """A retry is no reason to pay the price of single calls."""
        patient.acme.submits = [OverloadedError("busy")]
        async with await patient.open() as client:
            results = await client.batch("acme:batch", [{"prompt": "one"}, {"prompt": "two"}])
        assert [result.artifacts[0].text for result in results] == ["batched: one", "batched: two"]
        assert [sorted(batch) for batch in patient.acme.batches] == [["one", "two"], ["one", "two"]]

    async def test_a_policy_for_one_attempt_is_kept(self, patient):
        """By rate key: acme's calls are made once."""
        policies = Policies(retries={"acme": RetryPolicy(attempts=1)})
        patient.acme.script["call"] = [OverloadedError("busy")]
        async with await patient.open(settings=Settings(policies=policies)) as client:
            with pytest.raises(OverloadedError, match=r"^busy$"):
                await client.call("acme:text", prompt="lava")
        assert patient.acme.sent == ["call"]


class TestFallbacks:
    """Another model, when the first one surely failed."""

    async def test_a_call_falls_back(self, studio):
        """The result says which model failed, and why."""
        studio.acme.script["call"] = [OverloadedError("busy")]
        async with await studio.open() as client:
            result = await client.call("acme:text", prompt="lava", fallbacks=["acme:other"])
            kept = await records(client)
        assert [warning.message for warning in result.warnings] == [
            "acme:text failed (overloaded), so acme:other was asked: busy"
        ]
        assert {ref: record.state for ref, record in kept.items()} == {
            "acme:text": CallState.FAILED,
            "acme:other": CallState.SUCCEEDED,
        }

    async def test_the_last_model_s_error_is_raised(self, studio):
        """When all of them failed."""
        studio.acme.script["call"] = [OverloadedError("busy"), JobFailedError("broke")]
        async with await studio.open() as client:
            with pytest.raises(JobFailedError, match="broke"):
                await client.call("acme:text", prompt="lava", fallbacks=["acme:other"])

    async def test_what_a_fallback_made_before_is_taken_with_reuse(self, studio):
        """All keys are looked up before anything is sent."""
        async with await studio.open() as client:
            await client.call("acme:other", prompt="lava", reuse=True)
            again = await client.call("acme:text", prompt="lava", reuse=True, fallbacks=["acme:other"])
        assert studio.acme.sent == ["call"]
        assert again.artifacts[0].text == "re: lava #0"

    async def test_a_fallback_that_cannot_take_the_call_is_told(self, studio):
        """As a warning; as an error under `strict`."""
        async with await studio.open() as client:
            result = await client.call("acme:text", prompt="lava", fallbacks=["acme:picture", "acme:other"])
            with pytest.raises(ConfigError, match=r"acme:picture does image.generate"):
                await client.call("acme:text", prompt="lava", fallbacks=["acme:picture"], strict=True)
        (warning,) = result.warnings
        assert warning.message.startswith("the fallback acme:picture cannot take the call: acme:picture does image.gen")

    async def test_options_are_the_first_model_s_own(self, studio):
        """Another vendor would not know them."""
        studio.acme.script["call"] = [OverloadedError("busy")]
        async with await studio.open() as client:
            await client.call("acme:text", prompt="lava", options={"knob": 3}, fallbacks=["acme:other"])
            kept = await records(client)
        assert kept["acme:text"].request["body"] == {"prompt": "lava", "knob": 3}
        assert kept["acme:other"].request["body"] == {"prompt": "lava"}

    async def test_every_attempt_is_in_the_manifest(self, studio):
        """With its model, times, outcome and error."""
        studio.policies = Policies()
        studio.acme.script["a"] = [OverloadedError("busy"), OverloadedError("busy", retry_after=3600.0)]
        folder = studio.sheet(ONE)
        async with await studio.open() as client:
            run = await client.run(CallSheet.load(folder))
        (job,) = run.manifest["jobs"]
        seen = [(a["ref"], a["number"], a["outcome"], a.get("kind"), a.get("sent")) for a in job["attempts"]]
        assert seen == [
            ("acme:text", 1, "failed", "overloaded", "rejected"),
            ("acme:text", 2, "failed", "overloaded", "rejected"),
            ("acme:other", 1, "succeeded", None, None),
        ]
        assert all(a["started"] <= a["ended"] for a in job["attempts"])
        assert "retry.longest_wait is 60 s" in job["warnings"][0]

    async def test_a_fallback_that_lacks_what_is_needed_is_not_asked(self, studio):
        """A text is no stand-in for data after a schema."""
        studio.acme.script["a"] = [OverloadedError("busy")]
        text = ONE.replace("acme:other", "acme:plain") + 'output_schema = "s.json"\n'
        folder = studio.sheet(text, s_json='{"type": "object"}')
        async with await studio.open() as client:
            run = await client.run(CallSheet.load(folder))
        assert run.outcomes["a"].status is JobStatus.FAILED
        assert studio.acme.sent == ["a"]

    async def test_a_dead_primary_is_left_alone_once_that_is_known(self, patient):
        """30 calls, from two processes' clients: five failures, and from then on the fallback is asked at once."""
        asked = []

        async def answer(request, _context):
            asked.append(request.ref.model)
            if request.ref.model == "text":
                raise OverloadedError("busy")
            return JobResult((TextArtifact("instead"),))

        patient.acme.script["call"] = [answer] * 100
        for _ in range(2):
            async with await patient.open() as client:
                for _ in range(15):
                    result = await client.call("acme:text", prompt="lava", fallbacks=["acme:other"])
                    assert result.artifacts[0].text == "instead"
        assert (asked.count("text"), asked.count("other")) == (5, 30)
        assert "was not called" in result.warnings[0].message


class TestPatience:
    """An outage that is short costs a run time, and no job."""

    async def test_a_run_waits_until_a_breaker_closes(self, patient):
        """What it is kept out by is no attempt of a job's, and every job is done in the end."""
        failures = iter(range(8))

        async def answer(_request, _context):
            if next(failures, None) is not None:
                raise OverloadedError("busy")
            return JobResult((TextArtifact("at last"),))

        patient.acme.script = {f"a[{number}]": [answer] * 100 for number in range(3)}
        breaker = BreakerPolicy(failures=2, cooldown=0.001, longest_cooldown=0.002)
        patient.policies = Policies(retries={"": RetryPolicy(attempts=9)}, breakers={"": breaker})
        folder = patient.sheet(
            '[inputs]\nn = 3\n[producers.a]\noperation = "text.generate"\nmodels = ["acme:text"]\n'
            'for_each = "inputs.n"\nprompt = "{{ index }}"\n'
        )
        async with await patient.open() as client:
            run = await client.run(CallSheet.load(folder))
        assert {job.status for job in run.outcomes.values()} == {JobStatus.EXECUTED}
        assert len(patient.acme.sent) == 8 + 3
        assert any("was not called" in body["message"] for body in told(patient, "attempt.failed"))

    async def test_a_call_outside_of_a_run_is_told_at_once(self, patient):
        """Somebody sits there and waits."""
        patient.acme.script["call"] = [OverloadedError("busy")] * 10
        patient.policies = Policies(breakers={"": BreakerPolicy(failures=4, cooldown=30.0)})
        async with await patient.open() as client:
            with pytest.raises(OverloadedError):
                await client.call("acme:text", prompt="x")
            with pytest.raises(CircuitOpenError):
                await client.call("acme:text", prompt="y")
        assert len(patient.acme.sent) == 4


class TestDeadlines:
    """What is not done in time is stopped at the provider first."""

    async def test_a_remote_job_is_stopped_before_the_next_model_is_asked(self, hurried):
        """The abandoned job costs nothing more, and its end is on record."""
        hurried.acme.polls["remote-call"] = [hurried.acme.never]
        order = []

        async def answer(request, context):
            order.append((str(request.ref), list(hurried.acme.aborted)))
            return JobResult((TextArtifact("in time"),))

        hurried.acme.script["call"] = [None, answer]
        async with await hurried.open() as client:
            result = await client.call("acme:job", prompt="lava", fallbacks=["acme:other"])
            kept = await records(client)
        assert order == [("acme:other", ["remote-call"])]
        assert result.artifacts[0].text == "in time"
        assert kept["acme:job"].state is CallState.FAILED
        assert "the provider stopped it" in result.warnings[0].message

    async def test_without_a_fallback_it_is_a_time_out(self, studio):
        """`finished`: the provider says that it is over."""
        studio.acme.polls["remote-call"] = [studio.acme.never]
        async with await within(studio, job=studio.acme.soon).open() as client:
            with pytest.raises(ProviderTimeoutError, match="not done before its deadline") as caught:
                await client.call("acme:job", prompt="lava")
        assert caught.value.sent is Sent.FINISHED
        assert studio.acme.aborted == ["remote-call"]

    @pytest.mark.parametrize("durable", [True, False])
    async def test_a_job_that_had_finished_is_collected(self, hurried, durable):
        """It is paid for: no other model is asked, and nothing is sent again."""
        hurried.acme.polls["remote-call"] = [hurried.acme.never]
        hurried.acme.abort_outcome = AbortOutcome.ALREADY_FINISHED
        async with await hurried.open(durable=durable) as client:
            result = await client.call("acme:job", prompt="lava", fallbacks=["acme:other"])
        assert result.artifacts[0].text == "re: lava #0"
        assert hurried.acme.sent == ["call"]

    @pytest.mark.parametrize("outcome", [AbortOutcome.CLIENT_SIDE_ONLY, AbortOutcome.UNKNOWN])
    async def test_a_job_that_nobody_could_stop_is_pending(self, studio, outcome):
        """It is asked for again by whoever comes next."""
        studio.acme.polls["remote-call"] = [studio.acme.never]
        studio.acme.abort_outcome = outcome
        async with await within(studio, job=studio.acme.soon).open() as client:
            with pytest.raises(StillRunningError, match="callsheet resume remote-call"):
                await client.call("acme:job", prompt="lava", reuse=True, on_unknown=OnUnknown.FAIL)
            assert [record.state for record in (await records(client)).values()] == [CallState.SUBMITTED]
            again = await client.call("acme:job", prompt="lava", reuse=True)
        assert again.artifacts[0].text == "re: lava #0"
        assert studio.acme.sent == ["call"]

    async def test_who_accepts_two_payments_falls_back_from_it(self, hurried):
        """The default for text; the job's receipt stays on record."""
        hurried.acme.polls["remote-call"] = [hurried.acme.never]
        hurried.acme.abort_outcome = AbortOutcome.CLIENT_SIDE_ONLY
        async with await hurried.open() as client:
            result = await client.call("acme:job", prompt="lava", fallbacks=["acme:other"])
            hurried.acme.polls["remote-call"] = [hurried.acme.never]
            asked = {"fallbacks": ["acme:other"], "on_unknown": OnUnknown.FAIL}
            with pytest.raises(StillRunningError):
                await client.call("acme:job", prompt="lava", **asked)
        assert "may be paid for all the same" in result.warnings[0].message
        assert hurried.acme.sent == ["call", "call", "call"]

    @pytest.mark.parametrize("insists", [False, True])
    async def test_who_waits_for_an_equal_call_asks_nobody_else(self, studio, insists):
        """That call goes on and is paid for: only who accepts two payments falls back, and who asks again gets its result."""
        free = asyncio.Event()

        async def answer(_request, _context):
            await free.wait()
            return JobResult((TextArtifact("theirs"),))

        studio.acme.script["call"] = [answer]
        asked = {"prompt": "lava", "reuse": True, "fallbacks": ["acme:other"]}
        asked["on_unknown"] = OnUnknown.RETRY if insists else OnUnknown.FAIL
        theirs = await studio.open()
        studio.acme.sleep = studio.acme.never
        async with theirs, await within(studio, job=2 * studio.acme.soon).open() as ours:
            first = asyncio.create_task(theirs.call("acme:text", prompt="lava", reuse=True))
            while not studio.acme.sent:
                await asyncio.sleep(0)
            if insists:
                assert (await ours.call("acme:text", **asked)).artifacts[0].text == "re: lava #0"
            else:
                with pytest.raises(StillRunningError, match="an equal call of another task or process goes on"):
                    await ours.call("acme:text", **asked)
            assert studio.acme.sent == ["call"] * (1 + insists)
            free.set()
            assert (await first).artifacts[0].text == "theirs"

    async def test_a_request_without_an_answer_is_in_doubt(self, studio):
        """A picture is not asked for elsewhere while it may be paid for."""
        studio.acme.script["call"] = [studio.acme.never]
        async with await within(studio, job=studio.acme.soon).open() as client:
            with pytest.raises(UnknownOutcomeError, match="nobody knows whether it was accepted"):
                await client.call("acme:picture", prompt="lava", fallbacks=["acme:picture"])
            assert [record.state for record in (await records(client)).values()] == [CallState.UNKNOWN]
        assert studio.acme.sent == ["call"]

    async def test_an_attempt_has_a_deadline_of_its_own(self, studio):
        """Text without an answer is asked for once more."""
        studio.acme.script["call"] = [studio.acme.never]
        async with await within(studio, attempt=studio.acme.soon).open() as client:
            result = await client.call("acme:text", prompt="lava")
            (record,) = (await records(client)).values()
            first = (await client.ledger.attempts(record.key))[0]
        assert result.artifacts[0].text == "re: lava #0"
        assert (first.outcome, first.kind) == ("unknown", "timeout")
        assert "deadlines.attempt" in first.message

    async def test_a_plugin_that_cannot_be_cancelled_does_not_hold_the_call(self, studio, monkeypatch):
        """It is left behind; what it may still do is unknown."""
        monkeypatch.setattr("callsheet.delivery.STUBBORN_SECONDS", 0.01)
        free = asyncio.Event()

        async def stubborn(_request, _context):
            studio.acme.leap()
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue
            return JobResult((TextArtifact("late"),))

        studio.acme.script["call"] = [stubborn]
        async with await within(studio, job=studio.acme.soon).open() as client:
            with pytest.raises(UnknownOutcomeError):
                await client.call("acme:picture", prompt="lava")
            free.set()
            assert [record.state for record in (await records(client)).values()] == [CallState.UNKNOWN]

    async def test_a_batch_without_an_answer_is_in_doubt(self, studio):
        """As any request: it may be accepted."""
        studio.acme.submits = [studio.acme.never]
        async with await within(studio, attempt=studio.acme.soon).open() as client:
            ended = await client.batch("acme:batch", [{"prompt": "one"}], on_unknown=OnUnknown.FAIL)
        assert [type(end) for end in ended] == [UnknownOutcomeError]
        assert "deadlines.attempt" in str(ended[0])

    async def test_a_run_starts_nothing_after_its_deadline(self, studio):
        """What is under way is stopped, what waits is skipped, and the run ends by itself."""
        folder = studio.sheet(
            '[inputs]\nn = 2\n[producers.a]\noperation = "text.generate"\nmodels = ["acme:job"]\n'
            'for_each = "inputs.n"\nprompt = "{{ index }}"\n'
        )
        studio.acme.polls = {f"remote-a[{index}]": [studio.acme.never] for index in range(2)}
        deadlines = DeadlinePolicy(attempt=None, run=studio.acme.soon)
        settings = Settings(concurrency=1, policies=replace(Policies.once(), deadlines=deadlines))

        studio.acme.script["a[0]"] = [studio.acme.never]
        async with await studio.open(settings=settings) as client:
            run = await client.run(CallSheet.load(folder), RunRequest(on_unknown=OnUnknown.FAIL))
        assert run.outcomes["a[0]"].status is JobStatus.UNKNOWN
        assert run.outcomes["a[1]"].status is JobStatus.SKIPPED
        assert run.outcomes["a[1]"].detail == "the run's deadline has passed"
        assert run.status == "failed"


async def test_a_fallback_after_a_wait_takes_a_slot_again(studio):
    """Jobs that failed at their provider are made by another model no more at once than a run may call."""
    sheet = '[producers.a]\noperation = "text.generate"\nmodels = ["acme:job", "acme:text"]\nfor_each = 6\nprompt = "{{ index }}"'
    under_way, most = 0, []

    async def answer(request, context):
        nonlocal under_way
        under_way += 1
        most.append(under_way)
        for _ in range(20):
            await client.ledger.get("none")  # the others get as far meanwhile
        under_way -= 1
        return JobResult((TextArtifact("hot"),))

    for number in range(6):
        studio.acme.script[f"a[{number}]"] = [None, answer]
        studio.acme.polls[f"remote-a[{number}]"] = [RemoteStatus(RemoteState.FAILED, error="no")]
    async with await studio.open(settings=Settings(concurrency=2, policies=Policies.once())) as client:
        run = await client.run(CallSheet.load(studio.sheet(sheet)))
    assert run.status == "succeeded"
    assert (len(most), max(most)) == (6, 2)
