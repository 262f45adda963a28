"""The loopback server for authors, asked by a plain HTTP client, by threads and by another process."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from callsheet.http import ServerSentEvent
from callsheet.testing import Exchange, Fault, LoopbackServer, Pieces, Reply, event_stream, file_reply

FILE = bytes(range(256)) * 8
WORDS = ("lava", "ash\nsmoke", "steam")


def toy(**more) -> LoopbackServer:
    """A vendor with a route of each kind."""
    server = LoopbackServer(**more)
    server.route("POST", "/jobs", "create")(lambda request: Reply(201, {"asked": request.data}, {"x-own": "1"}))
    server.route("GET", "/jobs/{owner}/{name}", "get")(lambda request: dict(request.params))
    server.route("GET", "/file", "file")(lambda request: file_reply(request, FILE, "image/png"))
    server.route("GET", "/sound", "sound")(lambda _: Reply(200, Pieces([FILE, b"", FILE], "audio/pcm")))
    server.route("GET", "/words", "words")(
        lambda _: Reply(200, event_stream([ServerSentEvent(word, "word", str(at)) for at, word in enumerate(WORDS)]))
    )
    server.route("GET", "/nothing")(lambda _: None)
    return server


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """One that runs."""
    with toy() as running:
        yield running


@pytest.fixture
def http(server: LoopbackServer) -> Iterator[httpx2.Client]:
    """A client of it."""
    with httpx2.Client(base_url=server.origin, timeout=5, trust_env=False) as client:
        yield client


def test_requests_and_answers_are_in_the_journal(server, http):
    """JSON, a form with a file, chunks, a query, placeholders: as they arrived, with what was answered."""
    assert http.post("/jobs?a=1&b=", json={"prompt": "lava"}).headers["x-own"] == "1"
    http.post("/jobs", data={"kind": "b"}, files={"content": ("ä.png", b"\r\n--x\r\n", "image/png")})
    http.post("/jobs", content=iter([b'{"n":', b" 1}"]))
    assert http.get("/jobs/a%2Fb/c").json() == {"owner": "a/b", "name": "c"}
    assert http.get("/nothing").content == b""
    first, form, chunked, found, empty = server.journal
    assert (first.method, first.path, first.query, first.status) == ("POST", "/jobs", {"a": "1", "b": ""}, 201)
    assert first.reply == {"asked": {"prompt": "lava"}}
    assert first.headers["content-type"] == "application/json"
    assert (form.form, form.data, form.parts[1].filename) == ({"kind": "b"}, {"kind": "b"}, "ä.png")
    assert (form.parts[1].media_type, form.parts[1].data) == ("image/png", b"\r\n--x\r\n")
    assert chunked.json == {"n": 1}
    assert (found.route, found.params["owner"], found.path) == ("get", "a/b", "/jobs/a%2Fb/c")
    assert (empty.route, empty.reply, empty.data) == ("GET /nothing", None, {})
    assert [each.route for each in server.asked("create")] == ["create"] * 3


def test_what_is_not_served_is_told(server, http):
    """404 for another path and another method; the journal has it without a route."""
    assert http.get("/jobs").status_code == 404
    assert "GET /elsewhere is not served" in http.get("/elsewhere").json()["detail"]
    assert [each.route for each in server.journal] == ["", ""]


def test_a_path_outside_of_the_prefix_is_on_no_route():
    """The base URL has a path; without it nothing is found."""

    class Prefixed(LoopbackServer):
        prefix = "/v1"

    server = Prefixed()
    server.route("GET", "/jobs")(lambda _: {})
    with server:
        assert httpx2.get(f"{server.origin}/jobs").status_code == 200
        assert httpx2.get(f"{server.origin.removesuffix('/v1')}/jobs").status_code == 404
    assert [each.path for each in server.journal] == ["/jobs", "outside of /v1: /jobs"]


@pytest.mark.parametrize(
    ("headers", "status", "content"),
    [
        ({}, 200, FILE),
        ({"range": "bytes=100-"}, 206, FILE[100:]),
        ({"range": "bytes=100-199"}, 206, FILE[100:200]),
        ({"range": "bytes=0-99999"}, 206, FILE),
        ({"range": "bytes=100-", "if-range": '"another"'}, 200, FILE),
        ({"range": f"bytes={len(FILE)}-"}, 416, b""),
        ({"range": "bytes=-5"}, 200, FILE),
    ],
)
def test_files_come_whole_or_in_part(http, headers, status, content):
    """By range, while the ETag is the same; otherwise whole."""
    reply = http.get("/file", headers=headers)
    assert (reply.status_code, reply.content) == (status, content)
    assert reply.headers["etag"].startswith('"')
    if status == 206:
        assert reply.headers["content-range"].endswith(f"/{len(FILE)}")


def test_pieces_and_events(http):
    """Pieces are chunks, an empty one does not end them; events have name, id, and a line of data for each line."""
    reply = http.get("/sound")
    assert (reply.content, reply.headers["transfer-encoding"]) == (FILE * 2, "chunked")
    assert http.get("/words").text == (
        "event: word\nid: 0\ndata: lava\n\nevent: word\nid: 1\ndata: ash\ndata: smoke\n\nevent: word\nid: 2\ndata: steam\n\n"
    )


def test_a_generator_goes_on_as_its_pieces_are_sent():
    """What it does after a piece that was cut off is not done."""
    done = []

    def spoken():
        for word in WORDS:
            yield ServerSentEvent(word)
            done.append(word)

    server = LoopbackServer()
    server.route("GET", "/words")(lambda _: Reply(200, event_stream(spoken())))
    with server:
        server.fail(Fault(events=2, clean=True))
        assert httpx2.get(f"{server.origin}/words").text.count("data:") == 3
        assert done == ["lava"]
        httpx2.get(f"{server.origin}/words")
    assert done == ["lava", *WORDS]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/file", Fault(reset="before")),
        ("/file", Fault(reset="after")),
        ("/file", Fault(size=100)),
        ("/file", Fault(size=100, abrupt=True)),
        ("/file", Fault(promise=10)),
        ("/sound", Fault(size=100)),
        ("/sound", Fault(size=2 * len(FILE))),
        ("/words", Fault(events=1)),
        ("/words", Fault(events=1, abrupt=True)),
        ("/words", Fault(stall=True)),
        ("/words", Fault(events=1, stall=True)),
    ],
)
def test_faults_of_the_connection(server, http, path, fault):
    """Each shows itself to the client as an error; the next request is answered."""
    server.fail(fault)
    with pytest.raises(httpx2.TransportError):
        http.get(path, timeout=0.3)
    assert http.get(path).status_code == 200
    lost = bool(fault.reset) or (fault.stall and not fault.cuts)
    assert [each.status for each in server.journal] == [0 if lost else 200, 200]


def test_faults_of_the_answer(server, http):
    """A status with a body and headers; a clean early end; an event whose data breaks off."""
    server.fail(
        Fault(status=429, body={"error": "slow"}, headers={"retry-after": "3"}),
        Fault(status=502, body=b"<html>"),
        Fault(events=1, clean=True),
        Fault(malformed=0),
    )
    slow, broken = http.get("/file"), http.get("/file")
    assert (slow.status_code, slow.json(), slow.headers["retry-after"]) == (429, {"error": "slow"}, "3")
    assert (broken.status_code, broken.text) == (502, "<html>")
    assert http.get("/words").text == "event: word\nid: 0\ndata: lava\n\n"
    assert http.get("/words").text.startswith("data: la\n\nevent: word\nid: 1\n")


def test_a_fault_is_met_once_by_its_own_route(server, http):
    """In order; what a reset stands before is not done, what it stands after is."""
    made = []
    server.route("POST", "/make", "make")(lambda request: made.append(request.body) or {})
    server.fail("make", Fault(reset="before"), Fault(reset="after"), "file", Fault(status=503))
    for body in (b"1", b"2"):
        with pytest.raises(httpx2.TransportError):
            http.post("/make", content=body)
    assert made == [b"2"]
    assert http.post("/make", content=b"3").status_code == 200
    assert [http.get("/file").status_code for _ in range(2)] == [503, 200]
    with pytest.raises(ValueError, match="there is no route 'fiel'; there are create"):
        server.fail("fiel", Fault())


def test_a_broken_route_is_a_problem():
    """The client gets a 500 that says where to look, and leaving the server raises."""
    server = LoopbackServer()
    server.route("GET", "/x")(lambda _: {}["missing"])
    with pytest.raises(AssertionError, match=r"(?s)GET /x breaks the server.*KeyError: 'missing'"):  # noqa: SIM117
        with server:
            assert httpx2.get(f"{server.origin}/x").status_code == 500


def test_an_answer_that_cannot_be_sent_and_a_request_that_cannot_be_read_are_problems():
    """Not only what a route raises is seen."""
    server = LoopbackServer()
    server.route("GET", "/x")(lambda _: {1, 2})
    with server:
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{server.origin}/x")
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(b"nonsense\r\n\r\n")
            assert line.recv(1) == b""
        assert ["not JSON serializable" in each or "unpack" in each for each in server.problems] == [True, True]
        server.problems.clear()


def test_a_failing_test_keeps_its_error():
    """The server's problems are a note on it."""
    with pytest.raises(RuntimeError, match="the test's own") as caught:  # noqa: PT012, SIM117
        with LoopbackServer(judge=lambda _: ["not so"]) as server:
            httpx2.get(f"{server.origin}/x")
            raise RuntimeError("the test's own")
    assert caught.value.__notes__ == ["problems of the loopback server:\nnot so"]


def test_a_judge_sees_every_exchange_and_no_answer_of_a_fault():
    """It is shown the request with its answer; what a fault says is meant to be wrong."""
    shown: list[Exchange] = []
    with toy(judge=lambda each: shown.append(each) or ()) as server:
        server.fail(Fault(status=400, body={"no": 1}))
        for _ in range(2):
            httpx2.get(f"{server.origin}/jobs/a/b")
    assert [(each.status, each.reply) for each in shown] == [(400, None), (200, {"owner": "a", "name": "b"})]
    assert [each.reply for each in server.journal] == [{"no": 1}, {"owner": "a", "name": "b"}]


async def test_connections_and_held_requests_are_counted(server):
    """A stalled request is held until its client hangs up."""
    server.fail(Fault(events=1, stall=True))
    async with httpx2.AsyncClient(trust_env=False) as client, client.stream("GET", f"{server.origin}/words") as reply:
        lines = reply.aiter_lines()
        assert await anext(lines) == "event: word"
        await server.until(lambda: server.holding == 1)  # counted once its part is sent: its reader may be earlier
        assert server.open_connections == 1
    await server.until(lambda: not server.holding and not server.open_connections)
    with pytest.raises(TimeoutError):
        await server.until(lambda: len(server.journal) > 1, 0.01)


def test_a_client_that_waits_is_let_go_at_the_end():
    """The server does not wait for its clients."""
    with toy() as server, socket.create_connection(("127.0.0.1", server.port)) as line:
        server.fail(Fault(stall=True))
        line.sendall(b"GET /file HTTP/1.1\r\n\r\n")
        asyncio.run(server.until(lambda: server.holding == 1))
    assert server.open_connections == 0


def test_other_processes_reach_it(server):
    """It answers from a thread, while the test waits for a child."""
    code = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
    command = [sys.executable, "-c", code, f"{server.origin}/jobs/a/b"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"owner": "a", "name": "b"}


def test_a_subclass_answers_for_itself():
    """It checks a key before its routes, and says what each answer has."""

    class Acme(LoopbackServer):
        def __init__(self):
            super().__init__()
            self.route("GET", "/x")(lambda _: {"ok": True})

        def usual_headers(self):
            return {"x-request-id": f"r{len(self.journal)}"}

        def answer(self, request):
            return super().answer(request) if "x-key" in request.headers else Reply(401, {"error": "who are you"})

    with Acme() as server:
        assert httpx2.get(f"{server.origin}/x").status_code == 401
        assert httpx2.get(f"{server.origin}/x", headers={"x-key": "k"}).headers["x-request-id"] == "r2"


def test_it_loads_nothing_heavy():
    """A child process that plays a vendor starts as fast as it may."""
    heavy = {"httpx2", "pydantic", "jsonschema_rs", "jinja2", "rich"}
    code = f"import sys, callsheet.testing; print({heavy!r} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "set()"


def test_paid_work_is_known(http, server) -> None:
    """What a paid route acted on, also when the answer was lost; not what it refused, a scripted refusal or a lost request."""
    server.route("POST", "/paid", "pay", paid=True)(lambda request: Reply(request.json["status"], {}))
    for fault in (Fault(), Fault(status=503), Fault(reset="before"), Fault(reset="after"), Fault(size=1)):
        server.fail("pay", fault)
        with suppress(httpx2.TransportError):
            http.post("/paid", json={"status": 201})
    http.post("/paid", json={"status": 402})
    http.post("/jobs", json={})
    assert [(each.route, each.status) for each in server.paid] == [("pay", 201), ("pay", 0), ("pay", 201)]
    assert [server.running, server.endless] == [[], False]
