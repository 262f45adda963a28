"""The ledger's file and thread: group commit, failures, foreign files, several processes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from callsheet.errors import CallsheetError, ConfigError
from callsheet.storage import CallState
from callsheet.stores import schema
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.stores.spending import Bounds, Reservation

EVENT = [("job.started", "a", {})]


def hold(ledger):
    """Keep the writer busy, from now on; returns what lets it go on."""
    begun, gate = threading.Event(), threading.Event()

    def wait(_turn):
        begun.set()
        gate.wait(60)

    ledger._writer.submit(wait, writes=False)
    assert begun.wait(60)
    return gate


async def queued(*coroutines):
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    await asyncio.sleep(0)
    return asyncio.gather(*tasks, return_exceptions=True)


async def test_what_waits_is_committed_together(ledger):
    """A hundred operations, one commit; reads among them see what was written before."""
    gate, before = hold(ledger), ledger._writer.commits
    waiting = await queued(*(ledger.append(f"r{i}", EVENT) for i in range(100)), ledger.events("r7"))
    gate.set()
    answers = await waiting
    assert ledger._writer.commits == before + 1
    assert answers[-1] == answers[7]
    assert [events[0].seq for events in answers[:-1]] == list(range(1, 101))


async def test_only_what_is_needed_before_a_request_leaves_waits_for_the_disk(ledger):
    """A claim, a slot, a reservation: the step that sends makes them durable. Together, one wait does for all."""

    def level(turn):
        return turn.db.execute("PRAGMA synchronous").fetchone()[0]

    normal, full = 1, 2  # https://www.sqlite.org/pragma.html#pragma_synchronous
    submit = ledger._writer.submit
    assert [await submit(level, durable=durable) for durable in (False, True, False)] == [normal, full, normal]
    gate = hold(ledger)
    futures = [submit(level, durable=durable) for durable in (False, True, False)]
    gate.set()
    assert await asyncio.gather(*futures) == [full] * 3
    about = {"ref": "acme:clip", "operation": "video.generate", "job": "a", "run": "r", "request_digest": "d"}
    claim = await ledger.claim("k", request={}, **about)
    assert ledger._writer._synchronous is False
    await ledger.advance("k", claim.record.epoch, CallState.SENDING)
    assert ledger._writer._synchronous is True


async def test_a_failing_operation_does_not_harm_its_neighbours(ledger):
    """Not even when it had written already: its own changes and events are undone, theirs stand."""
    heard = []
    ledger.subscribe(heard.append)

    def broken(turn):
        turn.db.execute("INSERT INTO meta VALUES ('half', 'done')")
        turn.events.append("never heard")
        raise ValueError("broken")

    def misspelt(turn):
        turn.db.execute("INSERT INTO nothing VALUES (1)")

    gate, before = hold(ledger), ledger._writer.commits
    writes = [ledger._write(broken), ledger.append("r", EVENT), ledger._write(misspelt), ledger._read(misspelt)]
    waiting = await queued(ledger.append("r", EVENT), *writes, ledger.advance("k", 1, CallState.SENDING))
    gate.set()
    answers = await waiting
    assert [type(answer) for answer in answers[1:2]] == [ValueError]
    assert all(isinstance(answers[i], CallsheetError) for i in (3, 4, 5))
    assert ledger._writer.commits == before + 1
    assert await ledger.events("r") == [*answers[0], *answers[2]] == heard
    assert await ledger._read(lambda turn: turn.db.execute("SELECT * FROM meta").fetchall()) == []


async def test_a_transaction_that_sqlite_gives_up_fails_as_a_whole(ledger):
    """Nobody is told that something was written which was not; the ledger goes on working."""
    gate = hold(ledger)
    waiting = await queued(ledger.append("r", EVENT), ledger._write(lambda turn: turn.db.execute("ROLLBACK")))
    gate.set()
    assert all(isinstance(answer, CallsheetError) for answer in await waiting)
    assert await ledger.events("r") == []
    assert await ledger.append("r", EVENT)


async def test_memory_keeps_a_ledger_without_a_file(tmp_path, owner):
    """For use outside of a project with the ledger off."""
    async with await Ledger.open(None, owner) as ledger:
        await ledger.append("r", EVENT)
        assert len(await ledger.events("r")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["owners"]


async def test_closing_drains_and_may_be_repeated(tmp_path, owner):
    """What was queued is written, the log is brought into the file, and later calls are refused."""
    path = tmp_path / "ledger.sqlite3"
    ledger = await Ledger.open(path, owner)
    gate = hold(ledger)
    waiting = await queued(ledger.append("r", EVENT))
    closing = asyncio.gather(ledger.close(), ledger.close())
    gate.set()
    await closing
    assert len((await waiting)[0]) == 1
    await ledger.close()
    assert not path.with_name("ledger.sqlite3-wal").exists()
    with pytest.raises(CallsheetError, match="closed"):
        await ledger.append("r", EVENT)
    async with await Ledger.open(path, owner) as again:
        assert len(await again.events("r")) == 1


async def test_a_ledger_of_a_newer_version_is_refused(tmp_path, owner):
    """And left as it is."""
    path = tmp_path / "ledger.sqlite3"
    await (await Ledger.open(path, owner)).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(ConfigError, match=r"newer callsheet.*update"):
        await Ledger.open(path, owner)


async def test_a_process_of_the_version_before_goes_on_with_a_ledger_that_was_brought_up_to_date(tmp_path, owner):
    """Its call keeps its money, and what it was paid for is recorded by its own statements."""
    path = tmp_path / "ledger.sqlite3"
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript("".join(schema._STEPS[:8]) + "PRAGMA user_version = 8")
    call = "'k', 'sending', 'acme:one', 'text.generate', 'call', '', ?, 1, 'd', '{}', 1.0, 1.0, '', NULL, NULL, NULL"
    old.execute(f"INSERT OR REPLACE INTO calls VALUES ({call})", (owner.id,))
    old.execute("INSERT OR REPLACE INTO reservations VALUES ('k', '', 1.0, 40)")
    async with await Ledger.open(path, owner) as ledger:
        room = await ledger.spending.reserve(Reservation("new", "", 70), Bounds(None, 100, 0.0))
        assert (room.bound, room.reserved) == ("day", 40)
        assert old.execute("DELETE FROM reservations WHERE key = 'k' RETURNING nanos").fetchall() == [(40,)]
        old.execute("INSERT INTO events (run, at, type, job, body) VALUES ('', 1.0, 'job.succeeded', 'call', '{}')")
        old.execute("UPDATE calls SET state = 'succeeded', result = '{}' WHERE key = 'k'")
        room = await ledger.spending.reserve(Reservation("new", "", 70), Bounds(None, 100, 0.0))
        assert room.bound is None
    old.close()


@pytest.mark.parametrize("content", ["database", "text"])
async def test_a_foreign_file_is_refused(tmp_path, owner, content):
    """It is somebody else's."""
    path = tmp_path / "ledger.sqlite3"
    if content == "text":
        path.write_text("Dear diary, " * 100)
    else:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE diary (day)")
        db.close()
    with pytest.raises(ConfigError, match=r"not a callsheet ledger|no ledger"):
        await Ledger.open(path, owner)


async def test_an_old_sqlite_is_a_config_error(owner, monkeypatch):
    """The message says which version is needed."""
    monkeypatch.setattr(schema.sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(ConfigError, match=r"3\.37"):
        await Ledger.open(None, owner)


async def test_a_network_file_system_is_refused(tmp_path, owner, monkeypatch):
    """Before anything is created on it."""

    def refuse(path):
        raise ConfigError("network")

    monkeypatch.setattr(schema, "refuse_network", refuse)
    with pytest.raises(ConfigError, match="network"):
        await Ledger.open(tmp_path / "ledger.sqlite3", owner)
    assert not (tmp_path / "ledger.sqlite3").exists()


async def test_a_lock_that_stays_is_a_clear_error(tmp_path, owner):
    """Nothing was written, and it works again afterwards."""
    path = tmp_path / "ledger.sqlite3"
    async with await Ledger.open(path, owner, busy_timeout=0.01) as ledger:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(CallsheetError, match=r"locked for 0\.01 s.*try again"):
            await ledger.append("r", EVENT)
        db.execute("COMMIT")
        db.close()
        assert await ledger.append("r", EVENT)
        assert len(await ledger.events("r")) == 1


async def test_many_ledgers_open_a_new_file_at_once(tmp_path):
    """The switch to WAL is made by one of them."""
    owners = [Owner.start(tmp_path) for _ in range(8)]
    path = tmp_path / "ledger.sqlite3"
    ledgers = await asyncio.gather(*(Ledger.open(path, owner) for owner in owners))
    await asyncio.gather(*(ledger.append("r", EVENT) for ledger in ledgers))
    assert [event.seq for event in await ledgers[0].events("r")] == list(range(1, 9))
    for ledger in ledgers:
        await ledger.close()
    for owner in owners:
        owner.close()


def test_a_loop_that_is_gone_does_not_stop_the_writer(tmp_path, owner):
    """What was queued is written although nobody is left to be told."""
    path = tmp_path / "ledger.sqlite3"

    async def leave_in_a_hurry():
        ledger = await Ledger.open(path, owner)
        gate = hold(ledger)
        await queued(ledger.append("r", EVENT))
        return ledger, gate

    loop = asyncio.new_event_loop()
    ledger, gate = loop.run_until_complete(leave_in_a_hurry())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gate.set()
    ledger._writer._queue.put(None)
    ledger._writer._thread.join()

    async def look():
        async with await Ledger.open(path, owner) as again:
            return await again.events("r")

    assert len(asyncio.run(look())) == 1
