"""The ledger under kill -9 and with several processes."""

from __future__ import annotations

import random

from callsheet.artifacts import TextArtifact
from callsheet.storage import CallState
from callsheet.stores.ledger import Ledger

ORDER = [CallState.CLAIMED, CallState.SENDING, CallState.SUCCEEDED]


async def test_each_acknowledged_step_survives_kill_9(tmp_path, owner, child):
    """24 kills at seeded points on one file: it opens, every acknowledged step and its event is there."""
    chance = random.Random(20261121)
    path = tmp_path / "ledger.sqlite3"
    for number in range(24):
        process = child("work", tmp_path, f"p{number}", chance.choice([1, 4, 16]))
        lines = [process.line() for _ in range(chance.randrange(1, 120))] + process.kill()
        said: dict[str, CallState] = {}
        for line in lines:
            state, _, key = line.partition(":")
            said[key] = CallState(state)
        async with await Ledger.open(path, owner) as ledger:
            found = await ledger.get_many(said)
            events = {(event.type, event.job) for event in await ledger.events("r")}
            check = await ledger._read(lambda turn: turn.db.execute("PRAGMA integrity_check").fetchall())
        assert check == [("ok",)]
        for key, state in said.items():
            record = found[key]
            assert ORDER.index(record.state) >= ORDER.index(state)
            assert not owner.is_alive(record.owner)
            assert (("job.started", key) in events) == (record.state is not CallState.CLAIMED)
            assert (("job.succeeded", key) in events) == (record.state is CallState.SUCCEEDED)
            if record.state is CallState.SUCCEEDED:
                assert record.result.artifacts == (TextArtifact(key),)


def verdicts(process):
    process.tell("go")
    found = {}
    while (line := process.line()) != "end":
        key, *rest = line.split(":")
        found[key] = tuple(rest)
    return found


def test_two_processes_share_the_keys_and_the_survivor_takes_over(tmp_path, child):
    """200 keys claimed at once: each has one owner; when one process is killed, the other has them all."""
    one, two = child("compete", tmp_path, 1, 200), child("compete", tmp_path, 2, 200)
    assert (one.line(), two.line()) == ("ready", "ready")
    one.tell("go")
    theirs = verdicts(two)
    ours = {}
    while (line := one.line()) != "end":
        key, *rest = line.split(":")
        ours[key] = tuple(rest)
    assert {verdict[0] for verdict in (*ours.values(), *theirs.values())} <= {"claimed", "held"}
    claimed_by_two = {key for key, verdict in theirs.items() if verdict[0] == "claimed"}
    claimed_by_one = {key for key, verdict in ours.items() if verdict[0] == "claimed"}
    assert claimed_by_one.isdisjoint(claimed_by_two)
    assert len(claimed_by_one | claimed_by_two) == 200
    one.kill()
    after = verdicts(two)
    assert {key for key, verdict in after.items() if verdict == ("taken_over", "claimed", "2")} == claimed_by_one
    assert {key for key, verdict in after.items() if verdict[0] == "mine"} == claimed_by_two
