"""The vendor's refusals: kind, sent and wait by status, title and text."""

from __future__ import annotations

import pytest

from callsheet.plugin import ErrorKind, ProviderError, Sent
from callsheet_replicate.testing import Fault

K = ErrorKind
FIELDS = [{"type": "required", "field": "input.prompt", "description": "prompt is required"}]


@pytest.mark.parametrize(
    ("refusal", "meant"),
    [
        (
            (401, {"title": "Unauthenticated", "detail": "No token."}),
            (K.AUTHENTICATION, "Unauthenticated: No token.; check"),
        ),
        ((402, {"title": "Insufficient credit", "detail": "Buy."}), (K.QUOTA_EXCEEDED, "add credit")),
        ((403, {"detail": "Not allowed."}), (K.ACCESS_DENIED, "Not allowed.")),
        ((404, {"detail": "Not there."}), (K.MODEL_NOT_FOUND, "check owner, name and version")),
        (
            (422, {"title": "Input validation failed", "invalid_fields": FIELDS}),
            (K.INVALID_REQUEST, "input.prompt: prompt is"),
        ),
        ((429, {"detail": "Slow down."}), (K.RATE_LIMITED, "Slow down.")),
        ((503, b"<html>"), (K.OVERLOADED, "status 503 without an explanation")),
    ],
)
async def test_refused_creates(server, opened, refusal, meant):
    """What was refused was not started; the token is nowhere."""
    (status, body), (kind, said) = refusal, meant
    server.fail("create", *[Fault(status=status, body=body)] * 5)
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call("replicate:google/imagen-4", prompt="lava")
    error = caught.value
    assert (error.kind, error.sent, error.status_code) == (kind, Sent.REJECTED, status)
    assert said in str(error)
    assert server.key not in repr(vars(error)) + str(error)


@pytest.mark.parametrize(
    ("text", "headers", "wait"),
    [
        ("Request was throttled. Your rate limit resets in ~30s.", {}, 30.0),
        ("Request was throttled. You have less than $5.0 in credit. Your rate limit resets in ~9s.", {}, 9.0),
        ("Request was throttled. Your rate limit resets in ~30s.", {"retry-after": "4"}, 4.0),
        ("Say: Your rate limit resets in ~30s", {}, None),
    ],
)
async def test_how_long_to_wait(server, opened, text, headers, wait):
    """The header counts before the sentence, and only the vendor's own sentence counts."""
    server.fail("create", *[Fault(status=429, body={"detail": text}, headers=headers)] * 5)
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await client.call("replicate:google/imagen-4", prompt="lava")
    assert caught.value.retry_after == wait
