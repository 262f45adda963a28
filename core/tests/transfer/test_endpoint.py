"""HTTP to one origin: what is sent, and what every fault becomes."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import traceback
from dataclasses import replace

import httpx2
import pytest

from callsheet.errors import (
    ConfigError,
    ConnectionFailedError,
    ErrorKind,
    InvalidRequestError,
    MalformedOutputError,
    ProviderError,
    ProviderTimeoutError,
    Sent,
)
from callsheet.http import FormFile, HttpLimits


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side gets a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silence(seen, writer):
    """Never answer."""
    await asyncio.Event().wait()


async def test_a_json_call(net, reply, key):
    """A call's body is compact JSON in UTF-8, its path is below the origin, its headers are the caller's."""
    site = await net.site(reply(b'{"ok": true}', x_request_id="r1", set_cookie="a=b"))
    http = net.endpoint(site, "/v1")
    answer = await http.send(
        "POST", "/responses", json={"a": ["ä", 1]}, headers={"Authorization": f"Bearer {key}"}, query={"q": "a b&c"}
    )
    assert (answer.status, answer.json(), answer.headers["x-request-id"]) == (200, {"ok": True}, "r1")
    seen = site.requests[0]
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/responses?q=a%20b%26c", '{"a":["ä",1]}'.encode())
    assert seen.headers["authorization"] == f"Bearer {key}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["host"] == f"127.0.0.1:{site.port}"
    await http.send("POST", "/responses", json={})
    assert site.connections == 1
    assert "cookie" not in site.requests[1].headers


async def test_forms(net, reply):
    """A form is urlencoded, a form with files is multipart; names with quotes and line breaks stay inside of theirs."""
    site = await net.site(reply(b"{}"))
    http = net.endpoint(site)
    await http.send("POST", "/form", form={"a": "1 2", "b": ["x", "y"]})
    assert (site.requests[0].body, site.requests[0].headers["content-type"]) == (
        b"a=1+2&b=x&b=y",
        "application/x-www-form-urlencoded",
    )
    file = FormFile("file", 'a"\r\nx: y.png', "image/png", b"\x89PNG")
    await http.send("POST", "/form", form={"purpose": "batch"}, files=[file])
    body = site.requests[1].body
    assert site.requests[1].headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="purpose"\r\n\r\nbatch\r\n' in body
    assert b"content-type: image/png" in body.lower()
    assert b"\r\n\r\n\x89PNG\r\n" in body
    assert b"\r\nx: y" not in body


async def test_every_status_is_a_reply(net, reply):
    """Errors and redirects come back as they are; a redirect is not followed."""
    site = await net.site(reply(b"no", "302 Found", location="https://evil.example.org/"))
    answer = await net.endpoint(site).send("GET", "/x")
    assert (answer.status, answer.body, len(site.requests)) == (302, b"no", 1)


async def test_gzip(net, reply):
    """A compressed reply is decoded; a stream asks for none."""
    site = await net.site(reply(gzip.compress(b"[1]"), content_encoding="gzip"))
    http = net.endpoint(site)
    assert (await http.send("GET", "/x")).json() == [1]
    async with http.stream("GET", "/x") as stream:
        assert (await stream.whole()).body == b"[1]"
    assert [seen.headers["accept-encoding"] for seen in site.requests] == ["gzip", "identity"]


async def test_events_of_a_stream(net):
    """Events arrive as they are sent, not when the body ends."""
    go_on = asyncio.Event()

    async def answer(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        writer.write(b"data: 2\n\n")
        await writer.drain()
        writer.close()

    site = await net.site(answer)
    async with net.endpoint(site).stream("POST", "/s", json={}) as stream:
        events = stream.events()
        assert (await anext(events)).data == "1"
        go_on.set()
        assert [event.data async for event in events] == ["2"]


async def test_leaving_early_closes(net, reply):
    """Who leaves a stream early costs the connection, which is closed; the next request opens another."""
    gone = asyncio.Event()

    async def answer(seen, writer):
        if seen.target == "/whole":
            return writer.write(reply(b"ok"))
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"3\r\nabc\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            gone.set()

    site = await net.site(answer)
    http = net.endpoint(site)
    async with http.stream("GET", "/endless") as stream:
        async for _ in stream.pieces():
            break
    await asyncio.wait_for(gone.wait(), 5)
    assert (await http.send("GET", "/whole")).body == b"ok"
    assert site.connections == 2


@pytest.mark.parametrize(
    "path",
    ["https://evil.example.org/", "//evil.example.org/", "/..", "/a/../b", "/%2e%2e/x", "/a/%2E./x", "/./a", "a", "", "/a?x=1", "/a#x", "/@evil", "/a b", "/a\r\nx: y", "/a\\b", "/a%5c..%5cb", "/ä", "/a//b"],
)  # fmt: skip
async def test_paths_that_lead_away(net, reply, path):
    """A path that is not below the origin is refused before anything is sent (`/@evil` stays on its host)."""
    site = await net.site(reply())
    if path == "/@evil":
        await net.endpoint(site).send("GET", path)
        assert site.requests[0].target == path
        return
    with pytest.raises(InvalidRequestError, match="is no path below") as caught:
        await net.endpoint(site, "/v1").send("GET", path)
    assert caught.value.sent is Sent.NOT_SENT
    assert site.connections == 0


@pytest.mark.parametrize("headers", [{"x-key": "a\r\nb: c"}, {"x-key": "sk-’"}, {"x key": "v"}, {"Host": "evil"}, {"content-length": "5"}, {"a:b": "v"}], ids=repr)  # fmt: skip
async def test_headers_that_cannot_be(net, reply, headers):
    """A header that would break out, or is the transport's own, is refused; its value is not shown."""
    site = await net.site(reply())
    with pytest.raises(InvalidRequestError, match="header") as caught:
        await net.endpoint(site).send("POST", "/x", headers=headers)
    assert caught.value.sent is Sent.NOT_SENT
    assert next(iter(headers.values())) not in str(caught.value)
    assert site.connections == 0


async def test_a_body_that_is_no_json(net, reply):
    """What is no JSON is refused before anything is sent."""
    site = await net.site(reply())
    for body in ({"a": float("nan")}, {"a": {1, 2}}, "\ud800"):
        with pytest.raises(InvalidRequestError, match="no JSON"):
            await net.endpoint(site).send("POST", "/x", json=body)
    assert site.connections == 0


@pytest.mark.parametrize("url", ["", "ftp://x.example", "https://user:pass@x.example", "https://x.example?a=b"])
async def test_no_origin(net, url):
    """Without a usable origin there is nowhere to send to."""
    with pytest.raises(ConfigError, match="origin"):
        await net.endpoint(url).send("GET", "/x")


async def no_name(net, reply):
    return net.endpoint("http://no-such-host.invalid"), ConnectionFailedError, Sent.NOT_SENT


async def refused(net, reply):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    return net.endpoint(f"http://127.0.0.1:{port}"), ConnectionFailedError, Sent.NOT_SENT


async def no_tls(net, reply):
    site = await net.site(reply())
    return net.endpoint(f"https://127.0.0.1:{site.port}"), ConnectionFailedError, Sent.NOT_SENT


async def wrong_certificate(net, reply):
    site = await net.site(reply(), host="files.example.com", address="8.8.8.8")
    return net.endpoint(f"https://localhost:{site.port}"), ConnectionFailedError, Sent.NOT_SENT


async def reset_after_the_request(net, reply):
    async def answer(seen, writer):
        reset(writer)

    return net.endpoint(await net.site(answer)), ConnectionFailedError, Sent.UNKNOWN


async def closed_after_the_request(net, reply):
    async def answer(seen, writer):
        writer.transport.abort()

    return net.endpoint(await net.site(answer)), ConnectionFailedError, Sent.UNKNOWN


async def cut_head(net, reply):
    async def answer(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-")
        writer.close()

    return net.endpoint(await net.site(answer)), ConnectionFailedError, Sent.UNKNOWN


async def cut_body(net, reply):
    async def answer(seen, writer):
        writer.write(reply(b"half", length=8))
        writer.close()

    return net.endpoint(await net.site(answer)), ConnectionFailedError, Sent.UNKNOWN


async def cut_chunks(net, reply):
    async def answer(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal")
        await writer.drain()
        reset(writer)

    return net.endpoint(await net.site(answer)), ConnectionFailedError, Sent.UNKNOWN


async def no_http(net, reply):
    return net.endpoint(await net.site(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")), MalformedOutputError, Sent.UNKNOWN


async def endless_head(net, reply):
    async def answer(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"y" * 1000 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    return net.endpoint(await net.site(answer)), MalformedOutputError, Sent.UNKNOWN


async def silent(net, reply):
    return net.endpoint(await net.site(silence)), ProviderTimeoutError, Sent.UNKNOWN


async def silent_body(net, reply):
    async def answer(seen, writer):
        writer.write(reply(b"half", length=8))
        await silence(seen, writer)

    return net.endpoint(await net.site(answer)), ProviderTimeoutError, Sent.UNKNOWN


async def announced_too_long(net, reply):
    return net.endpoint(await net.site(reply(b"x", length=10**9))), MalformedOutputError, Sent.UNKNOWN


async def endless_body(net, reply):
    async def answer(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 5000)
            await writer.drain()
            await asyncio.sleep(0)

    return net.endpoint(await net.site(answer)), MalformedOutputError, Sent.UNKNOWN


async def bomb(net, reply):
    packed = gzip.compress(b"\0" * (20 << 20))
    return net.endpoint(await net.site(reply(packed, content_encoding="gzip"))), MalformedOutputError, Sent.UNKNOWN


async def broken_gzip(net, reply):
    return net.endpoint(await net.site(reply(b"no gzip", content_encoding="gzip"))), MalformedOutputError, Sent.UNKNOWN


async def cut_gzip(net, reply):
    packed = gzip.compress(b"abcdefgh" * 50)[:-9]
    return net.endpoint(await net.site(reply(packed, content_encoding="gzip"))), MalformedOutputError, Sent.UNKNOWN


async def more_after_gzip(net, reply):
    packed = gzip.compress(b"a") + b"more"
    return net.endpoint(await net.site(reply(packed, content_encoding="gzip"))), MalformedOutputError, Sent.UNKNOWN


async def strange_encoding(net, reply):
    return net.endpoint(await net.site(reply(b"x", content_encoding="br"))), MalformedOutputError, Sent.UNKNOWN


FAULTS = [
    no_name, refused, no_tls, wrong_certificate, reset_after_the_request, closed_after_the_request, cut_head, cut_body,
    cut_chunks, no_http, endless_head, silent, silent_body, announced_too_long, endless_body, bomb, broken_gzip, cut_gzip,
    more_after_gzip, strange_encoding,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("streamed", [False, True], ids=["send", "stream"])
async def test_faults(net, reply, key, fault, streamed):
    """Every fault has its kind, says whether the request can have left, names the place, and tells no secret."""
    http, kind, sent = await fault(net, reply)
    limits = HttpLimits(
        connect=0.2 if fault is no_tls else 2.0,
        read=0.1 if fault in (silent, silent_body) else 5.0,
        total=10.0,
        max_bytes=1 << 20,
    )
    about = {"json": {"a": 1}, "headers": {"authorization": f"Bearer {key}"}, "query": {"sig": key}, "limits": limits}

    async def call():
        if not streamed:
            return await http.send("POST", "/paid", **about)
        async with http.stream("POST", "/paid", **about) as stream:
            return [piece async for piece in stream.pieces()]

    with pytest.raises(ProviderError) as caught:
        await call()
    error = caught.value
    assert (type(error), error.sent) == (kind, sent)
    assert str(error).startswith("POST http")
    assert "/paid: " in str(error)
    assert key not in f"{error!r}{error}{''.join(traceback.format_exception(error))}"
    assert error.__cause__ is None


async def test_total_time(net, reply):
    """The whole exchange is bounded: while the head is awaited, and while a body drips, even a body without an end mark."""

    async def drip(seen, writer):
        if seen.target == "/body":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"H" if seen.target == "/body" else b"")
            await asyncio.sleep(0.01)

    site = await net.site(drip)
    limits = HttpLimits(connect=2.0, read=2.0, total=0.1)
    for path in ("/head", "/body"):
        with pytest.raises(ProviderTimeoutError, match=r"not done after 0\.1 s") as caught:
            await net.endpoint(site).send("GET", path, limits=limits)
        assert caught.value.sent is Sent.UNKNOWN


async def test_connect_in_vain(net, monkeypatch):
    """A host that does not answer the connection is a time-out, and nothing was sent."""
    http = net.endpoint("http://127.0.0.1:9")

    async def never(*arguments, **options):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    with pytest.raises(ProviderTimeoutError, match="no connection in time") as caught:
        await http.send("GET", "/x", limits=HttpLimits(connect=0.05))
    assert caught.value.sent is Sent.NOT_SENT


async def test_an_idle_connection_that_ended(net, reply):
    """A connection which the server closed while it was idle is not used again."""

    async def once(seen, writer):
        writer.write(reply(b"ok"))
        await writer.drain()
        writer.close()

    site = await net.site(once)
    http = net.endpoint(site)
    for _ in range(3):
        assert (await http.send("POST", "/x", json={})).body == b"ok"
        await asyncio.sleep(0.01)
    assert site.connections == 3


async def test_closed_before_the_request(net, reply):
    """A connection that is known to be closed before the first byte is given away: nothing was sent."""
    site = await net.site(reply(b"ok"))
    http = net.endpoint(site)
    await http.send("GET", "/x")
    (connections,) = net.pool._connections.values()
    (idle, _), *_ = connections._idle
    idle.has_expired = lambda: False  # as if it had been closed right after this look
    idle._connection._network_stream._transport.abort()
    await asyncio.sleep(0)
    with pytest.raises(ConnectionFailedError, match="closed before the request left") as caught:
        await http.send("POST", "/paid", json={})
    assert caught.value.sent is Sent.NOT_SENT
    assert len(site.requests) == 1


async def test_an_early_refusal(net, reply):
    """A server which refuses a large body before it has read it is heard."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"too large", "413 Content Too Large", connection="close"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        http = net.endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            answered = (await http.send("POST", "/x", json={"a": "x" * (8 << 20)})).status
        except ConnectionFailedError as error:  # the reset may overtake the answer (RFC 9112, 9.6)
            answered = error.sent
        assert answered in (413, Sent.UNKNOWN)


async def test_cancelled(net, reply):
    """A call that is cancelled closes its connection, and its place is free again."""
    site = await net.site(silence)
    http = net.endpoint(site)
    task = asyncio.ensure_future(http.send("GET", "/x"))
    while not site.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (connections,) = net.pool._connections.values()
    assert (connections._free._value, len(connections._idle), len(connections._busy)) == (512, 0, 0)


async def test_many_in_flight(net, reply):
    """256 calls at once share their connections, and the next ones use what is idle."""
    site = await net.site(reply(b"ok"))
    http = net.endpoint(site)
    for _ in range(2):
        assert {each.status for each in await asyncio.gather(*(http.send("GET", "/x") for _ in range(256)))} == {200}
    assert site.connections <= 256


async def test_no_free_connection(net, reply, monkeypatch):
    """Who waits too long for a connection has sent nothing."""
    monkeypatch.setattr("callsheet.transfer.pool.MOST_CONNECTIONS", 1)
    site = await net.site(silence)
    http = net.endpoint(site)
    first = asyncio.ensure_future(http.send("GET", "/x"))
    while not site.requests:
        await asyncio.sleep(0)
    with pytest.raises(ProviderTimeoutError, match="no free connection") as caught:
        await http.send("GET", "/y", limits=HttpLimits(connect=0.05))
    assert caught.value.sent is Sent.NOT_SENT
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_proxy_of_the_environment(net, reply, monkeypatch):
    """A request to a provider goes through the environment's proxy, one to loopback does not, a bad proxy is named."""
    proxy = await net.site(reply(b"proxied"))
    direct = await net.site(reply(b"direct"))
    monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
    assert (await net.endpoint("http://api.example.com/v1").send("GET", "/x")).body == b"proxied"
    assert proxy.requests[0].target == "http://api.example.com:80/v1/x"
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert (await net.endpoint(direct).send("GET", "/x")).body == b"direct"
    monkeypatch.setenv("http_proxy", "socks5://user:pass@127.0.0.1:1")
    with pytest.raises(ConfigError, match="the proxy in HTTP_PROXY") as caught:
        await net.endpoint("http://other.example.com").send("GET", "/x")
    assert "pass" not in str(caught.value)


async def test_the_client_for_sdks(net, reply):
    """An SDK gets one shared client, which is closed with the pool."""
    site = await net.site(reply(b"{}"))
    http = net.endpoint(site)
    client = http.sdk_client
    assert isinstance(client, httpx2.AsyncClient)
    assert client is net.endpoint("https://api.example.com").sdk_client
    assert (await client.get(f"http://127.0.0.1:{site.port}/x")).json() == {}
    assert not client.follow_redirects
    await net.pool.aclose()
    assert client.is_closed
    await net.pool.aclose()


async def test_a_reply_that_is_no_json(net, reply):
    """A reply that is no JSON says how it begins."""
    site = await net.site(reply(b"<html>busy</html>"))
    answer = await net.endpoint(site).send("GET", "/x")
    with pytest.raises(MalformedOutputError, match="<html>busy") as caught:
        answer.json()
    assert (caught.value.kind, caught.value.sent) == (ErrorKind.MALFORMED_OUTPUT, Sent.UNKNOWN)
    assert "busy" not in repr(replace(answer, body=json.dumps("busy").encode()))
