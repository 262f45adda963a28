"""Server-sent events behind a provider's link: guarded as a download is, and closed when nobody reads them any more."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from callsheet.errors import ConnectionFailedError, MalformedOutputError, OverloadedError, ProviderTimeoutError, Sent
from callsheet.http import HttpLimits, ServerSentEvent
from callsheet.transfer import download

HOST, ADDRESS = "files.example.com", "93.184.215.14"
LINK = f"https://{HOST}/v1/streams/a?signature=s3cret"
BODY = b"event: output\nid: 1\ndata: Lava\n\nevent: done\nid: 2\ndata: {}\n\n"
EVENTS = [ServerSentEvent("Lava", "output", "1"), ServerSentEvent("{}", "done", "2")]


async def read(transfer, url=LINK, seen=None, **more):
    """All events; they are in `seen` when it ends by an error, too."""
    seen = [] if seen is None else seen
    async with aclosing(transfer.events(url, **more)) as events:
        async for event in events:
            seen.append(event)
    return seen


async def test_events_of_another_host(net, reply, key):
    """Connected at the address that was checked, without the key, and asked for as events."""
    site = await net.site(reply(BODY, content_type="text/event-stream"), host=HOST, address=ADDRESS)
    assert await read(net.transfer(), headers={"authorization": key}) == EVENTS
    assert (net.looked_up, net.wire.connected) == ([HOST], [(ADDRESS, 443)])
    (seen,) = site.requests
    assert (seen.method, seen.target) == ("GET", "/v1/streams/a?signature=s3cret")
    assert (seen.headers["accept"], seen.headers["cache-control"]) == ("text/event-stream", "no-store")
    assert key not in str(seen)


async def test_events_of_the_own_origin(net, reply, key):
    """The configured origin gets the key, on loopback as well; it is not resolved."""
    site = await net.site(reply(BODY))
    url = f"http://127.0.0.1:{site.port}/stream"
    assert await read(net.transfer(site), url, headers={"authorization": key}) == EVENTS
    assert site.requests[0].headers["authorization"] == key
    assert net.looked_up == []


async def test_a_redirect_is_checked(net, reply, key):
    """To a public host without the key; to a private one, or back to the origin, not at all."""
    elsewhere = await net.site(reply(BODY), host=HOST, address=ADDRESS)
    own = await net.site(reply(status="302 Found", location=LINK))
    url, headers = f"http://127.0.0.1:{own.port}/stream", {"authorization": key}
    assert await read(net.transfer(own), url, headers=headers) == EVENTS
    assert key not in str(elsewhere.requests)
    for location in (url, "https://10.0.0.1/x", f"http://{HOST}/x"):
        elsewhere.answer = reply(status="302 Found", location=location)
        with pytest.raises(MalformedOutputError, match="is not fetched"):
            await read(net.transfer(own), url, headers=headers)
    assert net.wire.connected == [(ADDRESS, 443)] * 4
    own.answer = reply(status="302 Found", location=url)
    with pytest.raises(MalformedOutputError, match="more than 5 redirects"):
        await read(net.transfer(own), url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://{HOST}/x", "it is not https"),
        ("https://127.0.0.1/x", "its address is loopback"),
        ("https://169.254.169.254/x", "its address is link-local"),
        ("https://private.example.com/x", "whose address 10.0.0.1 is private"),
        (f"https://user:s3cret@{HOST}/x", "it has a user name"),
        ("", "its scheme is"),
    ],
)
async def test_links_that_are_refused(net, url, why):
    """Nothing is connected for them, and the message shows no secret."""
    net.names["private.example.com"] = [["10.0.0.1"]]
    with pytest.raises(MalformedOutputError, match=why) as caught:
        await read(net.transfer(), url)
    assert "s3cret" not in str(caught.value)
    assert net.wire.connected == []


@pytest.mark.parametrize(
    ("status", "error"), [("404 Not Found", MalformedOutputError), ("503 Service Unavailable", OverloadedError)]
)
async def test_what_is_no_success(net, reply, status, error):
    """The error has the status."""
    own = await net.site(reply(BODY, status=status))
    with pytest.raises(error, match=status[:3]) as caught:
        await read(net.transfer(own), f"http://127.0.0.1:{own.port}/stream")
    assert caught.value.status_code == int(status[:3])


async def test_a_cut(net, reply):
    """What is whole comes, then the error."""
    seen = []

    async def answer(_seen, writer):
        writer.write(reply(BODY[:-10], length=len(BODY)))
        writer.close()

    own = await net.site(answer)
    with pytest.raises(ConnectionFailedError) as caught:
        await read(net.transfer(own), f"http://127.0.0.1:{own.port}/stream", seen)
    assert (seen, caught.value.sent) == (EVENTS[:1], Sent.UNKNOWN)


async def test_silence(net, reply, monkeypatch):
    """A stream that falls silent is given up in time."""
    monkeypatch.setattr(download, "EVENT_LIMITS", HttpLimits(connect=2.0, read=0.2, total=5.0))
    own = await net.site(reply(BODY, length=10_000))
    with pytest.raises(ProviderTimeoutError):
        await read(net.transfer(own), f"http://127.0.0.1:{own.port}/stream")


async def test_leaving_closes_the_connection(net, reply):
    """The server notices at once."""
    closed = asyncio.Event()

    async def answer(_seen, writer):
        writer.write(reply(BODY, length=10_000))
        try:
            while not writer.is_closing():
                writer.write(b": still here\n\n")
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            closed.set()

    own = await net.site(answer)
    async with aclosing(net.transfer(own).events(f"http://127.0.0.1:{own.port}/stream")) as events:
        assert await anext(events) == EVENTS[0]
    async with asyncio.timeout(5):
        await closed.wait()
