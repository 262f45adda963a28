"""Files on their way to a provider: uploaded once, remembered, tried again, and never mistaken for a paid request."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.artifacts import FileRef
from callsheet.context import Upload
from callsheet.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    InvalidRequestError,
    JobFailedError,
    PluginError,
    ProviderError,
    Sent,
)
from callsheet.patience import PATIENCE, Patience
from callsheet.secrets import MappingSecrets, Redactor, SecretScope
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.ledger import Ledger
from callsheet.stores.owners import Owner
from callsheet.stores.uploads import Place
from callsheet.uploads import CallFiles, Uploads

PICTURE = FileRef("ab" * 32, "image/png", 1_500, "still.png")
ORIGIN = "https://api.acme.example"


class Vendor:
    """Takes uploads: `plan` holds errors to raise first, or futures to wait for."""

    def __init__(self, *plan, expires=None):
        self.plan, self.expires = list(plan), expires
        self.begun = 0

    async def take(self):
        """One upload."""
        self.begun += 1
        step = self.plan.pop(0) if self.plan else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await step
        return Upload(f"acme://file-{self.begun}", self.expires)


class Desk:
    """Uploads over a ledger in memory; waits are noted, and take no time."""

    def __init__(self, ledger, folder):
        self.ledger, self.blobs, self.slept = ledger, LocalBlobs(folder), []
        self.uploads = Uploads(ledger.uploads, Patience(self.sleep, lambda: 0.5, lambda *_a, **_k: None))

    async def sleep(self, seconds):
        """Instead of waiting."""
        self.slept.append(seconds)

    def files(self, key="key-one-123", origin=ORIGIN):
        """The files of a call with this key."""
        scope = SecretScope(MappingSecrets({"ACME_KEY": key}), Redactor(), ("ACME_KEY",), "acme")
        return CallFiles(self.blobs, self.uploads, origin, scope, "callsheet-acme")


@pytest.fixture
async def desk(tmp_path):
    """A fresh one."""
    owner = Owner.start(tmp_path)
    async with await Ledger.open(None, owner) as ledger:
        yield Desk(ledger, tmp_path / "blobs")
    owner.close()


async def test_a_file_is_uploaded_once(desk):
    """Whoever asks for it, under whatever name, gets the same address."""
    vendor = Vendor()
    addresses = [
        await desk.files().upload(file, vendor.take) for file in (PICTURE, FileRef("ab" * 32, "image/png", 1_500))
    ]
    assert addresses == ["acme://file-1"] * 2
    assert vendor.begun == 1


@pytest.mark.parametrize(
    "other",
    [
        {"key": "key-two-456"},
        {"key": ""},
        {"origin": "https://eu.acme.example"},
        {"file": FileRef("cd" * 32, "image/png", 1_500)},
        {"file": FileRef("ab" * 32, "image/webp", 1_500)},
    ],
    ids=["account", "no key", "origin", "bytes", "type"],
)
async def test_what_makes_another_upload(desk, other):
    """Another account, another provider, other bytes, another type."""
    vendor, file = Vendor(), other.pop("file", PICTURE)
    await desk.files().upload(PICTURE, vendor.take)
    assert await desk.files(**other).upload(file, vendor.take) == "acme://file-2"


async def test_equal_uploads_under_way_are_one(desk):
    """Ten calls ask at the same time, and the vendor is asked once."""
    gate = asyncio.get_running_loop().create_future()
    vendor = Vendor(gate)
    tasks = [asyncio.create_task(desk.files().upload(PICTURE, vendor.take)) for _ in range(10)]
    while not vendor.begun:
        await asyncio.sleep(0)
    gate.set_result(None)
    assert await asyncio.gather(*tasks) == ["acme://file-1"] * 10
    assert vendor.begun == 1


async def test_who_began_an_upload_may_leave(desk):
    """It goes on for the others; when the last one leaves, it ends, and the next one begins anew."""
    gate = asyncio.get_running_loop().create_future()
    vendor = Vendor(gate)
    first, second = [asyncio.create_task(desk.files().upload(PICTURE, vendor.take)) for _ in range(2)]
    while not vendor.begun:
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not gate.cancelled()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert gate.cancelled()
    assert await desk.files().upload(PICTURE, vendor.take) == "acme://file-2"


@pytest.mark.parametrize("failures", [1, PATIENCE - 1])
async def test_a_passing_failure_is_tried_again(desk, failures):
    """A cut line is no end: the waits grow, and the call knows nothing of it."""
    vendor = Vendor(*[ConnectionFailedError("cut", sent=Sent.UNKNOWN) for _ in range(failures)])
    assert await desk.files().upload(PICTURE, vendor.take) == f"acme://file-{failures + 1}"
    assert desk.slept == sorted(desk.slept)
    assert len(desk.slept) == failures


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (AuthenticationError("no"), 1),
        (InvalidRequestError("too large"), 1),
        (ProviderError("what?", sent=Sent.UNKNOWN), 1),
        (ConnectionFailedError("cut", sent=Sent.UNKNOWN), PATIENCE),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
async def test_a_failure_has_cost_nothing(desk, error, tries):
    """It keeps its kind, and nobody has to ask whether the call was paid for; the next call tries again."""
    vendor = Vendor(*[error] * tries)
    with pytest.raises(type(error)) as caught:
        await desk.files().upload(PICTURE, vendor.take)
    assert (caught.value.kind, caught.value.sent, vendor.begun) == (error.kind, Sent.NOT_SENT, tries)
    assert await desk.files().upload(PICTURE, vendor.take) == f"acme://file-{tries + 1}"


async def test_everybody_gets_an_error_of_his_own(desk):
    """One traceback would otherwise collect those of all."""
    vendor = Vendor(AuthenticationError("no"))
    calls = [desk.files().upload(PICTURE, vendor.take) for _ in range(3)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {error.sent for error in errors} == {Sent.NOT_SENT}
    assert len({id(error) for error in errors}) == 3
    assert vendor.begun == 1


async def test_a_plugin_that_breaks_off(desk):
    """It is named, and its call was surely not sent."""
    with pytest.raises(
        PluginError, match=r"callsheet-acme broke off in the middle of an upload: KeyError: 'urls'"
    ) as caught:
        await desk.files().upload(PICTURE, Vendor(KeyError("urls")).take)
    assert caught.value.plugin == "callsheet-acme"


async def test_a_missing_key_says_how_to_set_it(desk):
    """What `send` raises of its own is not changed."""
    with pytest.raises(ConfigError, match="export"):
        await desk.files().upload(PICTURE, Vendor(ConfigError("export ACME_KEY=…", missing=True)).take)


async def test_files_are_read_from_the_store(desk):
    """As they are."""
    file = await desk.blobs.put(b"bytes", "image/png")
    assert await desk.files().read(file) == b"bytes"


async def test_an_upload_of_a_moment_is_for_its_callers_alone(desk):
    """What ends soon is uploaded anew for the next call."""
    vendor = Vendor(expires=1.0)
    assert await desk.files().uploaded(PICTURE) is None
    assert [await desk.files().upload(PICTURE, vendor.take) for _ in range(2)] == ["acme://file-1", "acme://file-2"]
    assert await desk.files().uploaded(PICTURE) == "acme://file-2"
    assert await desk.files("key-two-456").uploaded(PICTURE) is None


@pytest.mark.parametrize(
    ("error", "forgotten"),
    [
        (JobFailedError("404 for url", sent=Sent.FINISHED), True),
        (InvalidRequestError("no such file", sent=Sent.REJECTED), True),
        (AuthenticationError("no"), False),
        (ConnectionFailedError("cut", sent=Sent.NOT_SENT), False),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
@pytest.mark.parametrize("durable", [True, False])
async def test_a_call_that_failed_doubts_its_files(studio, durable, error, forgotten):
    """A file that the provider deleted before its time must not spoil all calls to come."""
    vendor = Vendor()

    async def answer(request, context):
        await context.files.upload(request.body["images"][0], vendor.take)
        raise error

    studio.acme.script["call"] = [answer]
    async with await studio.open(durable=durable) as client:
        file = await client.runtime.services.blobs.put(b"\x89PNG\r\n\x1a\n", "image/png")
        call = {"operation": "image.generate", "prompt": "a", "images": [file]}
        with pytest.raises(type(error)):
            await client.call("acme:picture", **call)
        place = Place("", "", file.sha256, "image/png")
        assert (await client.ledger.uploads.find(place) is None) is forgotten
