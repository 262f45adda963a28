"""The ledger: durable steps a second, against sqlite3 alone with the same schema, rows and synchronous mode."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Figure, module_child
from callsheet.storage import CallState
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.stores.schema import close_database, open_database

__all__ = ["figures"]

LANES = (1, 8, 64, 256)
SECONDS = 3.0
_CALL = {"ref": "idle:text", "operation": "text.generate", "run": "r", "request_digest": "0" * 64}
_REQUEST = {"body": {"prompt": "a picture of a volcano"}, "units": {"run": 1.0}}

_INSERT = (
    "INSERT INTO calls (key, state, ref, operation, job, run, owner, epoch, request_digest, request, created, updated) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = "UPDATE calls SET state = 'sending', updated = ? WHERE key = ?"


async def lanes(number: int) -> dict[str, float]:
    """So many tasks, each claiming calls and taking them to `sending`: two durable steps a turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        owner = Owner.start(folder)
        steps = 0
        async with await Ledger.open(folder / "ledger.sqlite3", owner) as ledger:
            end = time.monotonic() + SECONDS

            async def lane(lane: int) -> None:
                nonlocal steps
                turn = 0
                while time.monotonic() < end:
                    key, job = f"{lane}-{turn}", f"a[{turn}]"
                    event = ("job.started", job, {"key": key})
                    claim = await ledger.claim(key, job=job, request=_REQUEST, events=[event], **_CALL)
                    await ledger.advance(key, claim.record.epoch, CallState.SENDING, events=[event])
                    turn, steps = turn + 1, steps + 2

            start, cpu = time.monotonic(), time.process_time()
            async with asyncio.TaskGroup() as group:
                for each in range(number):
                    group.create_task(lane(each))
            taken = time.monotonic() - start
            spent = time.process_time() - cpu
        owner.close()
    return {"steps": steps / taken, "cpu": spent / steps}


def raw() -> dict[str, float]:
    """One thread, one connection, one transaction a step: the same rows and the same pragmas, nothing around them."""
    with tempfile.TemporaryDirectory() as name:
        db = open_database(Path(name) / "ledger.sqlite3", 30.0)
        steps = _steps_by_hand(db)
        close_database(db)
    return steps


def _steps_by_hand(db: sqlite3.Connection) -> dict[str, float]:
    start, cpu, steps = time.monotonic(), time.process_time(), 0
    while time.monotonic() < start + SECONDS:
        key, job, now = f"0-{steps}", f"a[{steps}]", time.time()
        body = json.dumps({"key": key})
        row = (
            key,
            "claimed",
            "idle:text",
            "text.generate",
            job,
            "r",
            "me",
            1,
            "0" * 64,
            json.dumps(_REQUEST),
            now,
            now,
        )
        for statement, values in ((_INSERT, row), (_UPDATE, (now, key))):
            db.execute("BEGIN IMMEDIATE")
            db.execute(statement, values)
            event = ("r", now, "job.started", job, body)
            db.execute("INSERT INTO events (run, at, type, job, body) VALUES (?, ?, ?, ?, ?)", event)
            db.execute("COMMIT")
            steps += 1
    return {"steps": steps / (time.monotonic() - start), "cpu": (time.process_time() - cpu) / steps}


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    base = module_child("ledger", "raw")
    told = f"raw sqlite3, 1 thread: {base['steps']:,.0f} a second, {base['cpu'] * 1e6:.0f} µs CPU"
    for number in LANES:
        found = module_child("ledger", number)
        yield Figure(
            f"ledger on disk (WAL, synchronous FULL), {number} lane{'s' if number > 1 else ''}: durable steps a second",
            f"{found['steps']:,.0f} a second, {found['cpu'] * 1e6:.0f} µs CPU a step",
            told,
            found["steps"] / base["steps"],
        )


if __name__ == "__main__":
    print(json.dumps(raw() if sys.argv[1] == "raw" else asyncio.run(lanes(int(sys.argv[1])))))
