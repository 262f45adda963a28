"""The counterpart itself, with a plain HTTP client: every operation answers as the vendor's document says."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Iterator

import httpx2
import pytest
from openai_counterpart.server import Server
from PIL import Image

from callsheet_openai.testing import KEY, Answer, Fault, ToolCall, refusal

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
    server.account.answers = [answer, answer]
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
    server.account.fates = {1: "failed", 2: "expired", 3: "missing"}
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
    server.account.polls = 5
    sent = http.post("/files", data={"purpose": "batch"}, files={"file": ("x.jsonl", b"", "application/jsonl")}).json()
    asked = {"input_file_id": sent["id"], "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch = http.post("/batches", json=asked).json()
    assert http.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelling"


def upload(http, *lines: dict) -> str:
    """The id of a file of such lines."""
    jsonl = "\n".join(map(json.dumps, lines)).encode()
    files = {"file": ("calls.jsonl", jsonl, "application/jsonl")}
    return http.post("/files", data={"purpose": "batch"}, files=files).json()["id"]


def line(number: int, path: str, **body: object) -> dict:
    """A call of a batch."""
    return {"custom_id": f"k{number}", "method": "POST", "url": path, "body": body}


def results(http, batch: str, name: str) -> list[dict]:
    """The lines of a file of a batch."""
    file = http.get(f"/batches/{batch}").json()[name]
    return [json.loads(each) for each in http.get(f"/files/{file}/content").text.splitlines()]


def started(http, path: str, *bodies: dict) -> str:
    """The id of a batch of such calls."""
    sent = upload(http, *(line(number, path, **body) for number, body in enumerate(bodies)))
    asked = {"input_file_id": sent, "endpoint": path, "completion_window": "24h"}
    return http.post("/batches", json=asked).json()["id"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/responses", HELLO),
        ("/chat/completions", CHAT),
        ("/embeddings", {"model": "text-embedding-3-small", "input": "a"}),
        ("/moderations", {"input": "a"}),
        ("/images/generations", {"model": "gpt-image-1", "prompt": "lava"}),
    ],
)
def test_a_batch_gives_what_the_endpoint_gives(server, http, path, body):
    """The same answer, but for its id; and the vendor's refusal for a line that the endpoint refuses."""
    server.account.polls = 0
    alone = http.post(path, json=body).json()
    batch = started(http, f"/v1{path}", body)
    (told,) = results(http, batch, "output_file_id")
    assert {**told["response"]["body"], "id": 0} == {**alone, "id": 0}
    assert [each.path for each in server.paid] == [path, "/batches"]


def test_a_line_that_is_refused_is_an_error_line(server, http):
    """With the status and the envelope that it would have had by itself."""
    server.account.polls = 0
    batch = started(http, "/v1/images/generations", {"prompt": "a"}, {"prompt": "a", "size": "huge"})
    server.problems.clear()  # the document has something against that size, too
    (told,) = results(http, batch, "error_file_id")
    assert (told["custom_id"], told["response"]["status_code"]) == ("k1", 400)
    assert told["response"]["body"]["error"]["param"] == "size"
    assert http.get(f"/batches/{batch}").json()["request_counts"] == {"total": 2, "completed": 1, "failed": 1}


def test_endless_jobs_run_until_they_are_cancelled(server, http):
    """Background responses and batches stop at once when told; a video cannot be stopped, and ends when it may."""
    server.endless = True
    job = http.post("/responses", json={**HELLO, "background": True}).json()["id"]
    batch = started(http, "/v1/responses", HELLO)
    video = http.post("/videos", json={"prompt": "lava"}).json()["id"]
    looks = [
        http.get(path).json()["status"] for path in (f"/responses/{job}", f"/batches/{batch}", f"/videos/{video}") * 9
    ]
    assert set(looks) == {"in_progress"}
    assert server.running == [job, batch, video]
    assert http.post(f"/responses/{job}/cancel").json()["status"] == "cancelled"
    assert http.post(f"/batches/{batch}/cancel").json()["status"] == "cancelling"
    assert server.running == [video]
    assert http.delete(f"/videos/{video}").status_code == 400
    assert http.get(f"/batches/{batch}").json()["status"] == "cancelled"
    server.endless = False
    assert http.get(f"/videos/{video}").json()["status"] == "completed"
    assert server.running == []


def test_failing_jobs_fail(server, http):
    """Background responses and videos end as failed, and the last call of a batch is refused."""
    server.failing, server.account.polls = True, 0
    job = http.post("/responses", json={**HELLO, "background": True}).json()["id"]
    video = http.post("/videos", json={"prompt": "lava"}).json()["id"]
    batch = started(http, "/v1/responses", HELLO, HELLO)
    ends = [http.get(path).json() for path in (f"/responses/{job}", f"/videos/{video}")]
    assert [(each["status"], each["error"]["code"]) for each in ends] == [("failed", "server_error")] * 2
    assert [each["custom_id"] for each in results(http, batch, "error_file_id")] == ["k1"]


@pytest.mark.parametrize("name", ["responses", "chat/completions"])
def test_a_tool_that_has_to_be_called_is_called(http, name):
    """With arguments that its parameters allow."""
    function = {"name": "look", "parameters": SCHEMA}
    if name == "responses":
        wish = {"tools": [{"type": "function", "strict": True, **function}], "tool_choice": "required"}
        (call,) = http.post("/responses", json={**HELLO, **wish}).json()["output"]
        made = call["name"], call["arguments"]
    else:
        choice = {"type": "function", "function": {"name": "look"}}
        wish = {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
        (call,) = http.post("/chat/completions", json={**CHAT, **wish}).json()["choices"][0]["message"]["tool_calls"]
        made = call["function"]["name"], call["function"]["arguments"]
    assert made == ("look", json.dumps({"name": "lava"}))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_pictures_have_the_asked_size_and_form(http, kind):
    """As many as were asked for, each of its own shade."""
    body = {"model": "gpt-image-2", "prompt": "lava", "size": "1536x1024", "n": 3, "output_format": kind}
    made = [base64.b64decode(each["b64_json"]) for each in http.post("/images/generations", json=body).json()["data"]]
    assert [Image.open(io.BytesIO(each)).size for each in made] == [(1536, 1024)] * 3
    assert len(set(made)) == 3


def test_speech_tells_its_tokens_in_events(http):
    """The same sound as without, and the counts at the end."""
    body = {
        "model": "gpt-4o-mini-tts",
        "voice": "alloy",
        "input": "The mountain breathes out.",
        "response_format": "wav",
    }
    plain = http.post("/audio/speech", json=body).content
    told = events(http.post("/audio/speech", json={**body, "stream_format": "sse"}).text)
    assert b"".join(base64.b64decode(each["audio"]) for each in told[:-1]) == plain
    assert told[-1]["usage"]["total_tokens"] > told[-1]["usage"]["input_tokens"] > 0


def test_vectors_have_length_one_and_tell_texts_apart(http):
    """In the model's own size; both encodings are of the same numbers."""
    body = {"model": "text-embedding-3-large", "input": ["ash", "lava", "ash"]}
    ash, lava, again = (each["embedding"] for each in http.post("/embeddings", json=body).json()["data"])
    assert (len(ash), ash) == (3072, again)
    assert ash != lava
    assert sum(each * each for each in lava) == pytest.approx(1, abs=1e-6)
    packed = http.post("/embeddings", json={**body, "encoding_format": "base64"}).json()["data"][1]["embedding"]
    assert list(struct.unpack("<3072f", base64.b64decode(packed))) == lava


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/responses", {"input": "x"}, "model"),
        ("/chat/completions", {"model": "gpt-5"}, "messages"),
        ("/embeddings", {"model": "m"}, "input"),
        ("/images/generations", {"prompt": "x", "output_format": "gif"}, "output_format"),
        ("/audio/speech", {"model": "m", "input": "x", "voice": "alloy", "response_format": "ogg"}, "response_format"),
        ("/batches", {"input_file_id": "f", "endpoint": "/v1/nowhere", "completion_window": "24h"}, "endpoint"),
    ],
)
def test_what_cannot_be_done_is_refused(server, http, path, body, param):
    """400 with the field that it is about, in the vendor's envelope; it started nothing that is paid for."""
    reply = http.post(path, json=body)
    server.problems[:] = [each for each in server.problems if f"POST {path}:" not in each]
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert server.paid == []


def test_a_video_is_made_and_downloaded(http):
    """Queued, then completed with content, then forgotten."""
    made = http.post("/videos", json={"prompt": "lava", "size": "1280x720"}).json()
    assert http.get(f"/videos/{made['id']}/content").status_code == 404
    states = [http.get(f"/videos/{made['id']}").json()["status"] for _ in range(2)]
    assert states == ["in_progress", "completed"]
    assert http.get(f"/videos/{made['id']}/content").content[4:8] == b"ftyp"
    assert http.delete(f"/videos/{made['id']}").json()["deleted"] is True


def test_the_document_objects_to_what_it_does_not_know():
    """Fields, values, forms, parameters, paths, replies, events and lines of batches: each is a finding."""
    with Server() as server, httpx2.Client(base_url=server.origin, headers={"authorization": f"Bearer {KEY}"}) as http:
        http.post("/responses", json={**HELLO, "reasoning": {"effort": "ludicrous"}})
        http.post("/responses", json={**HELLO, "temprature": 1})
        http.post("/audio/transcriptions", data={"model": "whisper-1", "sped": "2"}, files={"file": PICTURE})
        http.get("/batches", params={"lmit": "3"})
        http.get("/nowhere")
        server.scripted["/embeddings"] = {"object": "list", "data": []}
        http.post("/embeddings", json={"model": "m", "input": "x"})
        server.account.answers.append(Answer(finish="exhaustion"))
        http.post("/chat/completions", json={**CHAT, "stream": True})
        started(http, "/v1/responses", {**HELLO, "tempo": 1})
        found = "\n".join(server.problems)
        server.problems.clear()
    for part in (
        "reasoning",
        "temprature",
        "sped",
        "lmit",
        "/nowhere",
        "exhaustion",
        "tempo",
        '"model" is a required property',
    ):
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
