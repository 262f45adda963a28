"""The loopback server itself, with a plain HTTP client: every operation answers as the vendor's document says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest
from openai_counterpart.answers import Answer, ToolCall
from openai_counterpart.server import KEY, Fault, Server, refusal

HELLO = {"model": "gpt-5", "input": "Hello"}
CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
PICTURE = ("still.png", b"\x89PNG\r\n\x1a\n", "image/png")


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    """A client with the key."""
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=server.origin, headers=headers, timeout=5, trust_env=False) as client:
        yield client


def events(text: str) -> list[dict]:
    """The JSON of a stream's events."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/responses", HELLO),
        (
            "/responses",
            {**HELLO, "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}},
        ),
        ("/chat/completions", CHAT),
        ("/images/generations", {"model": "gpt-image-1", "prompt": "lava", "size": "1024x1536", "n": 2}),
        (
            "/images/edits",
            {"model": "gpt-image-1", "prompt": "x", "images": [{"image_url": "data:image/png;base64,aaaa"}]},
        ),
        ("/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}),
        ("/embeddings", {"model": "text-embedding-3-small", "input": "a", "encoding_format": "base64"}),
        ("/moderations", {"input": "kill"}),
        ("/moderations", {"input": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}]}),
        ("/videos", {"prompt": "lava", "seconds": "4"}),
    ],
)
def test_every_json_operation_answers_as_the_document_says(server, http, path, body):
    """Request and reply are valid, the reply has a request id."""
    reply = http.post(path, json=body)
    assert reply.status_code == 200
    assert reply.headers["x-request-id"] == "req_1"
    assert server.problems == []
    assert [(each.method, each.path) for each in server.paid] == [("POST", path)]


@pytest.mark.parametrize("kind", ["json", "verbose_json", "diarized_json", "text"])
def test_a_transcription_comes_in_the_asked_form(server, http, kind):
    """A multipart form goes in; each form of answer is valid."""
    data = {"model": "whisper-1", "response_format": kind, "timestamp_granularities[]": ["word", "segment"]}
    reply = http.post("/audio/transcriptions", data=data, files={"file": ("a.wav", b"RIFF", "audio/wav")})
    assert reply.status_code == 200
    assert "mountain" in reply.text
    assert [part.name for part in server.journal[0].parts].count("timestamp_granularities[]") == 2


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_speech_comes_in_pieces(http, kind):
    """Each sound format has its own signature and media type."""
    body = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello there", "response_format": kind}
    reply = http.post("/audio/speech", json=body)
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.headers["content-type"].startswith("audio/")
    assert len(reply.content) > 20


@pytest.mark.parametrize(
    "answer",
    [
        Answer(reasoning="Hm.", search=True),
        Answer(tools=(ToolCall("look", {"at": "lava"}),)),
        Answer(refusal="No."),
        Answer(finish="length"),
        Answer(finish="content_filter"),
        Answer(failed=("server_error", "It broke.")),
        Answer("Lava " * 200, chunks=200),
    ],
    ids=["reasoning", "tools", "refusal", "length", "filter", "failed", "long"],
)
def test_streams_are_valid_and_end_with_their_terminal_event(server, http, answer):
    """Both wires; the pieces of text add up."""
    server.api.answers = [answer, answer]
    whole = events(http.post("/responses", json={**HELLO, "stream": True}).text)
    assert whole[-1]["type"] in ("response.completed", "response.incomplete", "response.failed")
    spoken = "".join(each["delta"] for each in whole if each["type"] == "response.output_text.delta")
    assert spoken == ("" if answer.tools or answer.refusal else answer.text)
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    text = http.post("/chat/completions", json=body).text
    assert text.endswith("data: [DONE]\n\n")
    assert events(text)[-1]["usage"]["total_tokens"] > 0


def test_images_stream_their_partial_pictures(http):
    """Two partial ones, then the whole."""
    body = {"model": "gpt-image-1", "prompt": "lava", "stream": True, "partial_images": 2}
    kinds = [each["type"] for each in events(http.post("/images/generations", json=body).text)]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


def test_a_background_response_is_polled_and_can_be_cancelled_while_it_runs(http):
    """Queued, in progress, completed; another one is cancelled; a finished one stays what it is."""
    first = http.post("/responses", json={**HELLO, "background": True}).json()
    looks = [http.get(f"/responses/{first['id']}").json()["status"] for _ in range(2)]
    assert [first["status"], *looks] == ["queued", "in_progress", "completed"]
    second = http.post("/responses", json={**HELLO, "background": True}).json()
    assert http.post(f"/responses/{second['id']}/cancel").json()["status"] == "cancelled"
    assert http.post(f"/responses/{first['id']}/cancel").json()["status"] == "completed"
    assert http.post("/responses/resp_none/cancel").status_code == 404


def test_a_batch_carries_out_its_lines_and_tells_what_failed(server, http):
    """Output and error files by custom id; a missing item is in neither; the file can be forgotten."""
    lines = [{"custom_id": f"k{n}", "method": "POST", "url": "/v1/responses", "body": HELLO} for n in range(4)]
    server.api.fates = {1: "failed", 2: "expired", 3: "missing"}
    jsonl = "\n".join(json.dumps(line) for line in lines).encode()
    files = {"file": ("calls.jsonl", jsonl, "application/jsonl")}
    sent = http.post("/files", data={"purpose": "batch"}, files=files).json()
    asked = {
        "input_file_id": sent["id"],
        "endpoint": "/v1/responses",
        "completion_window": "24h",
        "metadata": {"k": "v"},
    }
    batch = http.post("/batches", json=asked).json()
    states = [http.get(f"/batches/{batch['id']}").json() for _ in range(2)]
    assert [each["status"] for each in states] == ["in_progress", "completed"]
    good, bad = (http.get(f"/files/{states[1][name]}/content").text for name in ("output_file_id", "error_file_id"))
    assert [json.loads(line)["custom_id"] for line in good.splitlines()] == ["k0"]
    assert [json.loads(line)["custom_id"] for line in bad.splitlines()] == ["k1", "k2"]
    assert [each["id"] for each in http.get("/batches", params={"limit": "5"}).json()["data"]] == [batch["id"]]
    assert http.delete(f"/files/{sent['id']}").json()["deleted"] is True


def test_a_batch_is_cancelled(server, http):
    """Cancelling, then cancelled; an unfit line is a problem."""
    server.api.polls = 5
    sent = http.post("/files", data={"purpose": "batch"}, files={"file": ("x.jsonl", b"", "application/jsonl")}).json()
    asked = {"input_file_id": sent["id"], "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch = http.post("/batches", json=asked).json()
    assert http.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelling"


def test_a_video_is_made_and_downloaded(http):
    """Queued, then completed with content, then forgotten."""
    made = http.post("/videos", json={"prompt": "lava", "size": "1280x720"}).json()
    assert http.get(f"/videos/{made['id']}/content").status_code == 404
    states = [http.get(f"/videos/{made['id']}").json()["status"] for _ in range(2)]
    assert states == ["in_progress", "completed"]
    assert http.get(f"/videos/{made['id']}/content").content[4:8] == b"ftyp"
    assert http.delete(f"/videos/{made['id']}").json()["deleted"] is True


def test_the_document_objects_to_what_it_does_not_know():
    """Fields, values, forms, parameters, paths and replies: each is a finding."""
    with Server() as server, httpx2.Client(base_url=server.origin, headers={"authorization": f"Bearer {KEY}"}) as http:
        http.post("/responses", json={**HELLO, "reasoning": {"effort": "ludicrous"}})
        http.post("/responses", json={**HELLO, "temprature": 1})
        http.post("/audio/transcriptions", data={"model": "whisper-1", "sped": "2"}, files={"file": PICTURE})
        http.get("/batches", params={"lmit": "3"})
        http.get("/nowhere")
        server.api.scripted["/embeddings"] = {"object": "list", "data": []}
        http.post("/embeddings", json={"model": "m", "input": "x"})
        found = "\n".join(server.problems)
        server.problems.clear()
    for part in ("reasoning", "temprature", "sped", "lmit", "/nowhere", '"model" is a required property'):
        assert part in found


def test_a_wrong_key_is_refused(server, http):
    """401 with the vendor's envelope."""
    reply = http.post("/responses", json=HELLO, headers={"authorization": "Bearer sk-other"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert server.journal[0].headers["authorization"] == "Bearer sk-other"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(reset="before"), httpx2.TransportError),
        (Fault(reset="after"), httpx2.TransportError),
        (Fault(stall=True), httpx2.ReadTimeout),
        (Fault(events=2, abrupt=True), httpx2.TransportError),
        (Fault(status=200, body=b"{}", promise=10), httpx2.TransportError),
    ],
    ids=["reset-before", "reset-after", "stall", "abrupt", "short"],
)
def test_faults_of_the_connection(server, http, fault, error):
    """Each shows itself to the client; the next request is answered again."""
    server.fail(fault)
    with pytest.raises(error):
        http.post("/responses", json={**HELLO, "stream": True}, timeout=0.2)
    assert http.post("/responses", json=HELLO).status_code == 200


def test_faults_of_the_reply(server, http):
    """A status with headers, a stream that ends early, and one with a broken event."""
    server.fail(
        refusal(429, code="rate_limit_exceeded", retry_after="3"), Fault(events=3, clean=True), Fault(malformed=2)
    )
    assert http.post("/responses", json=HELLO).headers["retry-after"] == "3"
    assert len(events(http.post("/responses", json={**HELLO, "stream": True}).text)) == 3
    with pytest.raises(ValueError):
        events(http.post("/responses", json={**HELLO, "stream": True}).text)
