"""Opening a call: as far as nothing is in the way, in one write; and what is taken back when nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.storage import CallState
from callsheet.stores.gates import Place
from callsheet.stores.ledger import Ledger, NewCall
from callsheet.stores.openings import Opening
from callsheet.stores.owners import Owner
from callsheet.stores.spending import Bounds, Reservation

STARTED = ("job.started", "call", {})
SENDING = ("job.sending", "call", {})


def opening(key="k", nanos=None, seconds=None, sending=SENDING) -> Opening:
    """To be told apart by their keys; `nanos` of 100 are asked for, `seconds` of a limit."""
    money = None if nanos is None else (Reservation(key, "", nanos), Bounds(None, 100, 0.0))
    place = None if seconds is None else Place("acme", seconds, 0.0)
    return Opening(NewCall(key, "acme:one", "text.generate", "call", "run", "d", {}), STARTED, money, place, sending)


async def reserved(ledger) -> dict[str, int]:
    """What is set aside, by key."""
    query = "SELECT key, reserved FROM calls WHERE reserved IS NOT NULL"
    return await ledger._read(lambda turn: dict(turn.db.execute(query)))


async def told(ledger) -> list[str]:
    """The types of the run's events so far."""
    return [event.type for event in await ledger.events("run")]


@pytest.fixture
async def rival(tmp_path):
    """A second owner with a connection of its own to the same file."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(tmp_path / "ledger.sqlite3", owner) as opened:
        yield opened
    owner.close()


async def test_all_the_way_is_one_write(ledger):
    """Claimed, its money set aside, its slot taken, and `sending`: nothing more is to be asked for."""
    before = ledger._writer.commits
    opened = await ledger.open_call(opening(nanos=40, seconds=0.5))
    assert (opened.claim.verdict, opened.reserved, opened.sending) == ("claimed", True, True)
    assert ledger._writer.commits == before + 1
    record = await ledger.get("k")
    assert (record.state, record.epoch) == (CallState.SENDING, 1)
    assert await reserved(ledger) == {"k": 40}
    (row,) = await ledger.gates.read()
    assert row.free == pytest.approx(record.created + 0.5)
    assert await told(ledger) == ["job.started", "job.sending"]


async def test_without_money_it_is_claimed_and_no_more(ledger):
    """No slot is taken for a call that may not be made."""
    await ledger.open_call(opening("first", nanos=70))
    opened = await ledger.open_call(opening(nanos=40, seconds=0.5))
    assert (opened.claim.verdict, opened.reserved, opened.sending) == ("claimed", False, False)
    assert (await ledger.get("k")).state is CallState.CLAIMED
    assert await reserved(ledger) == {"first": 70}
    assert await ledger.gates.read() == []


async def test_a_slot_that_begins_later_is_left_to_whoever_stands_in_line(ledger):
    """Else a process could reserve the whole next minute."""
    await ledger.open_call(opening("first", seconds=60.0))
    (before,) = await ledger.gates.read()
    opened = await ledger.open_call(opening(nanos=40, seconds=60.0))
    assert (opened.claim.verdict, opened.reserved, opened.sending) == ("claimed", True, False)
    assert await ledger.gates.read() == [before]
    assert (await ledger.get("k")).state is CallState.CLAIMED


async def test_what_cannot_leave_yet_has_its_money_set_aside(ledger):
    """The wait at the gate comes after it."""
    opened = await ledger.open_call(opening(nanos=40, sending=None))
    assert (opened.reserved, opened.sending) == (True, False)
    assert await reserved(ledger) == {"k": 40}
    assert await told(ledger) == ["job.started"]


@pytest.mark.parametrize(("state", "verdict"), [(CallState.SENDING, "held"), (CallState.UNKNOWN, "unknown")])
async def test_what_is_not_ours_costs_nothing(ledger, rival, state, verdict):
    """Neither money nor a slot, and nothing is told."""
    theirs = await rival.open_call(opening())
    if state is not CallState.SENDING:
        await rival.advance("k", theirs.claim.record.epoch, state)
    opened = await ledger.open_call(opening(nanos=40, seconds=0.5))
    assert (opened.claim.verdict, opened.reserved, opened.sending) == (verdict, False, False)
    assert await reserved(ledger) == {}
    assert await ledger.gates.read() == []
    assert await told(ledger) == ["job.started", "job.sending"]


async def test_a_failed_call_is_opened_anew(ledger):
    """Under the next epoch; `previous` says how it had ended."""
    first = await ledger.open_call(opening())
    await ledger.advance("k", first.claim.record.epoch, CallState.FAILED)
    again = await ledger.open_call(opening())
    assert (again.sending, again.claim.record.epoch) == (True, 2)
    assert again.claim.previous.state is CallState.FAILED
    assert (await ledger.get("k")).state is CallState.SENDING


async def test_whoever_is_cancelled_meanwhile_leaves_nothing_behind(ledger):
    """No call, no sum set aside and no slot: nothing was sent."""
    await ledger.open_call(opening("first", seconds=0.0))
    (before,) = await ledger.gates.read()
    task = asyncio.create_task(ledger.open_call(opening(nanos=40, seconds=60.0)))
    await asyncio.sleep(0)  # it is queued
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (after,) = await ledger.gates.read()
    assert await ledger.get("k") is None
    assert await reserved(ledger) == {}
    assert after.free - before.free < 1.0


async def test_what_another_had_is_not_taken_back(ledger, rival):
    """A cancelled question about somebody else's call harms neither that call nor its money."""
    await rival.open_call(opening(nanos=40, seconds=0.5))
    (before,) = await ledger.gates.read()
    task = asyncio.create_task(ledger.open_call(opening(nanos=40, seconds=0.5)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ledger.get("k")).state is CallState.SENDING
    assert await reserved(ledger) == {"k": 40}
    assert await ledger.gates.read() == [before]
