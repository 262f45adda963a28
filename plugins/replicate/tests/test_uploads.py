"""Input files that are too large for a request: uploaded once an account, whoever needs them, for as long as they live."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from replicate_counterpart.stage import picture

from callsheet.errors import InvalidRequestError, JobFailedError, ProviderError, Sent
from callsheet_replicate.testing import Delivery, Fault, Script

BANANA = "replicate:google/nano-banana"
LARGE = picture() + b"\0" * 256_000
PROCESS = Path(__file__).with_name("upload_process.py")


@pytest.fixture(autouse=True)
def answers(server):
    """Every prediction gives a picture."""
    server.script("google/nano-banana", Script(Delivery(picture(), "image/png")))


async def call(client, prompt="lava", name="a.png", **more):
    """One call with the large file."""
    file = await client.runtime.services.blobs.put(LARGE, "image/png", name)
    return await client.call(BANANA, prompt=prompt, images=[file], **more)


def links(server):
    """The links to uploads in all requests."""
    return [link for each in server.asked("create") for link in each.json["input"]["image_input"]]


async def test_two_runs_upload_a_file_once(server, opened):
    """Under whatever name the user has it: the name stays here."""
    for name in ("my holiday.png", "b.png"):
        async with opened() as client:
            await call(client, name=name)
    (upload,) = server.asked("upload")
    assert b"holiday" not in upload.body
    assert links(server) == [upload.reply["urls"]["get"]] * 2


async def test_two_processes_upload_a_file_once(server, opened, tmp_path):
    """The other one has nothing but the project's folder."""
    async with opened() as client:
        await call(client)
    environ = {**os.environ, "REPLICATE_API_TOKEN": server.key, "REPLICATE_BASE_URL": server.origin}
    child = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, PROCESS, tmp_path / "project"],
        env=environ,
        input=LARGE,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0
    assert len(server.asked("create")) == 2
    assert len(server.asked("upload")) == 1


async def test_calls_at_the_same_time_share_an_upload(server, opened):
    """Eight jobs with the same still."""
    async with opened() as client:
        await asyncio.gather(*(call(client, prompt=f"lava {number}") for number in range(8)))
    assert len(server.asked("upload")) == 1
    assert len(set(links(server))) == 1
    assert len(server.asked("create")) == 8


async def test_another_account_uploads_anew(server, opened):
    """Its files are its own."""
    async with opened() as client:
        await call(client)
    server.key = "r8_another9QmXc2Vb7Nh4Kt6Ws"
    async with opened() as client:
        await call(client)
    assert len(server.asked("upload")) == 2


@pytest.mark.parametrize(("hours", "uploads"), [(22.5, 1), (23.5, 2)])
async def test_a_file_is_uploaded_anew_before_it_expires(server, opened, hours, uploads):
    """The vendor says how long it lives, and a prediction may have to wait for its turn."""
    async with opened() as client:
        await call(client)
    async with opened() as client:
        now = client.ledger.uploads._clock
        client.ledger.uploads._clock = lambda: now() + hours * 3600
        await call(client)
    assert len(server.asked("upload")) == uploads


@pytest.mark.parametrize("durable", [True, False])
async def test_without_a_ledger_it_is_remembered_for_as_long_as_the_client_is_open(server, opened, durable):
    """In memory."""
    for _ in range(2):
        async with opened(durable=durable) as client:
            await call(client)
            await call(client, prompt="ash")
    assert len(server.asked("upload")) == (1 if durable else 2)


async def test_an_upload_that_fails_is_tried_again(server, opened):
    """It is free, and no attempt of the call."""
    server.fail("upload", Fault(reset="before"), Fault(reset="after"), Fault(status=503))
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async with opened(sleep=sleep) as client:
        await call(client, reuse=True)
        (key,) = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchone())
        attempts = await client.ledger.attempts(key)
    assert [(each.number, each.outcome) for each in attempts] == [(1, "succeeded")]
    assert len(server.asked("upload")) == 4
    assert len(server.asked("create")) == 1
    assert len([seconds for seconds in waited if seconds >= 0.75]) >= 3


async def test_an_upload_that_is_refused_costs_nothing(server, opened):
    """It keeps its kind, and nothing was sent that could have been paid for."""
    server.fail("upload", Fault(status=413, body={"detail": "Files must be less than 100MB in size"}))
    async with opened() as client:
        with pytest.raises(ProviderError, match="100MB") as caught:
            await call(client)
    assert (type(caught.value), caught.value.sent) == (InvalidRequestError, Sent.NOT_SENT)
    assert server.asked("create") == []


async def test_a_file_that_the_vendor_deleted_is_uploaded_anew(server, opened):
    """One prediction fails for it, and no second one."""
    async with opened() as client:
        await call(client)
    server.expire_files()
    async with opened() as client:
        with pytest.raises(JobFailedError, match="404"):
            await call(client)
        await call(client)
    assert len(server.asked("upload")) == 2
