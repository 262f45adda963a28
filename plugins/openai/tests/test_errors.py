"""The vendor's errors: kind, sent and advice by status, code and type."""

from __future__ import annotations

import json
import traceback

import pytest
from openai_counterpart import stage

from callsheet.plugin import ErrorKind, HttpReply, MalformedOutputError, Message, ProviderError, Sent, TextPart
from callsheet_openai.errors import job_error, prompt_of, vendor_error
from callsheet_openai.testing import KEY, Fault, refusal

K = ErrorKind


def vendors_own(error):
    """The vendor's error: where nobody knows the outcome, the engine's question stands in front of it."""
    return error.__cause__ if isinstance(error.__cause__, ProviderError) else error


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ((400, None, "invalid_request_error"), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((400, "context_length_exceeded", "invalid_request_error"), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((400, "content_policy_violation", "image_generation_user_error"), (K.CONTENT_REJECTED, Sent.REJECTED)),
        ((400, "moderation_blocked", "image_generation_user_error"), (K.CONTENT_REJECTED, Sent.REJECTED)),
        ((400, "invalid_prompt", "invalid_request_error"), (K.CONTENT_REJECTED, Sent.REJECTED)),
        ((400, "billing_hard_limit_reached", "invalid_request_error"), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((400, "previous_response_not_found", "invalid_request_error"), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((401, "invalid_api_key", "invalid_request_error"), (K.AUTHENTICATION, Sent.REJECTED)),
        ((401, None, ""), (K.AUTHENTICATION, Sent.REJECTED)),
        ((402, None, ""), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((403, "unsupported_country_region_territory", "request_forbidden"), (K.ACCESS_DENIED, Sent.REJECTED)),
        ((403, "model_not_found", "invalid_request_error"), (K.MODEL_NOT_FOUND, Sent.REJECTED)),
        ((404, "model_not_found", "invalid_request_error"), (K.MODEL_NOT_FOUND, Sent.REJECTED)),
        ((408, None, ""), (K.TIMEOUT, Sent.UNKNOWN)),
        ((409, None, ""), (K.INVALID_REQUEST, Sent.UNKNOWN)),
        ((413, None, ""), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((422, None, ""), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((429, "rate_limit_exceeded", "tokens"), (K.RATE_LIMITED, Sent.REJECTED)),
        ((429, None, "requests"), (K.RATE_LIMITED, Sent.REJECTED)),
        ((429, "insufficient_quota", "insufficient_quota"), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((429, None, "insufficient_quota"), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((500, "server_error", "server_error"), (K.OVERLOADED, Sent.UNKNOWN)),
        ((502, None, ""), (K.OVERLOADED, Sent.UNKNOWN)),
        ((503, "slow_down", "service_unavailable_error"), (K.RATE_LIMITED, Sent.REJECTED)),
        ((504, None, ""), (K.TIMEOUT, Sent.UNKNOWN)),
    ],
)
@pytest.mark.parametrize("model", ["gpt-5", "gpt-audio"])
async def test_table(server, opened, model, said, meant):
    """Kind and sent of each refusal, with its request id and what it asks to wait for; the key is nowhere."""
    (status, code, type_), (kind, sent) = said, meant
    server.fail(refusal(status, f"No: {KEY}", kind=type_, code=code, retry_after="7", x_request_id="req_1"))
    wanted = stage.job(model, "", prompt="Hello")
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call(f"openai:{model}", prompt="Hello", on_unknown="fail")
    error = vendors_own(caught.value)
    assert (error.kind, error.sent, error.status_code, error.retry_after) == (kind, sent, status, 7.0)
    assert error.request_id == "req_1"
    assert f"openai:{model}" in str(error)
    told = "".join(traceback.format_exception(caught.value))
    assert KEY not in f"{told}{error!r}{error.user_message}{error.raw}"
    assert error.prompt == (wanted.inputs.prompt if kind is K.CONTENT_REJECTED else "")
    assert len(server.journal) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": "no such model"}', "no such model"),
        (b'{"detail": "no such model"}', "no such model"),
        (b'{"message": "no such model", "code": 12}', "no such model (12)"),
        (b"<html>Bad gateway</html>", "Bad gateway"),
        (b"[]", "[]"),
        (b"", "status 400 without an explanation"),
    ],
)
async def test_other_envelopes(server, opened, body, told):
    """What compatible vendors and gateways answer is told as it came."""
    server.fail(Fault(status=400, body=body))
    async with opened() as client:
        with pytest.raises(ProviderError, match="answered") as caught:
            await client.call("openai:gpt-5", prompt="Hello")
    assert told in str(caught.value)


async def test_quota_by_its_sentence(server, opened):
    """A vendor that copies the sentence and not the code means the same."""
    server.fail(refusal(429, "You exceeded your current quota, please check your plan.", kind="", code=None))
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call("openai:gpt-5", prompt="Hello")
    assert caught.value.kind is K.QUOTA_EXCEEDED


@pytest.mark.parametrize("body", [b"not JSON", b"[1]", b"{}", b'{"status": "completed"}', b'{"status": "queued"}'])
@pytest.mark.parametrize("model", ["gpt-5", "gpt-audio"])
async def test_success_that_is_none(server, opened, model, body):
    """A success whose body is no answer is malformed, and not what Python makes of it."""
    server.fail(Fault(status=200, body=body, headers={"content-type": "application/json"}))
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call(f"openai:{model}", prompt="Hello", on_unknown="fail")
    assert isinstance(vendors_own(caught.value), MalformedOutputError)


async def test_lost_job(opened):
    """404 for a job that was accepted says that it is gone, not that there is no such model."""
    wanted = stage.job("gpt-5", "", prompt="Hello")
    reply = HttpReply(404, {}, json.dumps({"error": {"message": "No such response", "code": None}}).encode())
    async with opened() as client:
        context = stage.context(client, wanted)
        assert vendor_error(reply, context, lost=True).kind is K.JOB_LOST
        assert vendor_error(reply, context).kind is K.MODEL_NOT_FOUND


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "x"}, K.OVERLOADED),
        ({"code": "rate_limit_exceeded", "message": "x"}, K.RATE_LIMITED),
        ({"code": "image_content_policy_violation", "message": "x"}, K.CONTENT_REJECTED),
        ({"code": "invalid_image", "message": "x"}, K.INVALID_REQUEST),
        ({"code": "vector_store_timeout", "message": "x"}, K.JOB_FAILED),
        (None, K.JOB_FAILED),
    ],
)
async def test_failed_jobs(opened, error, kind):
    """What failed after it was accepted was paid for, whatever the reason."""
    async with opened() as client:
        found = job_error(error, stage.context(client, stage.job("gpt-5", "", prompt="Hello")))
    assert (found.kind, found.sent) == (kind, Sent.FINISHED)
    assert found.prompt == ("Hello" if kind is K.CONTENT_REJECTED else "")


async def test_prompt_of_a_conversation(opened):
    """Without a prompt the refused words are what the user said last."""
    said = (Message("user", (TextPart("One"),)), Message("user", (TextPart("Two"),)), Message("assistant", ()))
    async with opened() as client:
        assert prompt_of(stage.context(client, stage.job("gpt-5", "", messages=said))) == "Two"
