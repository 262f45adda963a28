"""The loopback server itself, with a plain HTTP client: what it plays beside plain predictions."""

from __future__ import annotations

import base64
import hashlib
import hmac

import httpx2
import pytest

from callsheet_replicate.testing import Delivery, Fault, ReplicateServer, Script

MODEL = "/models/acme/volcano"
VERSION = {"id": "ab" * 32, "openapi_schema": {"openapi": "3.0.2"}}


@pytest.fixture
def http(server):
    """A client with the token."""
    headers = {"authorization": f"Bearer {server.key}"}
    with httpx2.Client(base_url=server.origin, headers=headers, timeout=5, trust_env=False) as client:
        yield client


def created(http, life="30m", **inputs):
    """A prediction that was just created."""
    reply = http.post(f"{MODEL}/predictions", json={"input": inputs}, headers={"cancel-after": life})
    assert reply.status_code == 201
    return reply.json()


def test_a_prediction_lives_as_long_as_it_may(server, http):
    """Cancel-After is a deadline: what has not begun is aborted, what runs is cancelled; the journal has the header."""
    server.script("acme/volcano", Script(polls=9), Script(polls=2), Script(polls=0))
    waiting, running, done = (created(http, life) for life in ("5s", "1m", "1h30m"))
    urls = [each["urls"]["get"] for each in (waiting, running, done)]
    assert [http.get(url).json()["status"] for url in (*urls, urls[1])][1:] == ["starting", "succeeded", "processing"]
    server.ahead = 61.0
    assert [http.get(url).json()["status"] for url in urls] == ["aborted", "canceled", "succeeded"]
    assert [each.headers["cancel-after"] for each in server.asked("create")] == ["5s", "1m", "1h30m"]
    assert waiting["deadline"] > waiting["created_at"]
    refused = http.post(f"{MODEL}/predictions", json={"input": {}}, headers={"cancel-after": "soon"})
    assert refused.status_code == 422


def test_a_stream_ends_the_prediction_when_it_is_read_to_its_end(server, http):
    """Texts, what went wrong, and `done`; a stream that was cut changes nothing."""
    server.script(
        "acme/volcano", Script(["a\nb", "c"], streams=True, polls=99), Script("x", "failed", "E1", streams=True)
    )
    first, second = created(http)["urls"], created(http)["urls"]
    server.fail("stream", Fault(events=2, clean=True))
    assert http.get(first["stream"]).text.count("event: output") == 2
    assert http.get(first["get"]).json()["status"] == "processing"
    assert http.get(first["stream"]).text.endswith("event: done\nid: 2:0\ndata: {}\n\n")
    assert http.get(first["get"]).json()["output"] == ["a\nb", "c"]
    assert 'event: error\nid: 1:0\ndata: {"detail": "E1"}' in http.get(second["stream"]).text
    assert "stream" in first
    server.script("acme/volcano", Script())
    assert "stream" not in created(http)["urls"]


def test_what_was_cancelled_streams_no_success(server, http):
    """Its last event says why."""
    server.script("acme/volcano", Script(["a"], streams=True))
    urls = created(http)["urls"]
    assert http.post(urls["cancel"]).json()["status"] == "aborted"
    assert http.get(urls["stream"]).text.endswith('data: {"reason": "canceled"}\n\n')
    assert server.running == []


def test_outputs_expire_and_are_linked_anew(server, http):
    """The old link stays dead; the prediction, asked again, has another one."""
    server.script("acme/volcano", Script(Delivery(b"12345", "image/png"), polls=0))
    url = created(http)["urls"]["get"]
    old = http.get(url).json()["output"]
    assert http.get(old, headers={"range": "bytes=2-"}).content == b"345"
    server.expire_outputs()
    assert http.get(old).status_code == 404
    fresh = http.get(url).json()["output"]
    assert fresh != old
    assert (http.get(fresh).content, http.get(old).status_code) == (b"12345", 404)


def test_uploaded_files_are_told_apart_and_expire(server, http):
    """Each upload has an address of its own, for a day; a prediction that names one that is gone fails."""
    server.script("acme/volcano", Script(polls=0))
    first, second = [http.post("/files", files={"content": ("a.png", b"1", "image/png")}).json() for _ in range(2)]
    assert first["urls"]["get"] != second["urls"]["get"]
    assert first["checksums"] == second["checksums"] == {"sha256": hashlib.sha256(b"1").hexdigest()}
    assert first["expires_at"][:10] > first["created_at"][:10]
    assert http.get(created(http, image=first["urls"]["get"])["urls"]["get"]).json()["status"] == "succeeded"
    server.expire_files()
    failed = http.get(created(http, images=[first["urls"]["get"]])["urls"]["get"]).json()
    assert (failed["status"], first["urls"]["get"] in failed["error"]) == ("failed", True)


def test_models_and_versions_are_what_the_test_says(server, http):
    """A model, its latest version, another version of it; 404 for the rest."""
    server.models["acme/volcano"] = {"owner": "acme", "name": "volcano", "latest_version": VERSION}
    server.models["acme/volcano:cd"] = {"id": "cd"}
    assert http.get(MODEL).json()["name"] == "volcano"
    assert [http.get(f"{MODEL}/versions/{each}").json()["id"] for each in (VERSION["id"], "cd")] == [
        VERSION["id"],
        "cd",
    ]
    assert [http.get(path).status_code for path in ("/models/acme/other", f"{MODEL}/versions/ef")] == [404, 404]


def test_webhooks_are_signed_with_the_secret_that_is_told(server, http):
    """HMAC-SHA256 over id, time and body, with the part of the secret behind its mark."""
    key = created(http)["id"]
    secret = base64.b64decode(http.get("/webhooks/default/secret").json()["key"].removeprefix("whsec_"))
    headers, body = server.webhook(key, delivery="msg_7", age=60)
    signed = f"msg_7.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert key.encode() in body


def test_strangers_and_strange_paths_are_refused(server, http):
    """401 without the token, 404 for what is not there."""
    assert httpx2.get(f"{server.origin}/predictions").status_code == 401
    paths = ("/nowhere", "/predictions/none", "/predictions/none/stream", "/deliveries/none/0")
    assert [http.get(path).status_code for path in paths] == [404] * 4


def test_the_vendors_document_judges_it():
    """What it does not know is a problem, and leaving the server says so."""
    with (
        pytest.raises(AssertionError, match="no such thing"),
        ReplicateServer(judge=lambda _: ["no such thing"]) as server,
    ):
        httpx2.get(f"{server.origin}/predictions")
