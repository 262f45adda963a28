"""The recorder: a loopback vendor is recorded once and played without it, by our client, httpx2 and httpx."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import httpx2
import pytest

from callsheet.errors import ConfigError, ConnectionFailedError, PluginError
from callsheet.http import FormFile, ServerSentEvent
from callsheet.testing import CassetteError, Exchange, Fault, LoopbackServer, PluginStage, Reply, event_stream, recorded
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool, Connections

KEY = "k3y-of-the-recorder-0123456789"
SOUND = bytes(range(256)) * 4
WORDS = ("lava", "ash\nsmoke", "steam")
DAY = 86_400.0
CLIENTS = {"httpx2": httpx2.AsyncClient, "httpx": httpx.AsyncClient}


def vendor() -> LoopbackServer:
    """Answers of each kind, a job that takes three polls, and all the secrets that an answer can hold."""
    server = LoopbackServer()
    polls = iter(["queued", "running", "done"] * 9)
    server.route("POST", "/say")(lambda request: {"text": f"{request.data.get('prompt')}!"})
    server.route("GET", "/jobs/1")(lambda _: {"status": next(polls)})
    server.route("GET", "/sound")(lambda _: Reply(200, SOUND, {"content-type": "audio/pcm"}))
    server.route("GET", "/words")(lambda _: Reply(200, event_stream([ServerSentEvent(word) for word in WORDS])))
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    server.route("GET", "/packed")(lambda _: Reply(200, gzip.compress(b'{"text": "steam"}'), packed))
    server.route("GET", "/brotli")(lambda _: Reply(200, b"\x0b\x02", {"content-encoding": "br"}))
    server.route("GET", "/broken")(lambda _: Reply(200, gzip.compress(b"steam")[:-4], packed))
    server.route("GET", "/newest")(newest)
    server.route("POST", "/form")(lambda request: {"sizes": [len(part.data) for part in request.parts]})
    server.route("GET", "/me", "me")(told_all)
    server.route("GET", "/file/{name}", "file")(lambda request: {"seen": request.query})
    server.route("GET", "/leak")(lambda _: Reply(200, b"\xff\x00" + KEY.encode(), {"content-type": "image/png"}))
    return server


def told_all(request: Exchange) -> Reply:
    """The key, the account, a signed link: in the body, in headers."""
    body = {
        "you": request.headers.get("authorization", ""),
        "account_id": "4711-of-mine",
        "owner": "org-Ab3dEf6hIj9kLm",
        "mail": "somebody@volcano.example",
        "url": "https://files.example/a.png?X-Amz-Credential=AKIAx&X-Amz-Signature=0f1e2d3c&size=2",
        "name": "Vesuvius Press",
    }
    return Reply(200, body, {"set-cookie": "sid=s3ssion-value", "x-organization": "mine", "x-request-id": "r-1"})


def newest(request: Exchange) -> Reply:
    """In the newest encoding that is taken."""
    if "br" in request.headers.get("accept-encoding", ""):
        return Reply(200, b"\x0b\x02", {"content-encoding": "br"})
    return Reply(200, gzip.compress(b"{}"), {"content-type": "application/json", "content-encoding": "gzip"})


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """One that runs."""
    with vendor() as running:
        yield running


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """Where nothing lies yet."""
    return tmp_path / "cassettes" / "one.json"


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch):
    """From its call on nobody can connect."""

    def refused(*_args: object, **_more: object) -> None:
        raise AssertionError("a connection was opened")

    def shut() -> None:
        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refused)
        monkeypatch.setattr(socket, "getaddrinfo", refused)

    return shut


async def by_our_client(origin: str) -> list[object]:
    """What our own client makes of each kind of answer."""
    pool = ConnectionPool()
    http = Endpoint(pool, origin)
    headers = {"authorization": f"Bearer {KEY}"}
    try:
        said = await http.send("POST", "/say", json={"prompt": "lava"}, headers=headers)
        polls = [(await http.send("GET", "/jobs/1")).json()["status"] for _ in range(3)]
        packed = await http.send("GET", "/packed")
        async with http.stream("GET", "/words") as reply:
            words = [event.data async for event in reply.events()]
        async with http.stream("GET", "/sound") as reply:
            sound = b"".join([piece async for piece in reply.pieces()])
        form = await http.send("POST", "/form", form={"a": "b"}, files=[FormFile("f", "n.wav", "audio/wav", SOUND)])
        return [said.json(), polls, packed.json(), words, sound, form.json()]
    finally:
        await pool.aclose()


async def by_library(library, origin: str) -> list[object]:
    """The same by another library."""
    headers = {"authorization": f"Bearer {KEY}"}
    async with library(base_url=origin) as client:
        said = await client.post("/say", json={"prompt": "lava"}, headers=headers)
        polls = [(await client.get("/jobs/1")).json()["status"] for _ in range(3)]
        packed = await client.get("/packed")
        async with client.stream("GET", "/words") as reply:
            words = [line.removeprefix("data: ") async for line in reply.aiter_lines() if line]
        async with client.stream("GET", "/sound") as reply:
            sound = b"".join([piece async for piece in reply.aiter_bytes()])
        form = await client.post("/form", data={"a": "b"}, files={"f": ("n.wav", SOUND, "audio/wav")})
        return [said.json(), polls, packed.json(), words, sound, form.json()]


async def test_our_client_is_recorded_and_played_without_a_socket(server, cassette, no_socket):
    """Whole answers, polls in order, events, bytes, a compressed body and a form; nothing of it is asked twice."""
    with recorded(cassette, "all"):
        first = await by_our_client(server.origin)
    assert first == [
        {"text": "lava!"}, ["queued", "running", "done"], {"text": "steam"}, list(WORDS), SOUND, {"sizes": [1, 1024]}
    ]  # fmt: skip
    asked = len(server.journal)
    no_socket()
    with recorded(cassette):
        assert await by_our_client(server.origin) == first
    assert len(server.journal) == asked == 8
    assert KEY not in cassette.read_text()


@pytest.mark.parametrize("name", CLIENTS)
async def test_other_clients_are_recorded_and_played_without_a_socket(server, cassette, no_socket, name):
    """Vendors' SDKs use httpx2 or httpx: both families are recorded alike."""
    with recorded(cassette, "new"):
        first = await by_library(CLIENTS[name], server.origin)
    assert first[1] == ["queued", "running", "done"]
    assert first[4] == SOUND
    no_socket()
    with recorded(cassette, "none"):
        assert await by_library(CLIENTS[name], server.origin) == first
    assert len(server.journal) == 8


@pytest.mark.parametrize("library", [httpx2.Client, httpx.Client], ids=["httpx2", "httpx"])
def test_clients_without_a_loop_are_recorded(server, cassette, no_socket, library):
    """Some SDKs are not asynchronous."""

    def asked() -> list[object]:
        with library(base_url=server.origin) as client, client.stream("GET", "/sound") as reply:
            sound = b"".join(reply.iter_bytes())
            return [sound, *(client.get("/jobs/1").json()["status"] for _ in range(2))]

    with recorded(cassette, "new"):
        assert asked() == [SOUND, "queued", "running"]
    no_socket()
    with recorded(cassette):
        assert asked() == [SOUND, "queued", "running"]


async def test_a_cut_answer_is_not_recorded(server, cassette):
    """Half of an answer is none: the error is the one that it is without a recording."""
    poll = partial(get, server, "/jobs/1")
    server.fail("GET /jobs/1", Fault(promise=1000))
    with recorded(cassette, "new"):
        with pytest.raises(ConnectionFailedError):
            await poll()
        assert await poll() == {"status": "running"}
    assert len(json.loads(cassette.read_text())["interactions"]) == 1
    assert server.open_connections <= 1


async def test_the_client_for_sdks_is_recorded(server, cassette, no_socket):
    """The one that `context.http.sdk_client` hands out, made before the recording began."""
    pool = ConnectionPool()
    client = pool.sdk_client
    with recorded(cassette, "new"):
        first = (await client.get(f"{server.origin}/packed")).json()
    no_socket()
    with recorded(cassette):
        assert (await client.get(f"{server.origin}/packed")).json() == first == {"text": "steam"}
    await pool.aclose()


async def test_one_client_plays_what_another_recorded(server, cassette):
    """A cassette says what was sent and answered, and nothing of a library."""
    with recorded(cassette, "all"):
        first = await by_our_client(server.origin)
    with recorded(cassette):
        again = await by_library(httpx2.AsyncClient, server.origin)
    assert again[0:3] == first[0:3]
    assert len(server.journal) == 8


async def test_new_asks_for_what_is_not_known(server, cassette):
    """What is there is played; the rest is recorded beside it, with its own day and the old one's kept."""
    with recorded(cassette, "new", clock=lambda: 0.0):
        await get(server, "/packed")
    with recorded(cassette, "new", clock=lambda: 9 * DAY):
        await get(server, "/packed")
        polls = [(await get(server, "/jobs/1"))["status"] for _ in range(3)]
    assert polls == ["queued", "running", "done"]
    assert [each.path for each in server.journal] == ["/packed", *["/jobs/1"] * 3]
    days = [each["recorded"] for each in json.loads(cassette.read_text())["interactions"]]
    assert days == ["1970-01-01", *["1970-01-10"] * 3]
    with recorded(cassette, "all"):
        await get(server, "/jobs/1")
    assert [each["request"]["url"] for each in json.loads(cassette.read_text())["interactions"]] == [
        f"{server.origin}/jobs/1"
    ]


async def get(server: LoopbackServer, path: str, **more) -> object:
    """One answer's JSON, by our client."""
    pool = ConnectionPool()
    try:
        return (await Endpoint(pool, server.origin).send("GET", path, **more)).json()
    finally:
        await pool.aclose()


async def say(server: LoopbackServer, **body) -> object:
    """One POST."""
    pool = ConnectionPool()
    try:
        return (await Endpoint(pool, server.origin).send("POST", "/say", json=body)).json()
    finally:
        await pool.aclose()


async def refused(cassette: Path, *asked, mode: str = "none", **more) -> str:
    """What the error says when these requests are made, one after the other."""

    async def carried_out() -> None:
        with recorded(cassette, mode, **more):
            for each in asked:
                await each()

    with pytest.raises(ConfigError) as caught:
        await carried_out()
    return str(caught.value)


async def test_nothing_secret_is_written(server, cassette, monkeypatch, caplog):
    """Keys, cookies, signatures, accounts: by value, by pattern, by what the author hides; the live answer is untouched."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv("SOME_OTHER_TOKEN", "Vesuvius-Press-0123456789")
    headers = {"authorization": f"Bearer {KEY}", "cookie": "sid=c00kie-value"}
    with recorded(cassette, "new", hide=["Vesuvius Press"]):
        live = await get(server, "/me", headers=headers, query={"api_key": "q" * 20})
    assert live["you"] == f"Bearer {KEY}"
    assert "0f1e2d3c" in live["url"]
    text = cassette.read_text()
    for secret in (
        KEY,
        "c00kie",
        "qqqqqq",
        "4711",
        "Ab3dEf",
        "somebody",
        "AKIAx",
        "0f1e2d3c",
        "Vesuvius",
        "s3ssion",
        "mine",
    ):
        assert secret not in text, secret
    assert KEY not in caplog.text
    assert logging.getLogger("vcr").level == logging.NOTSET
    with recorded(cassette, hide=["Vesuvius Press"]):
        played = await get(server, "/me", query={"api_key": "another"})
    assert played["url"] == ("https://files.example/a.png?X-Amz-Credential=redacted&X-Amz-Signature=redacted&size=2")
    assert json.loads(text)["interactions"][0]["response"]["headers"]["x-request-id"] == "r-1"


async def test_a_signed_link_is_followed_while_recording_and_found_while_playing(server, cassette):
    """The vendor sees the signature; the cassette has the link without it, and answers to it."""
    with recorded(cassette, "new"):
        live = await get(server, "/file/a", query={"sig": "s1gned-0123456789", "size": "2"})
    assert live == {"seen": {"sig": "s1gned-0123456789", "size": "2"}}
    assert "s1gned-0123456789" not in cassette.read_text()
    with recorded(cassette):
        await get(server, "/file/a", query={"sig": "redacted", "size": "2"})


async def test_a_secret_in_bytes_is_refused(server, cassette):
    """Nothing can be taken out of a picture: no cassette is written, and the error says where."""

    async def leak() -> None:
        async with httpx2.AsyncClient() as client:
            await client.get(f"{server.origin}/leak", headers={"x-api-key": KEY})

    before = Connections.open, Connections.close, httpx2.AsyncHTTPTransport.handle_async_request
    told = await refused(cassette, leak, mode="new")
    assert "interactions[0].response.body (GET" in told
    assert "/leak) shows what looks like a secret" in told
    assert not cassette.exists()
    assert before == (Connections.open, Connections.close, httpx2.AsyncHTTPTransport.handle_async_request)


async def test_a_cassette_with_a_secret_is_not_played(server, cassette):
    """One that somebody wrote or edited by hand."""
    with recorded(cassette, "new"):
        await get(server, "/packed")
    cassette.write_text(cassette.read_text().replace("steam", "sk-proj-0123456789abcdefXYZ"))
    assert "shows what looks like a secret" in await refused(cassette)


async def test_an_encoding_that_cannot_be_looked_through_is_refused(server, cassette):
    """A secret may stand in it."""

    async def asked() -> None:
        async with httpx2.AsyncClient() as client, client.stream("GET", f"{server.origin}/brotli"):
            """Its body is not read here."""

    assert "encoded as 'br'" in await refused(cassette, asked, mode="new")
    assert not cassette.exists()


@pytest.mark.parametrize(
    ("accepted", "asked"),
    [("gzip, deflate, br, zstd", "gzip, deflate"), ("br;q=1.0, GZIP;q=0.5, *;q=0.1", "GZIP;q=0.5"), ("br", "identity")],
)
async def test_only_encodings_that_can_be_kept_are_asked_for(server, cassette, accepted, asked):
    """Whatever a library reads: an answer that no cassette can hold would have been paid for all the same."""
    headers, url = {"accept-encoding": accepted}, f"{server.origin}/newest"
    with recorded(cassette, "all"):
        for library in CLIENTS.values():
            async with library() as client:
                assert (await client.get(url, headers=headers)).json() == {}
        for library in (httpx.Client, httpx2.Client):
            with library() as client:
                assert client.get(url, headers=headers).json() == {}
        assert await get(server, "/newest", headers=headers) == {}
    assert [each.headers["accept-encoding"] for each in server.journal] == [asked] * 5
    with httpx2.Client() as client, client.stream("GET", url, headers=headers):
        assert server.journal[-1].headers["accept-encoding"] == accepted


async def test_an_answer_that_does_not_decompress_is_named(server, cassette):
    """Half of a gzip that says it is whole: which request, and what is wrong."""

    async def asked() -> None:
        async with httpx2.AsyncClient() as client, client.stream("GET", f"{server.origin}/broken"):
            """Its body is not read here."""

    told = await refused(cassette, asked, mode="new")
    assert told.startswith(f"GET {server.origin}/broken: the reply is no whole gzip, as it says it is (")
    assert not cassette.exists()


async def test_a_changed_request_tells_what_has_changed(server, cassette, install_toy):
    """Where in the body, since when, by which version, and how to record it anew."""
    with recorded(cassette, "new", plugin=install_toy(), clock=lambda: 0.0):
        await say(server, prompt="lava", style={"mood": "calm"}, seed=1)
    document = json.loads(cassette.read_text())
    assert document["interactions"][0]["by"] == "callsheet-toy 1.0"
    document["interactions"][0]["by"] = "callsheet-toy 0.9"
    cassette.write_text(json.dumps(document))
    changed = partial(say, server, prompt="ash", style={"mood": "calm", "tone": "grey"})
    told = await refused(cassette, changed, plugin="callsheet_toy")
    assert told.splitlines() == [
        f"{cassette}: there is no answer to",
        f"  POST {server.origin}/say",
        "It has changed since it was recorded on 1970-01-01 by callsheet-toy 0.9 (now callsheet-toy 1.0):",
        '  $.prompt: "lava" was recorded, "ash" is sent',
        '  $.style.tone: is new: "grey"',
        "  $.seed: is missing; 1 was recorded",
        "To ask the vendor, which may cost money, run this test with CALLSHEET_RECORD=all and the vendor's key.",
    ]
    assert len(server.journal) == 1


async def test_an_unknown_request_and_one_too_many(server, cassette):
    """Each says what it is; the order of keys in JSON and the boundary of a form are no change."""
    with recorded(cassette, "new"):
        await say(server, prompt="lava", seed=1)
        await get(server, "/jobs/1", query={"page": "1"})
    with recorded(cassette):
        await say(server, seed=1, prompt="lava")
    assert "Nothing like it was recorded" in await refused(cassette, partial(get, server, "/packed"))
    turned = partial(get, server, "/jobs/1", query={"page": "2"})
    assert "query: page=1 was recorded, page=2 is sent" in await refused(cassette, turned)
    same = partial(say, server, prompt="lava", seed=1)
    assert "It was recorded 1 time, and is sent once more" in await refused(cassette, same, same)


async def test_an_error_that_is_swallowed_still_fails(server, cassette):
    """By an SDK that makes an error of its own of it, or by code that goes on as if nothing were."""
    with recorded(cassette, "new"):
        await get(server, "/packed")

    async def swallowed(error: type[Exception] | None) -> None:
        with recorded(cassette):
            try:
                await get(server, "/jobs/1")
            except CassetteError:
                if error is not None:
                    raise error("no connection") from None

    for error in (None, OSError):
        with pytest.raises(CassetteError, match="/jobs/1"):
            await swallowed(error)


async def test_an_error_of_the_test_is_its_own(server, cassette):
    """And what was asked until then is kept: it was paid for."""

    async def asked() -> None:
        with recorded(cassette, "new"):
            await get(server, "/packed")
            raise LookupError("of the test")

    with pytest.raises(LookupError, match="of the test"):
        await asked()
    with recorded(cassette):
        assert await get(server, "/packed") == {"text": "steam"}


async def test_half_a_recording_replaces_no_cassette(server, cassette):
    """Mode `all` over a block that fails: the old answers stay; where there were none, what was paid for is kept."""

    async def asked(failing: bool) -> None:
        with recorded(cassette, "all"):
            await get(server, "/packed")
            if failing:
                raise LookupError("of the test")
            await get(server, "/jobs/1")

    with pytest.raises(LookupError):
        await asked(failing=True)
    assert len(json.loads(cassette.read_text())["interactions"]) == 1
    await asked(failing=False)
    whole = cassette.read_bytes()
    with pytest.raises(LookupError):
        await asked(failing=True)
    assert cassette.read_bytes() == whole


async def test_a_stream_that_outlives_its_recording(server, cassette):
    """It is read and closed as any other; the client goes on."""
    pool = ConnectionPool()
    http = Endpoint(pool, server.origin)
    with recorded(cassette, "new"):
        left = http.stream("GET", "/words")
        reply = await left.__aenter__()
    assert [event.data async for event in reply.events()] == list(WORDS)
    await left.__aexit__(None, None, None)
    assert (await http.send("GET", "/packed")).json() == {"text": "steam"}
    await pool.aclose()


async def test_an_old_cassette_is_refused(server, cassette):
    """Above the limit in days, with both numbers; up to it, without a limit and while recording it is taken."""
    with recorded(cassette, "new", clock=lambda: 0.0):
        await get(server, "/packed")
    for days, mode in ((100, "none"), (None, "none"), (1, "new")):
        with recorded(cassette, mode, days=days, clock=lambda: 100 * DAY):
            await get(server, "/packed")
    told = await refused(cassette, days=100, clock=lambda: 101 * DAY)
    assert "was recorded on 1970-01-01, 101 days ago, and the test allows 100." in told
    assert "CALLSHEET_RECORD=all" in told
    assert len(server.journal) == 1


async def test_a_request_that_was_edited_is_refused(server, cassette):
    """Its digest says that nobody has asked the vendor this."""
    with recorded(cassette, "new"):
        await say(server, prompt="lava")
    cassette.write_text(cassette.read_text().replace('prompt\\":\\"lava', 'prompt\\":\\"snow'))
    assert f"interactions[0]: the request (POST {server.origin}/say) was edited" in await refused(cassette)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"callsheet_cassette": 1, "interactions": [{}]}', '{"a":' * 9, "[" * 99_999]
)
async def test_what_is_no_cassette(cassette, text):
    """Damaged files say that they are."""
    cassette.parent.mkdir()
    cassette.write_text(text)
    assert re.search(r"is no cassette .* record anew", await refused(cassette))


async def test_no_cassette_no_mode_another_format(cassette, monkeypatch):
    """Each says what to do."""
    assert re.search(r"no such cassette\..*CALLSHEET_RECORD=new", await refused(cassette))
    assert "none, new or all, and not 'once'" in await refused(cassette, mode="once")
    assert "'callsheet_nobody' is not installed" in await refused(cassette, mode="new", plugin="callsheet_nobody")
    cassette.parent.mkdir()
    cassette.write_text('{"callsheet_cassette": 2, "interactions": []}')
    assert "the format 2; this callsheet reads 1" in await refused(cassette)
    monkeypatch.setenv("CALLSHEET_RECORD", "all")
    with recorded(cassette) as recording:
        assert recording.recording
    assert cassette.read_text() == '{"callsheet_cassette": 2, "interactions": []}'


async def test_secrets_and_sleep(server, cassette, monkeypatch):
    """Real ones while recording, and real waits; made-up ones and none while playing."""
    monkeypatch.setenv("TOY_KEY", "real-but-short")
    monkeypatch.delenv("OTHER_KEY", raising=False)
    waits: list[float] = []

    async def waited(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", waited)
    with recorded(cassette, "new") as recording:
        assert recording.secrets("TOY_KEY") == {"TOY_KEY": "real-but-short"}
        with pytest.raises(CassetteError, match="to record, set OTHER_KEY"):
            recording.secrets("TOY_KEY", "OTHER_KEY")
        await recording.sleep(9.0)
        await say(server, prompt="what is real-but-short?")
    assert waits == [9.0]
    assert "real-but-short" not in cassette.read_text()
    with recorded(cassette) as recording:
        assert recording.secrets("TOY_KEY") == {"TOY_KEY": "none-is-needed-for-toy-key"}
        await recording.sleep(9e9)
    assert waits == [9.0]


async def test_a_key_in_a_body_is_the_same_request_while_playing(server, cassette, monkeypatch):
    """A made-up key stands where the real one was."""
    monkeypatch.setenv("TOY_KEY", "real-but-short")

    async def asked(mode: str) -> object:
        with recorded(cassette, mode) as recording:
            return await say(server, prompt="lava", whose=recording.secrets("TOY_KEY")["TOY_KEY"])

    assert await asked("new") == await asked("none") == {"text": "lava!"}
    assert len(server.journal) == 1


async def test_a_plugin_is_recorded_with_the_engine_around_it(server, cassette, tmp_path, install_toy, monkeypatch):
    """As the how-to page does it; a model that asks otherwise than was recorded fails with the cassette's words."""
    server.route("POST", "/answers")(lambda request: {"text": request.headers["authorization"][:7] + "!"})
    monkeypatch.setenv("TOY_KEY", KEY)
    entry = "__init__.py"
    stage = PluginStage(install_toy((entry, "def answers", "def made"), (entry, '"toy", answers', '"toy", made')))

    async def called(mode: str, prompt: str) -> str:
        with recorded(cassette, mode, plugin="callsheet_toy") as recording:
            given = {"secrets": recording.secrets("TOY_KEY"), "sleep": recording.sleep}
            async with stage.client(tmp_path / "p", base_url=server.origin, **given) as client:
                return (await client.call("toy:words", prompt=prompt)).artifacts[0].text

    assert await called("new", "lava") == "Bearer !"
    assert KEY not in cassette.read_text()
    assert await called("none", "lava") == "Bearer !"
    with pytest.raises(CassetteError, match=r'\$\.prompt: "lava" was recorded, "ash" is sent'):
        await called("none", "ash")
    assert len(server.journal) == 1


def test_vcrpy_is_only_needed_to_record(tmp_path):
    """`callsheet.testing` imports neither it nor pytest; without it the recorder says what to install."""
    program = (
        "import sys; sys.modules['vcr'] = None\n"
        "import callsheet.testing as t\n"
        "assert 'pytest' not in sys.modules and 'yaml' not in sys.modules and 'httpx' not in sys.modules\n"
        f"with t.recorded({str(tmp_path / 'c.json')!r}, 'new'): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert re.search(r"ConfigError: the recorder needs vcr.*pip install 'callsheet\[testing\]'", done.stderr), (
        done.stderr
    )


def test_the_error_is_one_of_the_configuration():
    """It passes the engine as it is: nobody takes it for a fault of the vendor or of the plugin."""
    assert issubclass(CassetteError, ConfigError)
    assert not issubclass(CassetteError, PluginError)
