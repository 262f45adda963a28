"""The ledger's runs, events and selections."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.errors import CallsheetError, ConfigError
from callsheet.storage import Event, RunRecord
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner


def a_run(ledger, name="run-1", started=1.0):
    return RunRecord(name, "sheet", "live", "running", ledger.owner.id, started, None, "out", {"mock": ["clip"]})


async def test_a_run_is_started_finished_and_reopened(ledger):
    """Each with its events."""
    record = a_run(ledger)
    await ledger.start_run(record, [("run.started", "", {"jobs": 3})])
    assert await ledger.run("run-1") == record
    done = await ledger.finish_run("run-1", "partial", [("run.finished", "", {})])
    assert done.status == "partial"
    assert done.ended > done.started
    assert await ledger.run("run-1") == done
    again = await ledger.reopen_run("run-1", ledger.owner.id, [("run.resumed", "", {})])
    assert (again.status, again.ended) == ("running", None)
    assert [event.type for event in await ledger.events("run-1")] == ["run.started", "run.finished", "run.resumed"]
    with pytest.raises(CallsheetError, match="already"):
        await ledger.start_run(record)


async def test_a_run_at_work_elsewhere_is_not_reopened(tmp_path, ledger):
    """Only once its process has ended."""
    other = Owner.start(tmp_path)
    await ledger.start_run(a_run(ledger))
    async with await Ledger.open(tmp_path / "ledger.sqlite3", other) as second:
        with pytest.raises(CallsheetError, match="another process"):
            await second.reopen_run("run-1", other.id)
        ledger.owner.close()
        assert (await second.reopen_run("run-1", other.id)).owner == other.id
    other.close()


async def test_runs_are_found_by_prefix(ledger):
    """A unique one; wildcards are letters like others."""
    for number, name in enumerate(["abc1", "abd2", "abd", "x_y", "xzy"]):
        await ledger.start_run(a_run(ledger, name, float(number)))
    assert (await ledger.run("abc")).id == "abc1"
    assert (await ledger.run("abd")).id == "abd"
    assert (await ledger.run("x_")).id == "x_y"
    with pytest.raises(ConfigError, match="abc1, abd, abd2"):
        await ledger.run("ab")
    for absent in ("", "q", "%"):
        with pytest.raises(ConfigError, match="no run"):
            await ledger.run(absent)
    assert [run.id for run in await ledger.runs(2)] == ["xzy", "x_y"]


async def test_events_are_kept_in_order_and_read_from_a_position(ledger):
    """A reader goes on where it stopped."""
    first = await ledger.append("r", [("job.started", "a", {"n": 1}), ("job.failed", "a", {"why": "é\ud800"})])
    await ledger.append("other", [("job.started", "b", {})])
    last = await ledger.append("r", [("job.started", "a", {})])
    assert await ledger.events("r") == [*first, *last]
    assert await ledger.events("r", after=first[-1].seq) == last
    assert await ledger.append("r", []) == []


async def test_subscribers_hear_each_event_after_its_commit(ledger):
    """A broken one keeps neither the others nor the caller from theirs; an ended one hears nothing."""
    heard: list[Event] = []
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context["exception"]))
    ledger.subscribe(lambda event: 1 / 0)
    end = ledger.subscribe(heard.append)
    added = await ledger.append("r", [("job.started", "a", {}), ("job.succeeded", "a", {})])
    assert heard == added
    assert [type(problem) for problem in problems] == [ZeroDivisionError] * 2
    end()
    end()
    await ledger.append("r", [("job.started", "a", {})])
    assert heard == added


async def test_selections_are_kept_by_sheet(ledger):
    """The last choice counts, until it is cleared."""
    await ledger.set_selection("s", "clip", "mock:a")
    await ledger.set_selection("s", "clip", "mock:b")
    await ledger.set_selection("s", "still", "mock:c")
    await ledger.set_selection("t", "clip", "mock:d")
    assert await ledger.selection("s") == {"clip": "mock:b", "still": "mock:c"}
    await ledger.clear_selection("s")
    assert await ledger.selection("s") == {}
    assert await ledger.selection("t") == {"clip": "mock:d"}
