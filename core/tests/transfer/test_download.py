"""The guarded way in: what is fetched, what is refused and how it is said, and who sees the key."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import zlib
from dataclasses import replace

import pytest

from callsheet.errors import (
    ConnectionFailedError,
    MalformedOutputError,
    OverloadedError,
    ProviderError,
    ProviderTimeoutError,
    Sent,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 20
HOST, ADDRESS = "files.example.com", "93.184.215.14"
LINK = f"https://{HOST}/a/picture.png?signature=s3cret"


async def test_a_file(net, reply, key):
    """A public link is resolved once, connected at the address that was checked, and stored under its digest, without the key."""
    site = await net.site(reply(PNG, content_type="image/png"), host=HOST, address=ADDRESS)
    file = await net.transfer().download(LINK, "image/png", "still.png", headers={"authorization": key})
    assert (file.sha256, file.bytes, file.media_type, file.name) == (
        hashlib.sha256(PNG).hexdigest(),
        len(PNG),
        "image/png",
        "still.png",
    )
    assert await net.blobs.read(file) == PNG
    assert (net.looked_up, net.wire.connected) == ([HOST], [(ADDRESS, 443)])
    assert site.requests[0].target == "/a/picture.png?signature=s3cret"
    assert site.requests[0].headers["host"] == HOST
    assert "authorization" not in site.requests[0].headers


async def test_the_own_origin(net, reply, key):
    """A link to the configured origin gets the key, on loopback and without TLS as well; nothing is resolved for it."""
    site = await net.site(reply(PNG))
    url = f"http://127.0.0.1:{site.port}/files/1"
    await net.transfer(site).download(url, "image/png", headers={"authorization": key})
    assert site.requests[0].headers["authorization"] == key
    assert net.looked_up == []


async def test_the_key_stays(net, reply, key):
    """A redirect to another host goes without the key, and back to the origin it is a link like any other."""
    elsewhere = await net.site(reply(PNG), host=HOST, address=ADDRESS)
    own = await net.site(reply(status="302 Found", location=LINK))
    url = f"http://127.0.0.1:{own.port}/files/1"
    headers = {"authorization": key, "api-key": key}
    await net.transfer(own).download(url, "image/png", headers=headers)
    assert own.requests[0].headers["authorization"] == key
    assert not [each for each in elsewhere.requests if key in str(each)]
    elsewhere.answer = reply(status="302 Found", location=url)
    with pytest.raises(MalformedOutputError, match="it is not https"):
        await net.transfer(own).download(url, "image/png", headers=headers)
    assert len(own.requests) == 2


async def test_redirects_within_the_origin(net, reply, key):
    """A redirect within the origin keeps the key; a relative one is understood."""

    async def answer(seen, writer):
        writer.write(
            reply(status="307 Temporary Redirect", location="../b?x=1") if seen.target == "/a/a" else reply(PNG)
        )

    own = await net.site(answer)
    await net.transfer(own).download(f"http://127.0.0.1:{own.port}/a/a", "image/png", headers={"authorization": key})
    assert [(each.target, each.headers["authorization"]) for each in own.requests] == [("/a/a", key), ("/b?x=1", key)]


LINKS = {
    "http": (f"http://{HOST}/x?sig=s3cret", "it is not https"),
    "file": ("file:///etc/passwd", "its scheme is 'file'"),
    "data": ("data:image/png;base64,AAAA", "its scheme is 'data'"),
    "javascript": ("javascript:alert(1)", "its scheme is 'javascript'"),
    "ftp": (f"ftp://{HOST}/x", "its scheme is 'ftp'"),
    "no-scheme": (f"//{HOST}/x", "its scheme is"),
    "nothing": ("", "its scheme is"),
    "no-host": ("https:///x", "its scheme is"),
    "user-name": (f"https://user:s3cret@{HOST}/x", "it has a user name"),
    "user-that-looks-like-the-host": (f"https://{HOST}@evil.example.org/x", "it has a user name"),
    "loopback": ("https://127.0.0.1/x", "its address is loopback"),
    "loopback-name": ("https://localhost/x", "is loopback"),
    "private": ("https://10.0.0.1/x", "its address is private"),
    "metadata": ("https://169.254.169.254/latest/meta-data/", "its address is link-local"),
    "ipv6-loopback": ("https://[::1]/x", "not a public IPv6 address"),
    "ipv6-metadata": ("https://[fd00:ec2::254]/x", "not a public IPv6 address"),
    "ipv4-mapped": ("https://[::ffff:127.0.0.1]/x", "not a public IPv6 address"),
    "nat64": ("https://[64:ff9b::169.254.169.254]/x", "link-local"),
    "6to4": ("https://[2002:7f00:1::]/x", "6to4"),
    "zone": ("https://[fe80::1%25eth0]/x", "not a public IPv6 address"),
    "hexadecimal": ("https://0x7f000001/x", "odd spelling"),
    "decimal": ("https://2130706433/x", "odd spelling"),
    "short": ("https://127.1/x", "odd spelling"),
    "octal": ("https://0177.0.0.1/x", "odd spelling"),
    "full-width": ("https://１２７.０.０.１/x", "its address is loopback"),
    "trailing-dot": ("https://127.0.0.1./x", "its address is loopback"),
    "port-0": (f"https://{HOST}:0/x", "its port is 0"),
    "port-too-large": (f"https://{HOST}:99999/x", "it is no URL"),
    "line-break": (f"https://{HOST}/x\r\nx: y", "characters that no URL has"),
    "backslash": (f"https://{HOST}\\@evil.example.org/x", "characters that no URL has"),
    "space": (f"https://{HOST}/a b", "characters that no URL has"),
    "bidirectional": (f"https://{HOST}/\u202egnp.exe", "characters that no URL has"),
    "endless": (f"https://{HOST}/{'x' * 20_000}", "characters that no URL has, or too many"),
    "broken-brackets": ("https://[::1/x", "it is no URL"),
}


@pytest.mark.parametrize(("url", "why"), LINKS.values(), ids=LINKS)
async def test_links_that_are_refused(net, reply, url, why):
    """A link that leads elsewhere than to https on a public host is refused before anything is connected, in one clear line."""
    net.names["localhost"] = [["127.0.0.1"]]
    with pytest.raises(MalformedOutputError, match=why) as caught:
        await net.transfer().download(url, "image/png")
    text = str(caught.value)
    assert text.startswith("the provider's link")
    assert "not fetched" in text
    assert text.isprintable()
    assert len(text) < 300
    assert "s3cret" not in text
    assert (net.wire.connected, net.stored, caught.value.sent) == ([], [], Sent.FINISHED)
    own = await net.site(reply(status="302 Found", location=url))
    if url and "\r" not in url and url.isascii():
        with pytest.raises(MalformedOutputError):
            await net.transfer(own).download(f"http://127.0.0.1:{own.port}/x", "image/png")
        assert net.wire.connected == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.9", "::1", "::ffff:a00:1", "fd00:ec2::254", "64:ff9b::a00:1"])  # fmt: skip
async def test_names_that_lead_inside(net, address):
    """A public name with an address that is not public is refused, also when another of its addresses is."""
    net.names[HOST] = [[ADDRESS, address]]
    with pytest.raises(MalformedOutputError, match=rf"leads to {HOST}, whose address {address} is "):
        await net.transfer().download(LINK, "image/png")
    assert net.wire.connected == []


async def test_a_name_that_changes(net, reply):
    """A name that is public when it is checked and private when it is asked again is asked once: the connection is pinned."""
    site = await net.site(reply(PNG), host=HOST, address=ADDRESS)
    net.names[HOST] = [[ADDRESS], ["127.0.0.1"]]
    await net.transfer().download(LINK, "image/png")
    assert net.wire.connected == [(ADDRESS, 443)]
    with pytest.raises(MalformedOutputError, match=r"127\.0\.0\.1 is loopback"):
        await net.transfer().download(LINK, "image/png")
    assert len(site.requests) == 1


async def test_another_servers_certificate(net, reply):
    """The certificate has to be the name's: who answers at the address alone is refused."""
    await net.site(reply(PNG), host="other.example.com", address=ADDRESS)
    with pytest.raises(ConnectionFailedError, match=r"other\.example\.com") as caught:
        await net.transfer().download("https://other.example.com/x", "image/png")
    assert caught.value.sent is Sent.UNKNOWN


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/", "https://10.0.0.1/", "http://localhost:6379/", "file:///etc/passwd", "gopher://x.example/", "//[::1]/x", "https://evil.example.org/", ""])  # fmt: skip
async def test_redirects_that_are_refused(net, reply, location):
    """Every hop is judged like the first one."""
    net.names["evil.example.org"] = [["192.168.0.1"]]
    await net.site(reply(status="302 Found", location=location), host=HOST, address=ADDRESS)
    with pytest.raises(MalformedOutputError, match=r"not fetched"):
        await net.transfer().download(LINK, "image/png")
    assert net.wire.connected == [(ADDRESS, 443)]


async def test_a_redirect_loop(net, reply):
    """More than five redirects are refused."""
    site = await net.site(reply(status="302 Found", location=LINK), host=HOST, address=ADDRESS)
    with pytest.raises(MalformedOutputError, match="more than 5 redirects"):
        await net.transfer().download(LINK, "image/png")
    assert len(site.requests) == 6


WEBP = b"RIFF\x24\0\0\0WEBPVP8 "
MP4 = b"\0\0\0\x18ftypisom\0\0\0\0"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
LIES = {
    "html-for-png": (HTML, "image/png", "image/png", "image/png was asked for, and this is text/html"),
    "html-declared": (b"Sign in", "text/html", "audio/pcm", "this is text/html"),
    "html-for-anything": (HTML, "application/octet-stream", "*/*", "this is text/html"),
    "html-for-text": (HTML, "text/plain", "text/plain", "this is text/html"),
    "script-for-csv": (b"<script>alert(1)</script>", "text/csv", "text/csv", "this is text/html"),
    "svg-for-image": (SVG, "image/svg+xml", "image/*", "this is image/svg"),
    "svg-for-png": (SVG, "image/png", "image/png", "this is image/svg"),
    "xml-for-mp3": (b"<?xml version='1.0'?><Error/>", "application/xml", "audio/mpeg", "this is application/xml"),
    "json-for-pcm": (b'{"error": "quota"}', "application/json", "audio/pcm", "this is application/json.*quota"),
    "json-for-png": (b'{"error": "quota"}', "image/png", "image/png", "this is no known signature"),
    "webp-for-png": (WEBP, "image/png", "image/png", "image/png was asked for, and this is image/webp"),
    "png-for-json": (PNG, "application/json", "application/json", "this is image/png"),
    "png-for-wav": (PNG, "audio/wav", "audio/wav", "this is image/png"),
    "png-for-pcm": (PNG, "audio/pcm", "audio/pcm", "this is image/png"),
    "video-for-image": (MP4, "image/png", "image/*", "this is video/mp4"),
    "mp4-for-avif": (MP4, "image/avif", "image/avif", "this is video/mp4"),
    "program-for-png": (b"\x7fELF\2\1\1", "image/png", "image/png", "no known signature"),
    "program-for-image": (b"MZ\x90\0", "image/png", "image/*", "no known signature"),
    "binary-for-text": (b"a\0b", "text/plain", "text/plain", "this is binary data"),
    "words-for-json": (b"Service busy", "application/json", "application/json", "this is binary data"),
    "nothing": (b"", "image/png", "image/png", "the file is empty; image/png was asked for"),
}


@pytest.mark.parametrize(("body", "declared", "asked", "why"), LIES.values(), ids=LIES)
async def test_lies(net, reply, body, declared, asked, why):  # noqa: PLR0917
    """A file that is not what was asked for is refused, with both types, and nothing is stored: by link and by reply."""
    site = await net.site(reply(body, content_type=declared))
    transfer = net.transfer(site)
    with pytest.raises(MalformedOutputError, match=why):
        await transfer.download(f"http://127.0.0.1:{site.port}/x", asked)
    async with transfer.endpoint.stream("POST", "/x") as stream:
        with pytest.raises(MalformedOutputError, match=why):
            await transfer.receive(stream, asked)
    assert net.stored == []


TRUE = {
    "any-image": (WEBP, "image/*", "image/webp"),
    "any": (PNG, "*/*", "image/png"),
    "parameters": (PNG, "image/PNG; q=1", "image/png"),
    "jpg": (b"\xff\xd8\xff\xe0", "image/jpg", "image/jpeg"),
    "gif": (b"GIF89a", "image/gif", "image/gif"),
    "mp3": (b"\xff\xfb\x90\x44", "audio/mp3", "audio/mpeg"),
    "mp3-with-tags": (b"ID3\4\0", "audio/mpeg", "audio/mpeg"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "audio/x-wav", "audio/wav"),
    "flac": (b"fLaC", "audio/flac", "audio/flac"),
    "aac": (b"\xff\xf1\x50", "audio/aac", "audio/aac"),
    "opus": (b"OggS\0\2" + b"\0" * 22 + b"OpusHead", "audio/ogg", "audio/opus"),
    "vorbis": (b"OggS\0\2", "audio/ogg", "audio/ogg"),
    "m4a": (MP4, "audio/mp4", "audio/mp4"),
    "mp4": (MP4, "video/mp4", "video/mp4"),
    "mov": (b"\0\0\0\x14ftypqt  ", "video/quicktime", "video/quicktime"),
    "weba": (b"\x1aE\xdf\xa3", "audio/webm", "audio/webm"),
    "pcm": (b"\0\1\0\2", "audio/pcm", "audio/pcm"),
    "pcm-like-mp3": (b"\xff\xfb\0\1", "audio/pcm;rate=24000", "audio/pcm"),
    "svg": (SVG, "image/svg+xml", "image/svg+xml"),
    "html": (HTML, "text/html", "text/html"),
    "json": (b' {"a": 1}', "application/json", "application/json"),
    "jsonl": (b'{"a": 1}\n{"a": 2}', "application/jsonl", "application/jsonl"),
    "vtt": (b"WEBVTT\n", "text/vtt", "text/vtt"),
    "unknown": (b"\1\2\3", "application/octet-stream", "application/octet-stream"),
}


@pytest.mark.parametrize(("body", "asked", "stored"), TRUE.values(), ids=TRUE)
async def test_true_types(net, reply, body, asked, stored):
    """A file of the type that was asked for is stored with its true type, whatever the server calls it."""
    site = await net.site(reply(body, content_type="application/octet-stream"))
    transfer = net.transfer(site)
    async with transfer.endpoint.stream("GET", "/x") as stream:
        assert (await transfer.receive(stream, asked)).media_type == stored


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error", "302 Found"])
async def test_a_reply_that_is_an_error(net, reply, status):
    """`receive` takes no error's body for a file."""
    site = await net.site(reply(PNG, status))
    transfer = net.transfer(site)
    async with transfer.endpoint.stream("GET", "/x") as stream:
        with pytest.raises(MalformedOutputError, match=f"answered with the status {status[:3]}"):
            await transfer.receive(stream, "image/png")
    assert net.stored == []


async def too_long(net, reply):
    return (
        reply(b"", length=2 << 20),
        MalformedOutputError,
        "at most 1,048,576 bytes is taken, and this one announces 2,097,152",
    )


async def endless(net, reply):
    async def answer(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + PNG[:8] + b"\0" * 4088 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)  # `drain` alone lets nobody else in

    return answer, MalformedOutputError, "is longer"


async def bomb(net, reply):
    packed = gzip.compress(PNG + b"\0" * (30 << 20))
    return reply(packed, content_encoding="gzip"), MalformedOutputError, "longer when it is decoded"


async def double_bomb(net, reply):
    packed = gzip.compress(gzip.compress(b"\0" * (30 << 20)))
    return reply(packed, content_encoding="gzip, gzip"), MalformedOutputError, "which nobody asked for"


async def other_bomb(net, reply):
    return (
        reply(zlib.compress(b"\0" * (30 << 20)), content_encoding="deflate"),
        MalformedOutputError,
        "nobody asked for",
    )


async def unknown_encoding(net, reply):
    return reply(b"(\xb5/\xfd", content_encoding="zstd"), MalformedOutputError, "'zstd', which nobody asked for"


async def silent(net, reply):
    async def answer(seen, writer):
        await asyncio.Event().wait()

    return answer, ProviderTimeoutError, "no answer in time"


async def dripping(net, reply):
    async def answer(seen, writer):
        writer.write(reply(PNG, length=10_000))
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    return answer, ProviderTimeoutError, "not done after"


async def shorter(net, reply):
    async def answer(seen, writer):
        writer.write(reply(PNG, length=10_000))
        writer.close()

    return answer, ConnectionFailedError, "the connection was cut"


async def expired(net, reply):
    return reply(b"<Error/>", "403 Forbidden"), MalformedOutputError, "the server answered 403 and gives no file"


async def gone(net, reply):
    return reply(b"", "404 Not Found"), MalformedOutputError, "answered 404"


async def partial(net, reply):
    return reply(PNG, "206 Partial Content"), MalformedOutputError, "answered 206"


async def busy(net, reply):
    return reply(b"", "503 Service Unavailable"), OverloadedError, "answered 503"


HOSTILE = [too_long, endless, bomb, double_bomb, other_bomb, unknown_encoding, silent, dripping, shorter, expired, gone, partial, busy]  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.__name__)
async def test_hostile_bodies(net, reply, quick, key, case):
    """Bodies that are too long, too slow, cut or none are refused, with the place, and nothing is left; the paid call stays so."""
    answer, kind, why = await case(net, reply)
    await net.site(answer, host=HOST, address=ADDRESS)
    limits = replace(quick, read=0.3, total=0.5) if case in (silent, dripping) else quick
    with pytest.raises(ProviderError, match=why) as caught:
        await net.transfer(limits=limits).download(LINK, "image/png", headers={"authorization": key})
    assert type(caught.value) is kind
    assert f"https://{HOST}/a/picture.png: " in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.sent in (Sent.UNKNOWN, Sent.FINISHED)
    assert net.stored == []
    assert not list((net.blobs.folder / "tmp").iterdir())


@pytest.mark.parametrize("fault", ["no-name", "refused"])
async def test_no_way_there(net, reply, fault):
    """A link whose host cannot be reached: the file was paid for, so it is not 'not sent'."""
    await net.site(reply(PNG), host=HOST, address=ADDRESS)
    if fault == "no-name":
        net.names.clear()
    else:
        net.wire.routes[ADDRESS] = 1
    with pytest.raises(ConnectionFailedError, match="no connection") as caught:
        await net.transfer().download(LINK, "image/png")
    assert caught.value.sent is Sent.UNKNOWN


@pytest.mark.parametrize(("status", "wait"), [("503 Service Unavailable", 7.0), ("429 Too Many Requests", 7.0)])
async def test_a_server_that_is_busy_says_when_to_come_again(net, reply, status, wait):
    """Its Retry-After is in the error, for whoever tries again."""
    await net.site(reply(b"", status, retry_after="7"), host=HOST, address=ADDRESS)
    with pytest.raises(OverloadedError) as caught:
        await net.transfer().download(LINK, "image/png")
    assert (caught.value.retry_after, caught.value.sent) == (wait, Sent.UNKNOWN)


@pytest.mark.parametrize(
    ("name", "headers", "wait"),
    [
        ("X-Wait-Ms", {"x_wait_ms": "1500"}, 1.5),
        ("x-wait-ms", {"x_wait_ms": "1500", "retry_after": "7"}, 1.5),
        ("x-wait-ms", {"retry_after": "7"}, 7.0),
        ("x-wait-ms", {}, None),
    ],
)
async def test_a_vendor_says_in_a_header_of_its_own_when_to_come_again(net, reply, name, headers, wait):
    """In milliseconds, however its plugin writes it; without it, in Retry-After."""
    await net.site(reply(b"", "429 Too Many Requests", **headers), host=HOST, address=ADDRESS)
    with pytest.raises(OverloadedError) as caught:
        await net.transfer().download(LINK, "image/png", wait_header=name)
    assert caught.value.retry_after == wait


class Cutting:
    """Gives a file in portions, cutting each; knows ranges unless `ranges` is off."""

    def __init__(self, body, reply, *, portion=60_000, ranges=True, **headers):
        self.body, self.reply, self.portion, self.ranges, self.headers = body, reply, portion, ranges, headers
        self.asked = []

    async def __call__(self, seen, writer):
        start = int(seen.headers.get("range", "bytes=0-")[6:-1])
        self.asked.append((start, seen.headers.get("if-range", "")))
        rest = self.body[start:] if self.ranges else self.body
        where = {"content_range": f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"} if start else {}
        status = "206 Partial Content" if start and self.ranges else "200 OK"
        writer.write(self.reply(rest[: self.portion], status, length=len(rest), **(where | self.headers)))
        await writer.drain()
        writer.close()


LONG = PNG[:8] + os.urandom(200_000)


async def test_a_cut_file_is_continued(net, reply):
    """A file that is cut again and again is continued where it ended, while the server says that it is the same."""
    cutting = Cutting(LONG, reply, etag='"v1"')
    await net.site(cutting, host=HOST, address=ADDRESS)
    file = await net.transfer().download(LINK, "image/png")
    assert file.sha256 == hashlib.sha256(LONG).hexdigest()
    assert cutting.asked == [(0, ""), (60_000, '"v1"'), (120_000, '"v1"'), (180_000, '"v1"')]


@pytest.mark.parametrize(
    ("headers", "asked"),
    [({}, 1), ({"etag": 'W/"v1"'}, 1), ({"etag": '"v1"', "accept_ranges": "none"}, 1), ({"last_modified": "Sat, 21 Nov 2026 10:00:00 GMT"}, 4)],
    ids=["no-validator", "weak", "no-ranges", "date"],
)  # fmt: skip
async def test_what_can_be_continued(net, reply, headers, asked):
    """Without a strong validator nothing is continued: it could be another file's rest."""
    cutting = Cutting(LONG, reply, **headers)
    await net.site(cutting, host=HOST, address=ADDRESS)
    if asked == 1:
        with pytest.raises(ConnectionFailedError, match="cut"):
            await net.transfer().download(LINK, "image/png")
    else:
        await net.transfer().download(LINK, "image/png")
    assert len(cutting.asked) == asked


@pytest.mark.parametrize("case", ["changed", "wrong-start", "wrong-length", "too-often"])
async def test_what_is_no_continuation(net, reply, case):
    """A server that gives another part, another file, another length or no end is refused, and nothing is stored."""
    headers = {"etag": '"v1"'}
    if case == "wrong-start":
        headers["content_range"] = "bytes 5-200007/200008"
    if case == "wrong-length":
        headers["content_range"] = "bytes 150000-200007/999999"
    portion = {"too-often": 10_000, "wrong-length": 150_000}.get(case, 60_000)
    cutting = Cutting(LONG, reply, portion=portion, ranges=case != "changed", **headers)
    await net.site(cutting, host=HOST, address=ADDRESS)
    with pytest.raises(ProviderError) as caught:
        await net.transfer().download(LINK, "image/png")
    assert caught.value.sent is Sent.UNKNOWN
    assert len(cutting.asked) == (5 if case == "too-often" else 2)
    assert net.stored == []


NAMES = {
    "path": ("../../etc/passwd", "passwd"),
    "windows": ("..\\..\\boot.ini", "boot.ini"),
    "absolute": ("/etc/cron.d/x", "x"),
    "hidden": (".bashrc", "bashrc"),
    "control": ("a\x1b[31m\n\0.png", "a[31m.png"),
    "bidirectional": ("a\u202egnp.exe", "agnp.exe"),
    "long": ("x" * 500, "x" * 120),
    "folder": ("..", ""),
    "none": ("", ""),
}


@pytest.mark.parametrize(("given", "kept"), NAMES.values(), ids=NAMES)
async def test_names(net, reply, given, kept):
    """A name is for people: what it holds never becomes a path, and a server's own is not taken."""
    site = await net.site(reply(PNG, content_disposition='attachment; filename="../../evil.sh"'))
    file = await net.transfer(site).download(f"http://127.0.0.1:{site.port}/..%2f..%2fevil", "image/png", given)
    assert file.name == kept
    assert net.blobs.path(file.sha256).is_relative_to(net.blobs.folder)


async def test_cancelled(net, reply):
    """A download that is cancelled leaves no draft and no connection."""

    async def answer(seen, writer):
        writer.write(reply(PNG + b"\0" * 100_000, length=10**6))
        await asyncio.Event().wait()

    site = await net.site(answer, host=HOST, address=ADDRESS)
    task = asyncio.ensure_future(net.transfer().download(LINK, "image/png"))
    while not site.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (net.stored, list((net.blobs.folder / "tmp").iterdir())) == ([], [])
