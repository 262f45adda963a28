"""Run by the tests as a process of its own: `child_process.py FUNCTION ARGUMENTS…`."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from callsheet.artifacts import TextArtifact
from callsheet.jobs import JobResult
from callsheet.storage import CallState
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner


def say(text):
    """One write, so that a line is there whole or not at all."""
    os.write(1, f"{text}\n".encode())


def claim(ledger, key):
    return ledger.claim(
        key, ref="mock:text", operation="text.generate", job=key, run="r", request_digest="d", request={"prompt": key}
    )


def own(folder):
    """Be an owner until killed."""
    owner = Owner.start(Path(folder))
    say(owner.id)
    sys.stdin.readline()


async def work(folder, prefix, lanes):
    """Take calls through their whole life in several lanes, and say each step once it is durable."""
    folder = Path(folder)
    ledger = await Ledger.open(folder / "ledger.sqlite3", Owner.start(folder))

    async def lane(number):
        for i in range(10**9):
            key = f"{prefix}.{number}.{i}"
            claimed = await claim(ledger, key)
            say(f"claimed:{key}")
            epoch = claimed.record.epoch
            await ledger.advance(key, epoch, CallState.SENDING, events=[("job.started", key, {})])
            say(f"sending:{key}")
            result = JobResult((TextArtifact(key),))
            await ledger.advance(
                key, epoch, CallState.SUCCEEDED, result=result, events=[("job.succeeded", key, {"n": i})]
            )
            say(f"succeeded:{key}")

    await asyncio.gather(*(lane(number) for number in range(int(lanes))))


async def compete(folder, seed, count):
    """Claim all keys in an order of our own each time a line comes in; say each verdict."""
    folder = Path(folder)
    ledger = await Ledger.open(folder / "ledger.sqlite3", Owner.start(folder))
    keys = [f"k{i}" for i in range(int(count))]
    random.Random(int(seed)).shuffle(keys)
    say("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        for claimed in await asyncio.gather(*(claim(ledger, key) for key in keys)):
            previous = claimed.previous.state if claimed.previous else "-"
            say(f"{claimed.record.key}:{claimed.verdict}:{previous}:{claimed.record.epoch}")
        say("end")


async def store(folder, seed):
    """Store files of all sizes, and say each digest once it is durable."""
    blobs = LocalBlobs(Path(folder))
    chance = random.Random(int(seed))
    say("ready")

    async def pieces(total):
        while total > 0:
            yield chance.randbytes(min(total, 300_000))
            total -= 300_000

    while True:
        size = chance.choice([10, 50_000, 200_000, 2_500_000])
        data = pieces(size) if chance.random() < 0.5 else chance.randbytes(size)
        say((await blobs.put(data, "application/octet-stream")).sha256)


if __name__ == "__main__":
    outcome = globals()[sys.argv[1]](*sys.argv[2:])
    if asyncio.iscoroutine(outcome):
        asyncio.run(outcome)
