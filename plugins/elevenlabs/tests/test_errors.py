"""The vendor's errors: kind and sent by code and status, and what a cut connection means."""

from __future__ import annotations

import traceback

import pytest
from elevenlabs_counterpart.stage import context, handler, job

from callsheet.errors import AuthenticationError, ConfigError, ConnectionFailedError
from callsheet.plugin import ErrorKind, ProviderError, Sent
from callsheet_elevenlabs.testing import KEY, Fault, refusal

K = ErrorKind
MODEL = "elevenlabs:eleven_flash_v2_5"


async def refused(server, opened, fault: Fault) -> ProviderError:
    """The handler's own error of one call."""
    wanted, speech = job("eleven_flash_v2_5", text="Hello there."), handler("speech")
    server.fail(fault)
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await speech.invoke(speech.prepare(wanted), context(client, wanted))
    assert len(server.asked("speech")) == 1
    assert KEY not in f"{''.join(traceback.format_exception(caught.value))}{caught.value!r}{caught.value.raw}"
    return caught.value


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ((400, "max_character_limit_exceeded"), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((400, "voice_not_found"), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((404, "voice_not_found"), (K.INVALID_REQUEST, Sent.REJECTED)),
        ((404, "model_not_found"), (K.MODEL_NOT_FOUND, Sent.REJECTED)),
        ((400, "bad_prompt"), (K.CONTENT_REJECTED, Sent.REJECTED)),
        ((403, "content_against_policy"), (K.CONTENT_REJECTED, Sent.REJECTED)),
        ((401, "invalid_api_key"), (K.AUTHENTICATION, Sent.REJECTED)),
        ((401, "quota_exceeded"), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((401, "detected_unusual_activity"), (K.ACCESS_DENIED, Sent.REJECTED)),
        ((401, "missing_permissions"), (K.ACCESS_DENIED, Sent.REJECTED)),
        ((402, "insufficient_credits"), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((402, "something_new"), (K.QUOTA_EXCEEDED, Sent.REJECTED)),
        ((403, "subscription_required"), (K.ACCESS_DENIED, Sent.REJECTED)),
        ((409, "already_running"), (K.INVALID_REQUEST, Sent.UNKNOWN)),
        ((429, "too_many_concurrent_requests"), (K.RATE_LIMITED, Sent.REJECTED)),
        ((429, "concurrent_limit_exceeded"), (K.RATE_LIMITED, Sent.REJECTED)),
        ((429, "rate_limit_exceeded"), (K.RATE_LIMITED, Sent.REJECTED)),
        ((429, "system_busy"), (K.OVERLOADED, Sent.REJECTED)),
        ((500, "internal_error"), (K.OVERLOADED, Sent.UNKNOWN)),
        ((503, "service_unavailable"), (K.OVERLOADED, Sent.REJECTED)),
        ((504, ""), (K.TIMEOUT, Sent.UNKNOWN)),
    ],
)
async def test_table(server, opened, said, meant):
    """Each with its request id, what it asks to wait for, and the refused words where words were refused."""
    (status, code), (kind, sent) = said, meant
    error = await refused(server, opened, refusal(status, code, "No.", retry_after="7", request_id="r1"))
    assert (error.kind, error.sent, error.status_code, error.retry_after) == (kind, sent, status, 7.0)
    assert error.request_id == "r1"
    assert error.retryable is (kind in (K.RATE_LIMITED, K.OVERLOADED, K.TIMEOUT))
    assert error.prompt == ("Hello there." if kind is K.CONTENT_REJECTED else "")
    assert MODEL in str(error)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, {"detail": "Not so"}, ("answered: Not so", "")),
        (
            422,
            {"detail": [{"loc": ["body", "text"], "msg": "field required", "type": "missing"}, {"msg": "b"}, 3]},
            ("answered: body.text: field required; b; 3", ""),
        ),
        (
            400,
            {
                "detail": {
                    "type": "validation_error",
                    "code": "text_too_long",
                    "message": "Too long",
                    "request_id": "r9",
                }
            },
            ("answered: Too long (text_too_long)", "r9"),
        ),
        (
            400,
            {"detail": {"status": "bad_prompt", "message": "No", "data": {"prompt_suggestion": "slow drums"}}},
            ("change the text to: slow drums", ""),
        ),
        (400, {"message": "x", "status": 12}, ("answered: x (12)", "")),
        (400, [], ("answered: status 400 without an explanation", "")),
        (400, b"", ("status 400 without an explanation", "")),
        (502, b"<html>Bad gateway</html>", ("answered: <html>Bad gateway", "")),
    ],
)
async def test_envelopes(server, opened, status, body, said):
    """The older and the newer envelope, a bare text, a list of findings, and what is none of them."""
    text, request_id = said
    error = await refused(server, opened, Fault(status=status, body=body, headers={"request-id": ""}))
    assert text in str(error)
    assert error.request_id == request_id


async def test_a_status_that_is_no_answer_is_malformed(server, opened):
    """The document knows 200 alone."""
    error = await refused(server, opened, Fault(status=204))
    assert (error.kind, error.sent) == (K.MALFORMED_OUTPUT, Sent.UNKNOWN)


@pytest.mark.parametrize(
    "fault",
    [Fault(size=0), Fault(size=3000), Fault(size=8340), Fault(size=3000, abrupt=True), Fault(reset="after")],
    ids=["no byte", "cut", "all but the end", "reset", "no answer"],
)
async def test_a_cut_sound_is_no_sound(server, opened, fault):
    """A body that ends before the wire says that it is whole is an error of which nobody knows whether it was paid."""
    error = await refused(server, opened, fault)
    assert isinstance(error, ConnectionFailedError)
    assert error.sent is Sent.UNKNOWN


async def test_a_wrong_key_is_told(server, opened):
    """And is in no message."""
    async with opened(key="el-wrong-key-1234567890") as client:
        with pytest.raises(AuthenticationError, match="check the key") as caught:
            await client.call(MODEL, text="Hello.")
    assert "el-wrong-key" not in str(caught.value)


async def test_no_key_is_told_before_anything_is_sent(server, opened):
    """By the name of the variable."""
    async with opened(key="") as client:
        with pytest.raises(ConfigError, match="ELEVENLABS_API_KEY"):
            await client.call(MODEL, text="Hello.")
    assert server.seen == []


async def test_an_unknown_id_of_a_voice_is_the_vendors_to_refuse(server, opened):
    """What looks like an id is not looked up."""
    async with opened() as client:
        with pytest.raises(ProviderError, match="was not found") as caught:
            await client.call(MODEL, text="Hello.", voice="z" * 20)
    assert (caught.value.kind, caught.value.sent) == (K.INVALID_REQUEST, Sent.REJECTED)
    assert [each.method for each in server.seen] == ["POST"]
