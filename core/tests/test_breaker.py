"""Breakers: what opens them, whom they keep out, who tries first, and what is left for the next process."""

from __future__ import annotations

import asyncio
from copy import copy

import pytest

from callsheet.breaker import Breakers, CircuitOpenError, Target
from callsheet.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    ContentRejectedError,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    MalformedOutputError,
    ModelNotFoundError,
    OverloadedError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitedError,
    Sent,
)
from callsheet.policies import BreakerPolicy
from callsheet.rate_gate import Porter
from callsheet.stores.breakers import AT_ONCE, Domain
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner

POLICY = BreakerPolicy(failures=3, cooldown=30.0, longest_cooldown=600.0)
MODEL = Domain("model", "acme:one")
HOST = Domain("host", "api.acme.example")
ACCOUNT = Domain("account", "acme@local f00d")


class Ward:
    """The breakers of processes over one ledger, at a moment that tests move."""

    def __init__(self, ledger, timeline):
        self.ledger, self.time = ledger, timeline
        self.account = "f00d"
        self.asked = 0

    def process(self, owner=None):
        """One process's breakers, which know what the ledger knew then."""

        async def look():
            breakers.learn(await self.ledger.breakers.read())

        porter = Porter(self.time.now, self.time.sleep, look, lambda _write: None)
        breakers = Breakers(self.ledger.breakers, owner or self.ledger.owner, porter, lambda text: text)
        breakers.look = look
        return breakers

    def target(self, model="one", host="api.acme.example"):
        """Where a call goes."""

        async def account():
            self.asked += 1
            return self.account

        return Target("acme", "local", f"acme:{model}", host, account)

    async def call(self, breakers, error=None, **target):
        """One call that ends so."""
        trial = await breakers.enter(self.target(**target), POLICY)
        await breakers.ended(trial, error)
        return trial

    async def rows(self):
        """What the ledger says, by domain."""
        return {row.domain: row for row in await self.ledger.breakers.read()}


@pytest.fixture
async def ward(tmp_path, timeline):
    """A fresh one."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(None, owner) as ledger:
        yield Ward(ledger, timeline)
    owner.close()


async def fail(ward, breakers, times, error=None, **target):
    """As many failures in a row."""
    for _ in range(times):
        await ward.call(breakers, error or OverloadedError("busy", sent=Sent.REJECTED), **target)


async def test_while_nothing_fails_nothing_is_asked_or_written(ward):
    """A healthy call costs no ledger operation and no look at its key."""
    breakers, before = ward.process(), ward.ledger._writer.commits
    for _ in range(10):
        await ward.call(breakers)
    assert (ward.ledger._writer.commits, ward.asked) == (before, 0)


async def test_failures_in_a_row_open_it(ward):
    """Two are not three; a success in between begins the count anew."""
    breakers = ward.process()
    await fail(ward, breakers, 2)
    await ward.call(breakers)
    await fail(ward, breakers, 2)
    await ward.call(breakers, OverloadedError("busy"))
    with pytest.raises(CircuitOpenError) as caught:
        await ward.call(breakers)
    error = caught.value
    assert (error.kind, error.sent, error.retry_after, error.provider) == ("overloaded", Sent.NOT_SENT, 30.0, "acme")
    assert "acme:one failed 3 times in a row" in str(error)
    assert "callsheet health --reset acme" in str(error)
    assert str(copy(error)) == str(error)


async def test_failures_of_long_ago_are_not_in_a_row(ward):
    """What failed twice yesterday is not opened by one failure today."""
    breakers = ward.process()
    await fail(ward, breakers, 2)
    ward.time.moment += POLICY.longest_cooldown + 1
    await fail(ward, breakers, 1)
    assert (await ward.rows())[MODEL].failures == 1


@pytest.mark.parametrize(
    ("error", "domain", "at_once"),
    [
        (AuthenticationError("401"), ACCOUNT, True),
        (QuotaExceededError("402"), ACCOUNT, True),
        (AccessDeniedError("403"), MODEL, True),
        (ModelNotFoundError("404"), MODEL, True),
        (OverloadedError("503"), MODEL, False),
        (OverloadedError("500", sent=Sent.UNKNOWN, status_code=500), MODEL, False),
        (ProviderTimeoutError("silent", sent=Sent.UNKNOWN), MODEL, False),
        (ProviderTimeoutError("no connection", sent=Sent.NOT_SENT), HOST, False),
        (ConnectionFailedError("refused", sent=Sent.NOT_SENT), HOST, False),
        (ConnectionFailedError("cut", sent=Sent.UNKNOWN), HOST, False),
    ],
    ids=str,
)
async def test_each_kind_tells_against_one_domain(ward, error, domain, at_once):
    """An account, a host or a model; what does not mend itself opens at once, and for longer."""
    breakers = ward.process()
    await ward.call(breakers, error)
    rows = await ward.rows()
    assert list(rows) == [domain]
    assert rows[domain].until == (ward.time.now() + 30 * AT_ONCE if at_once else 0)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("400"),
        ContentRejectedError("no"),
        RateLimitedError("429"),
        JobFailedError("its own fault"),
        MalformedOutputError("cut"),
        JobCancelledError("by us"),
        ConfigError("no key"),
        asyncio.CancelledError(),
        ValueError("a plugin's"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_lies_in_the_request_opens_nothing(ward, error):
    """Neither a wrong input nor a refused prompt, a refusal for now, a cancellation or a mistake of a plugin's."""
    breakers = ward.process()
    await fail(ward, breakers, 10, error)
    assert await ward.rows() == {}


async def test_a_domain_keeps_out_its_own_calls_only(ward):
    """Another model, another host's and another key's calls go on."""
    breakers = ward.process()
    await ward.call(breakers, ModelNotFoundError("404"))
    await ward.call(breakers, model="two")
    await ward.call(breakers, AuthenticationError("401"), model="two")
    with pytest.raises(CircuitOpenError, match="the account acme@local f00d"):
        await ward.call(breakers, model="two")
    ward.account = "beef"
    await ward.call(breakers, model="two")
    await fail(ward, breakers, 3, ConnectionFailedError("refused", sent=Sent.NOT_SENT), model="three")
    with pytest.raises(CircuitOpenError, match=r"the host api\.acme\.example"):
        await ward.call(breakers, model="two")
    await ward.call(breakers, model="two", host="eu.acme.example")


async def test_a_host_that_answers_is_there(ward):
    """A refused request counts against no host: its failures are not in a row any more."""
    breakers, cut = ward.process(), ConnectionFailedError("cut", sent=Sent.UNKNOWN)
    await fail(ward, breakers, 2, cut)
    await ward.call(breakers, InvalidRequestError("400"))
    await fail(ward, breakers, 2, cut)
    await ward.call(breakers)
    assert HOST not in await ward.rows()


async def test_exactly_one_call_tries_it(ward):
    """Of twenty that come when the time is over, one is sent; it closes the breaker for all."""
    breakers = ward.process()
    await fail(ward, breakers, 3)
    ward.time.moment += 30
    entered = await asyncio.gather(*(breakers.enter(ward.target(), POLICY) for _ in range(20)), return_exceptions=True)
    [probe] = [each for each in entered if not isinstance(each, BaseException)]
    assert all(isinstance(each, CircuitOpenError) for each in entered if each is not probe)
    assert "another call is trying it right now" in str(next(e for e in entered if e is not probe))
    await breakers.ended(probe, None)
    await ward.call(breakers)
    assert await ward.rows() == {}


async def test_a_probe_that_fails_doubles_the_wait_up_to_the_longest(ward):
    """30, 60, 120 … 600 seconds, one call each."""
    breakers, waits = ward.process(), []
    await fail(ward, breakers, 3)
    for _ in range(6):
        row = (await ward.rows())[MODEL]
        waits.append(row.until - row.failed)
        ward.time.moment = row.until
        await ward.call(breakers, OverloadedError("still busy"))
        with pytest.raises(CircuitOpenError):
            await ward.call(breakers)
    assert waits == [30, 60, 120, 240, 480, 600]


async def test_calls_that_left_before_it_opened_say_nothing_new(ward):
    """Twenty under way fail one after the other: open once, for one cooldown."""
    breakers = ward.process()
    trials = [await breakers.enter(ward.target(), POLICY) for _ in range(20)]
    for trial in trials[:-1]:
        await breakers.ended(trial, OverloadedError("busy"))
        ward.time.moment += 1
    row = (await ward.rows())[MODEL]
    assert (row.failures, row.cooldown) == (3, 30)
    await breakers.ended(trials[-1], None)  # a late success does not close it either: the probe will
    assert MODEL in await ward.rows()


@pytest.mark.parametrize("error", [InvalidRequestError("400"), RateLimitedError("429"), asyncio.CancelledError()])
async def test_a_probe_that_says_nothing_leaves_it_to_the_next(ward, error):
    """It neither closes nor opens: the next call tries."""
    breakers = ward.process()
    await fail(ward, breakers, 3)
    ward.time.moment += 30
    await ward.call(breakers, error)
    assert (await ward.rows())[MODEL].probe == ""
    probe = await breakers.enter(ward.target(), POLICY)
    assert probe.tried == [MODEL]


async def test_a_call_cancelled_while_it_asks_to_try_keeps_nobody_out(tmp_path, ward):
    """The write is carried out all the same, and taken back."""
    owner = Owner.start(tmp_path / "file")
    async with await Ledger.open(tmp_path / "file" / "ledger.sqlite3", owner) as ledger:
        ward.ledger = ledger
        breakers = ward.process()
        await fail(ward, breakers, 3)
        ward.time.moment += 30
        asking = asyncio.create_task(breakers.enter(ward.target(), POLICY))
        await asyncio.sleep(0)
        asking.cancel()
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], asyncio.CancelledError)
        assert (await breakers.enter(ward.target(), POLICY)).tried == [MODEL]
    owner.close()


async def test_processes_share_what_they_know(tmp_path, ward):
    """One opens it, another one is kept out; one alone may try; and a dead one's probe is free again."""
    theirs = Owner.start(tmp_path)
    first, second = ward.process(), ward.process(theirs)
    await fail(ward, first, 2)
    await fail(ward, second, 1)  # the count goes on where the other process was
    await first.look()
    for each in (first, second):
        with pytest.raises(CircuitOpenError):
            await ward.call(each)
    ward.time.moment += 30
    assert (await second.enter(ward.target(), POLICY)).tried == [MODEL]
    with pytest.raises(CircuitOpenError, match="trying it right now"):
        await ward.call(first)
    theirs.close()
    probe = await first.enter(ward.target(), POLICY)
    assert probe.tried == [MODEL]
    await first.ended(probe, None)
    assert await ward.rows() == {}


async def test_a_job_that_is_found_after_all_closes_it(ward):
    """Answers were lost, requests were not: host and model are there, for every process."""
    breakers = ward.process()
    await fail(ward, breakers, 1)
    await fail(ward, breakers, 3, ConnectionFailedError("cut", sent=Sent.UNKNOWN))
    assert len(await ward.rows()) == 2
    breakers.works(ward.target())
    assert await ward.rows() == {}
    await ward.call(breakers)


async def test_a_breaker_that_was_reset_lets_everybody_through(ward):
    """A process that still holds it open finds out when its time is over, or when it looks."""
    breakers = ward.process()
    await fail(ward, breakers, 3)
    assert await ward.ledger.breakers.reset("other") == []
    assert await ward.ledger.breakers.reset("acme") == [MODEL]
    with pytest.raises(CircuitOpenError):
        await ward.call(breakers)
    ward.time.moment += 30
    trials = [await breakers.enter(ward.target(), POLICY) for _ in range(3)]
    assert [trial.tried for trial in trials] == [(), (), ()]


async def test_a_dead_primary_costs_one_probe_a_cooldown(ward):
    """Thirty calls in ninety seconds, each from a new process: three to open it, one to try it."""
    sent = 0
    for _ in range(30):
        breakers = ward.process()
        await breakers.look()
        try:
            trial = await breakers.enter(ward.target(), POLICY)
        except CircuitOpenError:
            pass
        else:
            sent += 1
            await breakers.ended(trial, ConnectionFailedError("refused", sent=Sent.NOT_SENT))
        ward.time.moment += 3
    assert sent == 3 + 1
