"""What is hidden in a cassette, what stays, and that hiding twice is hiding once."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.testing.cassette_redaction import CassetteRedactor

KEY = "k3y/of+the=redactor-0123456789"

HIDDEN = {
    "a bearer token": f"Authorization: Bearer {KEY}",
    "a vendor's key": "the key sk-proj-0123456789abcdefXYZ is revoked",
    "Amazon": "https://b.s3.example/a?X-Amz-Security-Token=abc%2Fdef&X-Amz-Signature=00ff00ff&X-Amz-Credential=AKIA%2F1",
    "Google": "https://g.example/a?X-Goog-Signature=00ff00ff&X-Goog-Credential=me%40x",
    "Azure": "https://a.example/a?sv=2024&sig=ab%2Bcd%3D",
    "CloudFront": "https://c.example/a?Policy=eyJTdGF0&Signature=abc~def&Key-Pair-Id=K123",
    "in JSON": '{"url": "https:\\/\\/a.example\\/a?x=1\\u0026sig=abcdef"}',
    "in HTML": "<a href='https://a.example/a?x=1&amp;token=abcdef'>",
    "an account": '{"account_id": "abc", "accountId" : "def", "org_id": 12345, "organization": "mine", "user_email": "x"}',
    "ids": "org-Ab1Cd2Ef3Gh4 acct_1A2b3C4d5E6f user_2abcdefghij3",
    "a mail address": "write to some.body+x@mail.volcano.example!",
    "an ARN": "arn:aws:s3:eu-west-1:123456789012:bucket",
}
KEPT = (
    '{"status": "running", "id": "j-1", "user": "role", "tokens": 12, "usage": {"input_tokens": 3}}',
    "https://cdn.example/icons/a@2x.png?size=2&seed=7",
    "org-chart, user_name, a basic understanding of tokens",
    '{"model": "acme/ash-1", "project": "lava", "owner": "acme"}',
)


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden(name):
    """Nothing of the values is left, and JSON stays JSON."""
    redactor = CassetteRedactor([KEY])
    cleaned = redactor.text(HIDDEN[name])
    assert cleaned != HIDDEN[name]
    secrets = (
        "k3y",
        "proj-0123",
        "00ff",
        "abc",
        "AKIA",
        "eyJT",
        "def",
        "12345",
        "mine",
        "Ab1",
        "1A2b",
        "some.body",
        "K123",
    )
    assert [secret for secret in secrets if secret in cleaned] == []
    assert redactor.text(cleaned) == cleaned
    if cleaned.startswith("{"):
        assert set(json.loads(cleaned)) == set(json.loads(HIDDEN[name]))


@pytest.mark.parametrize("text", KEPT)
def test_what_stays(text):
    """Statuses, ids, names, counts: what a handler reads."""
    assert CassetteRedactor().text(text) == text


PIECES = [
    *HIDDEN.values(),
    *KEPT,
    KEY,
    "redacted",
    "[redacted]",
    '"',
    "\\",
    "&sig=",
    "?key=",
    "Bearer ",
    "://",
    "@",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8))
def test_hiding_twice_is_hiding_once(pieces):
    """So a cassette that was written can be checked when it is read."""
    redactor = CassetteRedactor([KEY])
    cleaned = redactor.text("".join(pieces))
    assert redactor.text(cleaned) == cleaned
    assert KEY not in cleaned


def test_a_request_teaches_its_credentials():
    """From whichever header or parameter; afterwards they are hidden wherever they turn up."""
    redactor = CassetteRedactor()
    basic = base64.b64encode(b"somebody:s3cret-pw").decode()
    redactor.learn(
        "https://a.example/x?api_key=query-key-0123456789&key=short",
        {
            "x-api-key": "header-key",
            "Cookie": "theme=dark-mode; sid=session-0123456789abcdef",
            "Authorization": f"Basic {basic}",
            "idempotency-key": "once-only",
            "Accept": "text/plain",
        },
    )
    for secret in ("query-key-0123456789", "header-key", basic, "s3cret-pw", "somebody", "session-0123456789abcdef"):
        assert redactor.text(f"<{secret}>") == "<redacted>"
        assert redactor.shown_in(b"\xff" + secret.encode() + b"\xff")
    redactor.learn("https://a.example", {"authorization": "Basic of-no-known-kind"})
    assert redactor.text("<of-no-known-kind>") == "<redacted>"
    assert redactor.text("short once-only dark-mode") == "short once-only dark-mode"
    assert not redactor.shown_in(b"\xff\x00 once-only")


def test_headers_of_a_reply():
    """Cookies and accounts go by their names, the rest by what it holds."""
    redactor = CassetteRedactor()
    given_headers = {
        "set-cookie": "a=b", "x-organization": "mine", "x-project-id": "p", "location": "https://a.example/?sig=abcdef",
        "x-request-id": "r-1", "x-ratelimit-remaining-tokens": "12", "etag": '"1"', "retry-after": "3",
    }  # fmt: skip
    assert {name: redactor.header(name, value) for name, value in given_headers.items()} == {
        **given_headers,
        **dict.fromkeys(("set-cookie", "x-organization", "x-project-id"), "redacted"),
        "location": "https://a.example/?sig=redacted",
    }


def test_values_that_are_too_short_to_hide():
    """They would be hidden in half of all words."""
    with pytest.raises(ConfigError, match="4 and more characters: one has 2"):
        CassetteRedactor(["ab"])
