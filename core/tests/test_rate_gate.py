"""Rate gates: how fast, how many at once, in which order, and what a refusal does to everybody."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import RateLimitedError, Sent
from callsheet.policies import LimitPolicy
from callsheet.rate_gate import FIRST_HOLD, LONGEST_HOLD, MARGIN, MEMORY, Porter, RateGate
from callsheet.stores.gates import GateRow
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner

KEY = "acme"


class Hall:
    """Gates over one ledger in memory, as several processes have them; `log` says who entered, when."""

    def __init__(self, ledger, timeline):
        self.ledger, self.time = ledger, timeline
        self.log = []
        self.asked = 0
        self.unwritten = []

    def gate(self, *, longest_wait=60.0, look=None, **limit):
        """One process's gate."""

        async def nothing_new():
            self.asked += 1

        porter = Porter(self.time.now, self.time.sleep, look or nothing_new, self.unwritten.append)
        return RateGate(KEY, LimitPolicy(**limit), longest_wait, self.ledger.gates, porter)

    async def call(self, gate, name, seconds=0.0, tokens=0.0):
        """One call that takes so long."""
        await gate.enter(tokens)
        self.log.append((name, round(self.time.now() - self.began, 3)))
        if seconds:
            await self.time.sleep(seconds)
        gate.went_well()
        gate.leave()

    def start(self, *calls):
        """Calls that come in this order."""
        self.began = self.time.now()
        return [asyncio.create_task(call) for call in calls]

    @property
    def order(self):
        """Who came when."""
        return [name for name, _ in self.log]

    @property
    def times(self):
        """Seconds since the start."""
        return [at for _, at in self.log]


@pytest.fixture
async def hall(tmp_path, timeline):
    """A fresh one."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(None, owner) as ledger:
        yield Hall(ledger, timeline)
    owner.close()


@pytest.fixture
async def archive(tmp_path, timeline):
    """One whose ledger is a file: an answer takes a while, and others come meanwhile."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(tmp_path / "ledger.sqlite3", owner) as ledger:
        yield Hall(ledger, timeline)
    owner.close()


def most_in_a_second(times):
    """The fullest second that begins or ends with a call."""
    return max(sum(begin <= at <= begin + 1 for at in times) for begin in times)


async def test_without_a_limit_nothing_is_asked_and_nothing_written(hall):
    """A call through an open gate costs a few lines of Python."""
    gate, before = hall.gate(), hall.ledger._writer.commits
    hall.start()
    await asyncio.gather(*(hall.call(gate, n) for n in range(20)))
    assert len(hall.log) == 20
    assert (hall.ledger._writer.commits - before, hall.asked) == (0, 0)


async def test_a_limit_spaces_the_calls(hall):
    """Thirty calls at ten a second take three seconds, and come in their order."""
    gate = hall.gate(requests=10.0)
    tasks = hall.start(*(hall.call(gate, n) for n in range(30)))
    await hall.time.go_on()
    await asyncio.gather(*tasks)
    assert hall.order == list(range(30))
    assert hall.times[-1] == pytest.approx(2.9 * MARGIN, abs=0.01)
    assert most_in_a_second(hall.times) <= 11


async def test_two_processes_share_a_limit_and_take_turns(hall):
    """Whoever has a hundred calls waiting keeps nobody who has two from making them."""
    many, few = hall.gate(requests=10.0), hall.gate(requests=10.0)
    tasks = hall.start(*(hall.call(many, f"many-{n}") for n in range(20)))
    await hall.time.go_on(hall.time.now() + 0.5)
    tasks += [asyncio.create_task(hall.call(few, f"few-{n}")) for n in range(5)]
    await hall.time.go_on()
    await asyncio.gather(*tasks)
    alone = [index for index, name in enumerate(hall.order) if name.startswith("few")]
    assert [b - a for a, b in pairwise(alone)] == [2, 2, 2, 2]
    assert most_in_a_second(hall.times) <= 11


async def test_a_wide_limit_costs_a_write_for_many(archive):
    """Who stands in line has a slot reserved with the first one's, as long as there is room; they come in order."""
    gate, before = archive.gate(requests=10_000.0, tokens=10_000.0, concurrency=20), archive.ledger._writer.commits
    tasks = archive.start(*(archive.call(gate, n, tokens=n) for n in range(16)))
    while not all(task.done() for task in tasks):
        await archive.time.go_on()
    assert archive.order == list(range(16))
    assert archive.ledger._writer.commits - before <= 5
    (row,) = await archive.ledger.gates.read()
    assert row.tokens_free - archive.time.now() <= sum(range(16)) * MARGIN / 10_000.0


async def test_slots_that_nobody_comes_for_are_given_back(archive):
    """A whole party is cancelled while its slots are reserved: the next call leaves as if it had not been there."""
    gate = archive.gate(requests=1000.0)
    tasks = archive.start(*(archive.call(gate, n) for n in range(5)))
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert archive.log == []
    for _ in range(2):  # the reservation ends, and what gives it back is written after it
        (row,) = await archive.ledger.gates.read()
    assert row.free == row.tokens_free == archive.time.now()


async def test_tokens_are_a_limit_of_their_own(hall):
    """A call waits until the tokens of the one before are paid off; the smaller of two limits counts."""
    gate = hall.gate(requests=100.0, tokens=100.0)
    tasks = hall.start(*(hall.call(gate, n, tokens=200.0) for n in range(3)))
    await hall.time.go_on()
    await asyncio.gather(*tasks)
    assert hall.times == [pytest.approx(n * 2 * MARGIN, abs=0.01) for n in range(3)]


async def test_tokens_are_corrected_when_they_are_counted(hall):
    """A call that took three times as many keeps the next one waiting for longer."""
    gate = hall.gate(tokens=100.0)
    hall.start()
    await hall.call(gate, "first", tokens=100.0)
    gate.correct(200.0)
    [second] = [asyncio.create_task(hall.call(gate, "second", tokens=100.0))]
    await hall.time.go_on()
    await second
    assert hall.times == [0.0, pytest.approx(3 * MARGIN, abs=0.01)]


async def test_the_configured_concurrency_is_kept(hall):
    """Never more than two at once, first come, first served."""
    gate = hall.gate(concurrency=2)
    tasks = hall.start(*(hall.call(gate, n, seconds=1.0) for n in range(6)))
    await hall.time.go_on()
    await asyncio.gather(*tasks)
    assert hall.log == [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)]


async def test_a_refusal_moves_the_gate_for_every_waiter(hall):
    """Who waits, and who comes, waits until the moment that the provider named."""
    gate = hall.gate(requests=10.0)
    tasks = hall.start(*(hall.call(gate, n) for n in range(3)))
    await hall.time.settle()
    gate.under_way += 1
    gate.refused(5.0, entered=hall.time.now())
    gate.leave()
    tasks.append(asyncio.create_task(hall.call(gate, 3)))
    await hall.time.go_on()
    await asyncio.gather(*tasks)
    assert hall.order == [0, 1, 2, 3]
    assert hall.times[0] == 0.0
    assert min(hall.times[1:]) >= 5.0


async def test_a_refusal_reaches_another_process(hall):
    """By the ledger's row: it waits as long, and is half as wide."""
    mine = hall.gate()
    rows = []

    async def look():
        rows[:] = await hall.ledger.gates.read()
        for row in rows:
            other.learn(row)

    other = hall.gate(look=look)
    hall.start()
    entered = [await mine.enter() for _ in range(8)]
    mine.leave()
    mine.refused(4.0, entered[0])
    await look()
    assert other.width == mine.width == 4.0
    task = asyncio.create_task(hall.call(other, "other"))
    await hall.time.go_on()
    await task
    assert hall.log == [("other", 4.0)]


async def test_old_experience_of_others_narrows_nothing(hall):
    """What another process learned an hour ago says little of now."""
    gate = hall.gate()
    gate.learn(GateRow(KEY, held=hall.time.now() - MEMORY - 1, width=1.0))
    assert gate.width is None


async def test_one_round_trip_narrows_once(hall):
    """Ten calls of one crowd are refused: half as many at once, not a thousandth; and the wait is not doubled ten times."""
    gate = hall.gate()
    entered = [await gate.enter() for _ in range(10)]
    hall.time.moment += 0.2
    for each in entered:
        gate.leave()
        gate.refused(None, each)
    assert gate.width == 5.0
    assert gate.blocked == hall.time.now() + FIRST_HOLD


async def test_refusals_without_a_time_wait_for_longer_each_time(hall):
    """One, two, four seconds, and again one after a success."""
    gate, holds = hall.gate(), []
    for _ in range(3):
        hall.time.moment = max(hall.time.moment, gate.blocked) + 0.1
        entered = await gate.enter()
        gate.leave()
        hall.time.moment += 0.1
        gate.refused(None, entered)
        holds.append(round(gate.blocked - hall.time.now(), 3))
    assert holds == [1.0, 2.0, 4.0]
    gate.went_well()
    hall.time.moment += 10
    gate.refused(None, hall.time.now())
    assert gate.blocked == hall.time.now() + FIRST_HOLD


async def test_no_number_of_refusals_is_too_many(hall):
    """A provider that refuses for a day is left alone for the longest time after each of them, with a time of its own or without."""
    gate = hall.gate()
    for _ in range(1100):
        hall.time.moment = gate.blocked + 1
        gate.refused(7.0, hall.time.now())
    assert gate.blocked == hall.time.now() + 7.0
    hall.time.moment = gate.blocked + 1
    gate.refused(None, hall.time.now())
    assert gate.blocked == hall.time.now() + LONGEST_HOLD


async def test_success_widens_by_one_a_round_trip_up_to_what_is_configured(hall):
    """Additive increase: as many answers as are under way make place for one more."""
    gate = hall.gate(concurrency=4)
    entered = await gate.enter()
    gate.leave()
    gate.refused(1.0, entered)
    assert gate.width == 2.0
    gate.went_well()
    gate.went_well()
    assert 2.8 < gate.width < 3.0
    for _ in range(20):
        gate.went_well()
    assert gate.width == 4


async def test_a_refusal_that_lasts_too_long_is_not_waited_for(hall):
    """Whoever comes is told at once, with the time and the remedy; nothing was sent."""
    gate = hall.gate(longest_wait=60.0)
    gate.learn(GateRow(KEY, blocked=hall.time.now() + 3600))
    with pytest.raises(RateLimitedError, match="callsheet health --reset acme") as caught:
        await gate.enter()
    assert (caught.value.sent, caught.value.retry_after, gate.under_way) == (Sent.NOT_SENT, 3600.0, 0)


async def test_a_cancelled_waiter_loses_no_slot(hall):
    """The next in line takes it; with nobody in line it goes back to the ledger."""
    gate = hall.gate(requests=1.0)
    tasks = hall.start(*(hall.call(gate, n) for n in range(3)))
    await hall.time.settle()
    tasks[1].cancel()  # it has the slot of second 1
    await hall.time.go_on()
    assert [at for _, at in hall.log] == [0.0, pytest.approx(MARGIN)]
    alone = asyncio.create_task(hall.call(gate, "alone"))
    await hall.time.settle()
    before = await hall.ledger.gates.read()
    alone.cancel()
    await hall.time.settle()
    [row] = await hall.ledger.gates.read()
    assert row.free == pytest.approx(before[0].free - MARGIN)


async def test_a_cancelled_waiter_for_room_leaves_the_line(hall):
    """The ones behind it are served."""
    gate = hall.gate(concurrency=1)
    tasks = hall.start(*(hall.call(gate, n, seconds=1.0) for n in range(4)))
    await hall.time.settle()
    tasks[1].cancel()
    tasks[2].cancel()
    await hall.time.go_on()
    assert hall.log == [(0, 0.0), (3, 1.0)]
    assert gate.under_way == 0


async def test_a_clock_that_was_set_back_blocks_nobody(hall):
    """What was written under the later time counts no more."""
    gate = hall.gate(requests=1.0)
    await gate.enter()
    hall.time.moment -= 3600
    other = hall.gate(requests=1.0)
    hall.start()
    await hall.call(other, "early")
    assert hall.log == [("early", 0.0)]


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([1.0, 3.0, 10.0, 50.0]),
    arrivals=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 3)), min_size=1, max_size=25),
)
async def test_no_second_holds_more_than_the_limit_and_one(tmp_path_factory, rate, arrivals):
    """However calls come, alone or together."""
    owner = Owner.start(tmp_path_factory.mktemp("hall"))
    async with await Ledger.open(None, owner) as ledger:
        slots = []
        for at, party in sorted(arrivals):
            reserved = await ledger.gates.reserve(KEY, MARGIN / rate, [0.0] * party, 1000.0 + at)
            slots += [slot.start for slot in reserved]
    owner.close()
    assert slots == sorted(slots)
    assert slots[0] == 1000.0 + min(arrivals)[0]
    assert most_in_a_second(slots) <= rate + 1
