"""What a handler gets for a call: HTTP to its provider, and the guarded way in for files."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from callsheet.artifacts import FileRef, TextArtifact
from callsheet.errors import ConfigError, ConnectionFailedError, MalformedOutputError
from callsheet.jobs import JobResult

PNG = b"\x89PNG\r\n\x1a\n"


async def test_a_context_reaches_its_provider(studio):
    """Every call of a provider shares one endpoint and one way in; without an origin there is nowhere to send to."""
    seen = []

    async def look(request, context):
        seen.append((context.http, context.transfer))
        with pytest.raises(ConfigError, match="origin is missing"):
            await context.http.send("GET", "/x")
        with pytest.raises(MalformedOutputError, match="not https"):
            await context.download("http://files.example.com/x", "image/png")
        return JobResult((TextArtifact("x"),))

    studio.acme.script["call"] = [look, look]
    async with await studio.open() as client:
        await client.call("acme:text", prompt="a")
        await client.call("acme:text", prompt="b")
    assert seen[0] == seen[1]
    assert seen[0][0] is seen[0][1].endpoint


async def test_a_file_that_was_fetched_is_not_fetched_again(studio):
    """Within one attempt of a call: the next attempt has a context of its own."""
    asked = []

    class Transfer:
        async def download(self, url, media_type, name="", *, headers=None, wait_header=""):
            asked.append((url, media_type))
            if len(asked) in (2, 5):
                raise ConnectionFailedError("cut")
            return FileRef("a" * 64, media_type, 8, name)

    async def look(request, context):
        mine = replace(context, transfer=Transfer())
        files = [await mine.download("https://a/1", "image/png", width=4)]
        with pytest.raises(ConnectionFailedError):
            await mine.download("https://a/2", "image/png")
        later = replace(mine, answer={})
        files += [await later.download(f"https://a/{number}", "image/png", width=4) for number in (1, 2)]
        assert files[0] == files[1]
        assert context.fetched == mine.fetched
        return JobResult((TextArtifact("x"),))

    studio.acme.script["call"] = [look, look]
    async with await studio.open() as client:
        await client.call("acme:text", prompt="a")
        assert [url[-1] for url, _ in asked] == ["1", "2", "2"]
        await client.call("acme:text", prompt="b", reuse=True)
    assert [url[-1] for url, _ in asked] == ["1", "2", "2"] * 2


async def test_connections_end_with_the_client(studio):
    """A file comes in through the client's blob store, and closing the client closes its connections."""
    ended = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + PNG)
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with await studio.open() as client:
            transfer = client.runtime.services.transfer(url)
            async with transfer.endpoint.stream("GET", "/x") as reply:
                file = await transfer.receive(reply, "image/png", "a.png")
            assert client.runtime.services.blobs.path(file.sha256).read_bytes() == PNG
            assert not ended.is_set()
        await asyncio.wait_for(ended.wait(), 5)


def test_the_http_library_is_imported_by_the_first_request():
    """Who sends nothing does not pay for it."""
    code = "import sys, callsheet.client; print(sorted({m.partition('.')[0] for m in sys.modules} & {'httpx2', 'httpcore2', 'h11', 'anyio'}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
