"""Repair of an output folder: what events, blobs and the ledger say is put back; what nobody has is named."""

from __future__ import annotations

import json

import pytest

from callsheet.plugin import JobResult
from callsheet.repair import repair_run
from callsheet.sheet import CallSheet
from callsheet.verification import verify_run

SHEET = """
title = "Lava"
[producers.note]
operation = "text.generate"
models = ["acme:text"]
prompt = "lava"

[producers.still]
operation = "image.generate"
models = ["acme:picture"]
prompt = "lava"
"""


@pytest.fixture
async def ran(studio):
    """A client whose project has a run with a text and a picture, and the run's record."""

    async def draw(request, context):
        return JobResult((await context.keep(b"\x89PNG\r\n\x1a\n" + b"0" * 40, "image/png"),))

    studio.acme.script["still"] = [draw]
    async with await studio.open() as client:
        run = await client.run(CallSheet.load(studio.sheet(SHEET)))
        yield client.runtime.services, await client.ledger.run(run.id)


async def names(services, record):
    """What the repair wrote, by name."""
    return [path.name for path in await repair_run(services, record)]


async def test_nothing_to_do(ran):
    """A folder that is as it was written is left alone."""
    assert await names(*ran) == []


@pytest.mark.parametrize("name", ["note.txt", "still.png", "manifest.json"])
@pytest.mark.parametrize("harm", ["gone", "altered"])
async def test_what_can_be_derived_is_put_back(ran, studio, name, harm):
    """Only what is missing or altered is written again, byte for byte."""
    path = studio.folder / "output" / name
    before = path.read_bytes()
    path.unlink() if harm == "gone" else path.write_bytes(b"other")
    assert not (await verify_run(*ran)).ok
    assert await names(*ran) == [name]
    assert path.read_bytes() == before
    beside = path.with_name(f"{path.stem}.altered{path.suffix}")
    assert beside.exists() == (harm == "altered" and name != "manifest.json")
    assert (await verify_run(*ran)).ok


async def test_a_whole_folder(ran, studio):
    """The folder itself may be gone: files first, then the manifest, and the page that shows them."""
    folder = studio.folder / "output"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert await names(*ran) == ["note.txt", "still.png", "manifest.json", "report.html"]
    assert (await verify_run(*ran)).ok


async def test_a_missing_blob_is_named_and_no_torn_one_is_copied(ran, studio):
    """Without its blob a picture stays missing; an altered blob is not handed out as the picture."""
    services, record = ran
    picture = studio.folder / "output" / "still.png"
    sha256 = json.loads((studio.folder / "output" / "manifest.json").read_text())["jobs"][1]["artifacts"][0]["sha256"]
    blob = services.blobs.path(sha256)
    picture.unlink()
    blob.chmod(0o600)
    for harm in (lambda: blob.write_bytes(b"torn"), blob.unlink):
        harm()
        assert await names(services, record) == []
        assert not picture.exists()
        problems = (await verify_run(services, record)).problems
        assert any(sha256 in problem for problem in problems)


async def test_the_folder_of_a_later_run_is_left_alone(ran, studio):
    """What a newer run has written there is not the older one's to repair."""
    services, record = ran
    async with await studio.open() as client:
        await client.run(CallSheet.load(studio.folder))
    (studio.folder / "output" / "note.txt").unlink()
    assert await names(services, record) == []
