"""The blob store: whole files or none, each what its digest says."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest

from callsheet.artifacts import FileRef
from callsheet.errors import CallsheetError
from callsheet.storage import BlobStore
from callsheet.stores import drafts
from callsheet.stores.blobs import LocalBlobs


@pytest.fixture
def blobs(tmp_path) -> BlobStore:
    return LocalBlobs(tmp_path)


async def pieces(data, size=100_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def left_over(blobs):
    return list((blobs.folder / "tmp").iterdir())


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_048_576, 3_500_000])
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_put_can_be_read(blobs, size, streamed):
    """Bytes and streams of all sizes give the same reference and the same file."""
    data = os.urandom(size)
    file = await blobs.put(pieces(data) if streamed else data, "image/png", "x.png")
    assert file == FileRef(hashlib.sha256(data).hexdigest(), "image/png", size, "x.png")
    assert await blobs.read(file) == data
    assert blobs.path(file.sha256) == blobs.folder / "sha256" / file.sha256[:2] / file.sha256
    assert blobs.has(file.sha256)
    assert blobs.verify(file.sha256) == ""
    assert blobs.list_digests() == [file.sha256]
    assert not left_over(blobs)


async def test_streams_in_tiny_chunks_and_in_one_reused_buffer(blobs):
    """Both give what was sent, not what the buffer held later."""
    data = os.urandom(1_200_000)

    async def reused():
        buffer = bytearray(5_000)
        for start in range(0, len(data), 5_000):
            buffer[:] = data[start : start + 5_000]
            yield buffer

    for stream in (pieces(data, 1_000), reused()):
        assert await blobs.read(await blobs.put(stream, "video/mp4")) == data


async def test_a_known_file_is_not_written_again(blobs, monkeypatch):
    """Putting it a second time writes nothing."""
    first = await blobs.put(b"lava", "text/plain")
    monkeypatch.setattr(drafts, "_create", lambda folder: pytest.fail("written again"))
    assert await blobs.put(b"lava", "text/plain") == first


@pytest.mark.parametrize("size", [4, 2_000_000])
async def test_a_file_that_was_cut_is_healed_by_the_next_put(blobs, size):
    """The size is looked at before a file counts as known."""
    data = os.urandom(size)
    file = await blobs.put(data, "text/plain")
    path = blobs.path(file.sha256)
    path.chmod(0o644)
    path.write_bytes(data[:-1])
    assert blobs.verify(file.sha256) == "altered"
    await blobs.put(pieces(data), "text/plain")
    assert await blobs.read(file) == data


@pytest.mark.parametrize("size", [4, 100_000])
async def test_missing_and_altered_files_are_told(blobs, size):
    """The error names the digest and what to do."""
    file = await blobs.put(os.urandom(size), "text/plain")
    path = blobs.path(file.sha256)
    path.chmod(0o644)
    path.write_bytes(os.urandom(size))
    with pytest.raises(CallsheetError, match=f"{file.sha256} was altered.*backup"):
        await blobs.read(file)
    path.unlink()
    assert blobs.verify(file.sha256) == "missing"
    assert not blobs.has(file.sha256)
    with pytest.raises(CallsheetError, match=f"{file.sha256}.*backup"):
        await blobs.read(file)


@pytest.mark.parametrize("name", ["", "../../secret", "A" * 64, "a" * 63, "a" * 64 + "\n", "/" * 64, "à" * 64])
async def test_only_digests_become_paths(blobs, name):
    """Names from receipts and results of others are refused."""
    assert not blobs.has(name)
    assert blobs.verify(name) == "missing"
    with pytest.raises(CallsheetError):
        blobs.path(name)
    with pytest.raises(CallsheetError):
        await blobs.read(FileRef(name, "text/plain", 1))


async def test_a_stream_that_breaks_leaves_nothing(blobs):
    """Neither in the store nor on the way to it."""

    async def broken():
        yield os.urandom(5_000_000)
        raise ValueError("cut")

    with pytest.raises(ValueError, match="cut"):
        await blobs.put(broken(), "video/mp4")
    assert not blobs.list_digests()
    assert not left_over(blobs)


async def test_a_put_that_is_cancelled_leaves_nothing(blobs):
    """The draft goes away with the task."""
    begun = asyncio.Event()

    async def endless():
        yield os.urandom(5_000_000)
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(blobs.put(endless(), "video/mp4"))
    await begun.wait()
    assert len(left_over(blobs)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not left_over(blobs)
    assert not blobs.list_digests()


def test_a_draft_dropped_while_a_thread_writes_is_cleaned_by_that_thread(tmp_path, monkeypatch):
    """The event loop never waits for the disk, and no descriptor is closed under a writing thread."""
    draft = drafts.Draft(tmp_path)
    real = os.write

    def write(descriptor, data):
        draft.drop()  # what a cancellation does meanwhile
        assert list(tmp_path.iterdir())
        return real(descriptor, data)

    monkeypatch.setattr(drafts.os, "write", write)
    draft.write(b"lava")
    assert not list(tmp_path.iterdir())
    draft.write(b"more")  # a thread that was still queued finds nothing to do


async def test_a_file_system_without_links_works_too(blobs, monkeypatch):
    """Then the draft is renamed."""

    def refuse(source, target):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(drafts.os, "link", refuse)
    file = await blobs.put(b"lava", "text/plain")
    assert await blobs.read(file) == b"lava"
    assert not left_over(blobs)


async def test_a_disk_that_refuses_is_a_clear_error(blobs, monkeypatch):
    """The message says what the disk says, and nothing is left."""

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drafts.os, "fsync", full)
    with pytest.raises(CallsheetError, match="No space left"):
        await blobs.put(b"lava", "text/plain")
    assert not left_over(blobs)


async def test_many_puts_of_one_file_at_once(blobs):
    """All of them succeed and there is one file."""
    data = os.urandom(2_000_000)
    files = await asyncio.gather(*(blobs.put(pieces(data), "video/mp4") for _ in range(8)))
    assert len(set(files)) == 1
    assert blobs.list_digests() == [files[0].sha256]
    assert not left_over(blobs)


def test_drafts_in_use_are_kept_and_dead_ones_removed(tmp_path):
    """A second process that opens the store leaves the first one's unfinished files alone."""
    blobs = LocalBlobs(tmp_path)
    draft = drafts.Draft(tmp_path / "tmp")
    (tmp_path / "tmp" / "dead").write_bytes(b"half")
    LocalBlobs(tmp_path)
    assert left_over(blobs) == [draft._path]
    draft.write(b"lava")
    sha256, size = draft.finish(tmp_path / "sha256")
    assert (blobs.verify(sha256), size) == ("", 4)


def test_a_new_draft_that_is_swept_away_is_made_again(tmp_path, monkeypatch):
    """Between creation and lock another process may take it for a dead one's."""
    real, calls = drafts.fcntl.flock, []

    def flock(descriptor, how):
        if not calls:
            for path in tmp_path.iterdir():
                path.unlink()
        calls.append(how)
        real(descriptor, how)

    monkeypatch.setattr(drafts.fcntl, "flock", flock)
    draft = drafts.Draft(tmp_path)
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == [draft._path]
    draft.drop()


def test_acknowledged_files_survive_kill_9(tmp_path, child):
    """Eight kills in the midst of writing: each file that was acknowledged is whole, and there is no half one."""
    for seed in range(8):
        process = child("store", tmp_path, seed)
        assert process.line() == "ready"
        acknowledged = [process.line() for _ in range(3 + 4 * seed)] + process.kill()
        blobs = LocalBlobs(tmp_path)
        assert not left_over(blobs)
        assert set(acknowledged) <= set(blobs.list_digests())
        assert {blobs.verify(sha256) for sha256 in blobs.list_digests()} == {""}
