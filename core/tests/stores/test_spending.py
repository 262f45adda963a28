"""What was spent and what is set aside, in one ledger."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.artifacts import TextArtifact
from callsheet.jobs import Attempt, JobResult
from callsheet.models import ModelRef
from callsheet.money import FREE, Cost
from callsheet.storage import CallState, Failure
from callsheet.stores import schema
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.stores.records import encode_cost
from callsheet.stores.spending import Bounds, Reservation, Room, billionths

REF = ModelRef("acme", "clip")
DOLLAR = 10**9


async def claimed(ledger, key, run="r", **request) -> int:
    """A call of ours, and its epoch."""
    about = {"ref": str(REF), "operation": "video.generate", "job": f"{key}[0]", "run": run, "request_digest": "d"}
    return (await ledger.claim(key, request=request, **about)).record.epoch


async def reserve(ledger, key, usd, *, run="r", most=None, day=None, since=0.0) -> Room:
    """Ask for some dollars."""
    return await ledger.spending.reserve(Reservation(key, run, usd * DOLLAR), Bounds(most, day, since))


def attempt(cost, outcome="succeeded", sent="", ended=100.0) -> Attempt:
    """How an attempt ended."""
    return Attempt(REF, 1, 90.0, ended, outcome, sent=sent, cost=cost)


async def paid(ledger, key, cost, run="r", ended=100.0) -> None:
    """A call that gave a result."""
    epoch = await claimed(ledger, key, run)
    await ledger.advance(key, epoch, CallState.SENDING)
    result = JobResult((TextArtifact("x"),))
    await ledger.advance(key, epoch, CallState.SUCCEEDED, result=result, attempt=attempt(cost, ended=ended))


async def test_what_is_spent_and_set_aside_fills_a_bound(ledger):
    """To the last cent and not beyond; who has asked before asks again for the same sum."""
    await paid(ledger, "old", Cost.exactly(2))
    for key in ("a", "b", "c"):
        await claimed(ledger, key)
    assert await reserve(ledger, "a", 3, most=10 * DOLLAR) == Room()
    assert await reserve(ledger, "a", 3, most=5 * DOLLAR) == Room()
    assert await reserve(ledger, "b", 5, most=10 * DOLLAR) == Room()
    assert await reserve(ledger, "c", 1, most=10 * DOLLAR) == Room("run", 2 * DOLLAR, 8 * DOLLAR, moving=True)
    assert await reserve(ledger, "c", 9, most=10 * DOLLAR) == Room("run", 2 * DOLLAR, 8 * DOLLAR, moving=False)


@given(
    ends=st.lists(st.tuples(st.floats(0, 10_000), st.integers(0, 10**12)), max_size=12),
    since=st.one_of(st.floats(0, 10_000), st.sampled_from([0.0, 5e-324, 900.0, 1800.0, 2700.5])),
)
@settings(max_examples=60, deadline=None)
async def test_a_day_may_begin_at_any_moment(ends, since):
    """The kept sums of quarters of an hour, with what lies before the first whole one, are the sum of all attempts."""
    with tempfile.TemporaryDirectory() as folder, closing(Owner.start(Path(folder))) as owner:
        await _sums_hold(owner, ends, since)


async def _sums_hold(owner, ends, since):
    async with await Ledger.open(None, owner) as ledger:
        for number, (ended, nanos) in enumerate(ends):
            await paid(ledger, f"k{number}", Cost.exactly(Decimal(nanos).scaleb(-9)), run=f"r{number % 2}", ended=ended)
        await claimed(ledger, "new")
        spent = sum(nanos for ended, nanos in ends if ended >= since)
        assert (await reserve(ledger, "new", 1, day=0, since=since)).spent == spent
        of_run = sum(nanos for number, (_, nanos) in enumerate(ends) if number % 2)
        assert (await reserve(ledger, "new", 1, run="r1", most=0)).spent == of_run


def test_a_sum_is_counted_whole_whatever_the_application_rounds_to():
    """Upwards, to a billionth."""
    with localcontext(Context(prec=4)):
        assert billionths(Decimal("12.3456789")) == 12_345_678_900
        assert billionths(Decimal("0.0000000001")) == 1


@pytest.mark.parametrize("zone", ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "NST3:30NDT,M3.2.0,M11.1.0", "XXX-13"])
async def test_a_day_begins_at_midnight_where_the_project_is(ledger, monkeypatch, zone):
    """Also when clocks are changed, when it is asked late, or again after the clock was set back."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for begin in ("2026-03-07", "2026-03-28", "2026-10-24", "2026-12-30", "2026-03-28"):
            for hours in range(0, 24 * 5, 5):
                now = datetime.fromisoformat(begin).replace(tzinfo=UTC).timestamp() + hours * 3600 + 1
                midnight = ledger.spending.day_began(now)
                assert midnight <= now
                assert time.localtime(midnight)[:6] == (*time.localtime(now)[:3], 0, 0, 0), now
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_run_and_a_day_are_counted_apart(ledger):
    """Other runs do not count for a run; what ended before a day began does not count for it."""
    await paid(ledger, "yesterday", Cost.exactly(4), run="r", ended=50.0)
    await paid(ledger, "today", Cost.exactly(1), run="other", ended=150.0)
    await claimed(ledger, "a")
    assert (await reserve(ledger, "a", 1, most=4 * DOLLAR)).spent == 4 * DOLLAR
    assert await reserve(ledger, "a", 1, day=DOLLAR, since=100.0) == Room("day", DOLLAR, 0)
    assert await reserve(ledger, "a", 1, most=5 * DOLLAR, day=2 * DOLLAR, since=100.0) == Room()


async def test_an_attempt_takes_the_place_of_its_reservation(ledger):
    """By its cost where that is known, else by what was set aside; a call that surely cost nothing gives all back."""
    room = {"most": 100 * DOLLAR}
    for key, cost, spent in (("a", Cost.exactly(1), 1), ("b", Cost.unknown("?"), 6), ("c", FREE, 6)):
        epoch = await claimed(ledger, key)
        await reserve(ledger, key, 5, **room)
        failure = Failure("job_failed", "finished", "no")
        await ledger.advance(key, epoch, CallState.FAILED, failure=failure, attempt=attempt(cost, "failed"))
        await claimed(ledger, "last")
        told = await reserve(ledger, "last", 1, most=0)
        assert (told.spent, told.reserved) == (spent * DOLLAR, 0), key


async def test_what_dead_processes_set_aside(tmp_path):
    """Of a call that was not sent it is free again; of one that was, it stays, and nobody waits for it."""
    path, mine = tmp_path / "ledger.sqlite3", Owner.start(tmp_path)
    dead = Owner.start(tmp_path)
    async with await Ledger.open(path, dead) as ledger:
        for key, sent in (("claimed", False), ("sent", True)):
            epoch = await claimed(ledger, key)
            await reserve(ledger, key, 5, most=100 * DOLLAR)
            if sent:
                await ledger.advance(key, epoch, CallState.SENDING)
    async with await Ledger.open(path, mine) as ledger:
        await claimed(ledger, "next")
        assert await reserve(ledger, "next", 1, most=10 * DOLLAR) == Room("run", 0, 10 * DOLLAR, moving=True)
        dead.close()
        assert await reserve(ledger, "next", 6, most=10 * DOLLAR) == Room("run", 0, 5 * DOLLAR, moving=False)
        assert await reserve(ledger, "next", 5, most=10 * DOLLAR) == Room()
    mine.close()


async def test_a_call_that_was_given_back_sets_nothing_aside(ledger):
    """Released, or let go before it was sent."""
    for key in ("a", "b"):
        await claimed(ledger, key)
        await reserve(ledger, key, 5, most=100 * DOLLAR)
    await ledger.release("a", 1)
    await ledger.let_go("b", 1)
    await claimed(ledger, "next")
    assert await reserve(ledger, "next", 1, most=0) == Room("run", 0, 0)


async def test_the_attempts_that_may_be_billed(ledger):
    """Not those that surely cost nothing, nor mocked ones; with run and job, from a moment on."""
    await paid(ledger, "a", Cost.exactly("0.30"), ended=10.0)
    await paid(ledger, "free", FREE, ended=20.0)
    for key, cost, sent, request in (
        ("refused", FREE, "rejected", {}),
        ("lost", Cost.unknown("nobody knows"), "unknown", {}),
        ("mocked", Cost.unknown("nobody knows"), "unknown", {"mode": "mock"}),
    ):
        epoch = await claimed(ledger, key, **request)
        failure = Failure("x", sent or "unknown", "no")
        ended = attempt(cost, "failed", sent, ended=30.0)
        await ledger.advance(key, epoch, CallState.FAILED, failure=failure, attempt=ended)
    told = await ledger.spending.attempts()
    assert [(each.job, each.run, each.ref) for each in told] == [
        (f"{key}[0]", "r", str(REF)) for key in ("a", "free", "lost")
    ]
    assert [each.cost for each in told] == [Cost.exactly("0.30"), FREE, Cost.unknown("nobody knows")]
    assert [each.job for each in await ledger.spending.attempts(25.0)] == ["lost[0]"]


@pytest.mark.parametrize(("usd", "nanos"), [("0.03", 30_000_000), ("1e-10", 1), ("0", 0), ("0.0000000125", 13)])
def test_billionths_are_rounded_up(usd, nanos):
    """A budget may count too much, never too little."""
    assert billionths(Decimal(usd)) == nanos


async def test_reservations_of_a_ledger_from_before_hold(tmp_path, owner):
    """They lie in their calls from then on; of events, those of runs stay, with their numbers."""
    path = tmp_path / "ledger.sqlite3"
    before = schema._STEPS[: schema._STEPS.index(schema._PAGES)]
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("".join(before))
        db.execute(f"PRAGMA user_version = {len(before)}")
        names = "key, state, ref, operation, job, run, owner, epoch, request_digest, request, created, updated"
        for key, state in (("a", "sending"), ("b", "claimed"), ("c", "failed")):
            call = (key, state, str(REF), "video.generate", "a[0]", "r", owner.id, 1, "d", "{}", 1.0, 2.0)
            db.execute(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * len(call))})", call)
        db.executemany("INSERT INTO reservations VALUES (?, 'r', 50.0, ?)", [("a", 3), ("c", 5), ("gone", 7)])
        for run in ("r", "", "r"):
            db.execute(
                "INSERT INTO events (run, at, type, job, body) VALUES (?, 1.0, 'job.started', 'a', '{}')", (run,)
            )
        for run, nanos in (("r", 11), ("", 13)):
            values = (run, nanos, str(REF))
            db.execute(
                "INSERT INTO attempts (key, epoch, run, nanos, ref, number, started, ended, outcome, kind, sent, message) "
                "VALUES ('x', 1, ?, ?, ?, 1, 1.0, 2.0, 'failed', '', '', '')",
                values,
            )
    async with await Ledger.open(path, owner) as ledger:
        assert [event.seq for event in await ledger.events("r")] == [1, 3]
        assert (await reserve(ledger, "b", 1, most=0)) == Room("run", 11, 3, moving=False)
        assert (await reserve(ledger, "b", 1, day=0)).spent == 24
        await ledger.append("r", [("job.started", "a", {})])
        assert [event.seq for event in await ledger.events("r")] == [1, 3, 4]
        await paid(ledger, "new", Cost.exactly(Decimal("1e-9")))
        assert (await reserve(ledger, "b", 1, most=0)).spent == 12


async def test_a_process_of_the_version_before_records_its_results(tmp_path, owner):
    """Somebody updates callsheet while a run is at work: what that run pays for is written with the statements it knows."""
    path = tmp_path / "ledger.sqlite3"
    before = schema._STEPS[: schema._STEPS.index(schema._PAGES)]
    names = "key, state, ref, operation, job, run, owner, epoch, request_digest, request, created, updated"
    call = ("a", "sending", str(REF), "video.generate", "a[0]", "r", owner.id, 1, "d", "{}", 1.0, 2.0)
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("".join(before))
        db.execute(f"PRAGMA user_version = {len(before)}")
        db.execute("INSERT INTO reservations VALUES ('a', 'r', 50.0, 3)")
        db.commit()
        async with await Ledger.open(path, owner) as ledger:
            db.execute(f"INSERT OR REPLACE INTO calls ({names}) VALUES ({', '.join('?' * len(call))})", call)
            db.execute("INSERT OR REPLACE INTO reservations VALUES ('a', 'r', 51.0, 3)")
            assert db.execute("DELETE FROM reservations WHERE key = 'a' RETURNING nanos").fetchall() == [(3,)]
            db.execute(
                "INSERT INTO attempts (key, epoch, ref, number, started, ended, outcome, kind, sent, message, cost, run, job, "
                "nanos) VALUES ('a', 1, ?, 1, 1.0, 2.0, 'succeeded', '', '', '', NULL, 'r', 'a[0]', 3)",
                (str(REF),),
            )
            db.execute(
                "UPDATE calls SET state = 'succeeded', updated = 3.0, result = '{}' WHERE key = 'a' AND epoch = 1"
            )
            db.execute("INSERT INTO events (run, at, type, job, body) VALUES ('r', 1.0, 'job.succeeded', 'a[0]', '{}')")
            db.commit()
            assert [event.type for event in await ledger.events("r")] == ["job.succeeded"]
            await claimed(ledger, "b")
            assert (await reserve(ledger, "b", 1, most=0)).spent == 3


async def test_a_ledger_from_before_keeps_its_costs(tmp_path, owner):
    """Attempts get the run and job of their call, and their costs count."""
    path = tmp_path / "ledger.sqlite3"
    before = schema._STEPS[: schema._STEPS.index(schema._MONEY)]
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("".join(before))
        db.execute(f"PRAGMA user_version = {len(before)}")
        names = "key, state, ref, operation, job, run, owner, epoch, request_digest, request, created, updated"
        call = ("a", "failed", str(REF), "video.generate", "a[0]", "r", "", 1, "d", "{}", 1.0, 2.0)
        db.execute(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * len(call))})", call)
        row = (1, str(REF), 1, 1.0, 2.0, "failed", "x", "finished", "no")
        for key, cost in (("a", encode_cost(Cost(Decimal("0.10"), Decimal("0.30")))), ("a", None), ("gone", None)):
            db.execute(
                "INSERT INTO attempts (key, cost, epoch, ref, number, started, ended, outcome, kind, sent, message) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, cost, *row),
            )
    async with await Ledger.open(path, owner) as ledger:
        told = await ledger.spending.attempts()
        await claimed(ledger, "next")
        room = await reserve(ledger, "next", 1, most=0)
    assert [(each.run, each.job) for each in told] == [("r", "a[0]"), ("r", "a[0]"), ("", "")]
    assert room.spent == 300_000_000
