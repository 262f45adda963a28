"""Whatever goes wrong: the right kind, whether the request can have been accepted, and never the key."""

from __future__ import annotations

import contextlib
import socket
import traceback
from pathlib import Path

import pytest
from openai_counterpart.sending import job_of, rows
from openai_counterpart.server import Server
from openai_counterpart.stage import context

from callsheet.errors import CallsheetError, ErrorKind, ProviderError, Sent
from callsheet.http import HttpLimits
from callsheet.pay_once import OnUnknown
from callsheet.transfer import endpoint
from callsheet_openai.testing import KEY, Answer, Fault, refusal

PROMPT = "How does one make lava at home?"
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
RESPONSES = next(row for row in rows() if row.wire == "responses" and row.model == "gpt-5")
CHAT = next(row for row in rows() if row.wire == "chat")

# The server quotes the key in every message: a vendor may, and nobody may pass it on.
SAID = f"Sorry: the key {KEY} was used for this."


def said(status: int, code: str | None = None, kind: str = "invalid_request_error", **headers: str) -> Fault:
    """A refusal that quotes the key."""
    return refusal(status, SAID, code=code, kind=kind, **headers)


K, S = ErrorKind, Sent
FAULTS = {
    "400": (said(400), K.INVALID_REQUEST, S.REJECTED),
    "400-context": (said(400, "context_length_exceeded"), K.INVALID_REQUEST, S.REJECTED),
    "400-policy": (said(400, "content_policy_violation"), K.CONTENT_REJECTED, S.REJECTED),
    "400-prompt": (said(400, "invalid_prompt"), K.CONTENT_REJECTED, S.REJECTED),
    "401": (said(401, "invalid_api_key"), K.AUTHENTICATION, S.REJECTED),
    "402": (said(402), K.QUOTA_EXCEEDED, S.REJECTED),
    "403": (said(403, "unsupported_country_region_territory"), K.ACCESS_DENIED, S.REJECTED),
    "404": (said(404, "model_not_found"), K.MODEL_NOT_FOUND, S.REJECTED),
    "408": (said(408), K.TIMEOUT, S.UNKNOWN),
    "409": (said(409), K.INVALID_REQUEST, S.UNKNOWN),
    "413": (Fault(status=413, body=f"<html>{SAID}</html>".encode()), K.INVALID_REQUEST, S.REJECTED),
    "422": (said(422), K.INVALID_REQUEST, S.REJECTED),
    "429-rate": (said(429, "rate_limit_exceeded", "requests", retry_after="7"), K.RATE_LIMITED, S.REJECTED),
    "429-millis": (said(429, None, "requests", retry_after_ms="250"), K.RATE_LIMITED, S.REJECTED),
    "429-quota": (said(429, "insufficient_quota", "insufficient_quota"), K.QUOTA_EXCEEDED, S.REJECTED),
    "500": (said(500, "server_error", "server_error"), K.OVERLOADED, S.UNKNOWN),
    "502": (Fault(status=502, body=f"<html>Bad gateway {KEY}</html>".encode()), K.OVERLOADED, S.UNKNOWN),
    "503": (said(503, None, "server_error", retry_after="2"), K.OVERLOADED, S.REJECTED),
    "504": (Fault(status=504, body=b""), K.TIMEOUT, S.UNKNOWN),
    "time-out": (Fault(stall=True), K.TIMEOUT, S.UNKNOWN),
    "reset-after": (Fault(reset="after"), K.CONNECTION_FAILED, S.UNKNOWN),
    "cut": (Fault(status=200, body=b'{"id": ', promise=400), K.CONNECTION_FAILED, S.UNKNOWN),
    "no-json": (Fault(status=200, body=f"<html>{KEY}</html>".encode()), K.MALFORMED_OUTPUT, S.UNKNOWN),
    "redirect": (Fault(status=307, body=b"", headers={"location": "/elsewhere"}), K.MALFORMED_OUTPUT, S.UNKNOWN),
}
WAITS = {"429-rate": 7.0, "429-millis": 0.25, "503": 2.0}
BY_ANSWER = {
    "refusal": (Answer(refusal="I cannot help with that."), K.CONTENT_REJECTED),
    "filtered": (Answer(finish="content_filter"), K.CONTENT_REJECTED),
    "length": (Answer('{"x": ', finish="length"), K.MALFORMED_OUTPUT),
    "broken-json": (Answer('{"x": 1,'), K.MALFORMED_OUTPUT),
    "other-json": (Answer('{"x": "one"}'), K.MALFORMED_OUTPUT),
}


@pytest.fixture(autouse=True)
def short_limits(monkeypatch):
    """A server that never answers is given up soon; one on a busy machine is not."""
    monkeypatch.setattr(endpoint, "_USUAL", HttpLimits(connect=10, read=2, total=30))


def told(error: BaseException) -> str:
    """All that a person or a log gets to see of an error."""
    raw = getattr(error, "raw", None)
    more = [getattr(error, name, "") for name in ("user_message", "request_id", "docs_url", "prompt")]
    return "\n".join([str(error), repr(error), repr(error.args), repr(raw), *more, *traceback.format_exception(error)])


def written(folder: Path) -> bytes:
    """Every byte that a project keeps."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def failure(client, row, *, schema=None) -> ProviderError:
    """What the handler itself raises for one call, and whether it asked the vendor once."""
    attributes = {"prompt": PROMPT, **({"output_schema": schema} if schema else {})}
    job = job_of(row, attributes, {})
    bound = client.runtime.registry.resolve(job.ref, job.operation)
    request = bound.preparer.prepare(job)
    perform = getattr(bound.handler, "invoke", None) or bound.handler.submit
    with pytest.raises(ProviderError) as caught:
        await perform(request, context(client, job))
    return caught.value


@pytest.mark.parametrize("row", [RESPONSES, CHAT], ids=["responses", "chat"])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_has_its_kind_and_says_whether_it_was_sent(server, opened, name, row):
    """By status, code and what happened on the way; the request went out once."""
    fault, kind, sent = FAULTS[name]
    server.fail(fault)
    async with opened() as client:
        error = await failure(client, row)
    assert (error.kind, error.sent) == (kind, sent)
    assert error.retry_after == WAITS.get(name)
    assert error.status_code == (fault.status or None if fault.status != 200 or name == "no-json" else None)
    assert len(server.journal) == 1
    if fault.status >= 400:
        assert error.request_id == "req_1"
        assert error.ref == f"openai:{row.model}"
    assert error.prompt == (PROMPT if kind is K.CONTENT_REJECTED else "")


@pytest.mark.parametrize("name", FAULTS)
async def test_the_key_is_in_nothing_that_stays(server, opened, tmp_path, name):
    """Message, repr, traceback, and every byte of the ledger with its event log: the vendor quoted the key, we do not."""
    server.fail(FAULTS[name][0])
    async with opened() as client:
        with pytest.raises(CallsheetError) as caught:
            await client.call("openai:gpt-5", prompt=PROMPT, on_unknown=OnUnknown.FAIL)
        assert KEY not in told(caught.value)
    kept = written(tmp_path)
    assert kept
    assert KEY.encode() not in kept
    assert [each.headers["authorization"] for each in server.journal] == [f"Bearer {KEY}"]


@pytest.mark.parametrize("row", [RESPONSES, CHAT], ids=["responses", "chat"])
@pytest.mark.parametrize("name", BY_ANSWER)
async def test_an_answer_that_is_none_was_paid_for(server, opened, name, row):
    """Refused, filtered, cut off, no JSON, other JSON: the class is right, and `finished` says that it was paid."""
    answer, kind = BY_ANSWER[name]
    server.account.answers.append(answer)
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call(f"openai:{row.model}", prompt=PROMPT, output_schema=SCHEMA)
    assert (caught.value.kind, caught.value.sent) == (kind, S.FINISHED)
    assert caught.value.prompt == (PROMPT if kind is K.CONTENT_REJECTED else "")
    assert len(server.journal) == 1


async def test_a_refused_connection_was_not_sent(server, opened, tmp_path):
    """Nobody listens: `not_sent`, which may be tried again, and the key stays here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with opened(base_url=f"http://127.0.0.1:{port}/v1") as client:
        error = await failure(client, RESPONSES)
        assert (error.kind, error.sent, error.retryable) == (K.CONNECTION_FAILED, S.NOT_SENT, True)
        with pytest.raises(CallsheetError) as caught:
            await client.call("openai:gpt-5", prompt=PROMPT)
    assert KEY not in told(caught.value)
    assert KEY.encode() not in written(tmp_path)
    assert server.journal == []


async def test_a_reset_before_the_request_was_read_is_never_taken_for_an_answer(server, opened, tmp_path):
    """`not_sent` where our side knew of it before the first byte left, else `unknown`: the network decides which."""
    async with opened() as client:
        server.fail(Fault(reset="before"))
        error = await failure(client, RESPONSES)
        assert error.kind is K.CONNECTION_FAILED
        assert error.sent in (S.NOT_SENT, S.UNKNOWN)
        assert KEY not in told(error)
    assert [each.status for each in server.journal] == [0]
    assert KEY.encode() not in written(tmp_path)


async def test_a_response_that_failed_after_it_began_was_paid_for(server, opened):
    """The codes of a failed response: `finished`, by kind."""
    kinds = {"server_error": K.OVERLOADED, "rate_limit_exceeded": K.RATE_LIMITED, "bio_policy": K.CONTENT_REJECTED}
    async with opened() as client:
        for code, kind in kinds.items():
            server.account.answers.append(Answer(failed=(code, SAID)))
            error = await failure(client, RESPONSES)
            assert (error.kind, error.sent) == (kind, S.FINISHED)


async def test_a_key_that_is_not_set_sends_nothing(server, opened):
    """Exit code 3, and how to set it."""
    async with opened(key="") as client:
        with pytest.raises(CallsheetError, match="OPENAI_API_KEY") as caught:
            await client.call("openai:gpt-5", prompt=PROMPT)
    assert caught.value.exit_code == 3
    assert server.journal == []


async def test_the_next_call_is_not_disturbed(server, opened):
    """After a reset the connection is not used again."""
    server.fail(Fault(reset="after"))
    async with opened() as client:
        with contextlib.suppress(CallsheetError):
            await client.call("openai:gpt-5", prompt=PROMPT, on_unknown=OnUnknown.FAIL)
        result = await client.call("openai:gpt-5", prompt=PROMPT)
    assert result.artifacts[0].text


CUT_KEY = "Zq8fK2mN7pLw4RtY9vBxQ3"
"""It has no form by which a key is known: only its value gives it away."""


def cut_faults(text: str) -> list[Fault]:
    """Answers that quote a text, each in another place."""
    return [
        Fault(status=400, body={"error": {"message": text, "code": "c", "type": "t"}}),
        Fault(status=400, body=[text]),
        Fault(status=400, body={"error": {"message": "m", "code": text, "type": "t"}}),
        Fault(status=400, body={"error": {"message": "m"}}, headers={"x-request-id": text}),
        Fault(status=500, body=text.encode()),
        Fault(status=200, body=text.encode()),
        Fault(status=200, body={"id": text, "status": text}),
        Fault(status=200, body=f"data: {text}\n\n".encode(), headers={"content-type": "text/event-stream"}),
    ]


async def asked(client, *, streamed: bool) -> None:
    """One call, in one piece or streamed."""
    if not streamed:
        await client.call("openai:gpt-5", prompt=PROMPT, on_unknown=OnUnknown.FAIL)
        return
    async for _ in client.stream("openai:gpt-5", prompt=PROMPT, on_unknown=OnUnknown.FAIL):
        continue


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("before", [0, 185, 195, 1980, 1990])
async def test_a_key_is_not_cut_in_two(opened, tmp_path, before, streamed):
    """Long answers are shown in part: where the cut goes through the key, no half of it stays."""
    text = f"{'x' * before} {CUT_KEY} and so on"
    with Server(key=CUT_KEY) as server:
        server.judges_replies = False
        async with opened(base_url=server.origin, key=CUT_KEY) as client:
            for fault in cut_faults(text):
                server.fail(fault)
                with pytest.raises(CallsheetError) as caught:
                    await asked(client, streamed=streamed)
                assert CUT_KEY[:6] not in told(caught.value)
    assert CUT_KEY[:6].encode() not in written(tmp_path)
