"""From an HTTP reply to an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import ErrorKind, MalformedOutputError, Sent, error_for
from callsheet.http import HttpReply
from callsheet.reply_errors import LONGEST_WAIT, kind_of_status, reply_error, retry_after, sent_of_status

NOW = 1_795_000_000.0
STATUSES = [
    (400, ErrorKind.INVALID_REQUEST, Sent.REJECTED),
    (401, ErrorKind.AUTHENTICATION, Sent.REJECTED),
    (402, ErrorKind.QUOTA_EXCEEDED, Sent.REJECTED),
    (403, ErrorKind.ACCESS_DENIED, Sent.REJECTED),
    (404, ErrorKind.MODEL_NOT_FOUND, Sent.REJECTED),
    (408, ErrorKind.TIMEOUT, Sent.UNKNOWN),
    (409, ErrorKind.INVALID_REQUEST, Sent.UNKNOWN),
    (413, ErrorKind.INVALID_REQUEST, Sent.REJECTED),
    (418, ErrorKind.INVALID_REQUEST, Sent.REJECTED),
    (422, ErrorKind.INVALID_REQUEST, Sent.REJECTED),
    (429, ErrorKind.RATE_LIMITED, Sent.REJECTED),
    (500, ErrorKind.OVERLOADED, Sent.UNKNOWN),
    (502, ErrorKind.OVERLOADED, Sent.UNKNOWN),
    (503, ErrorKind.OVERLOADED, Sent.REJECTED),
    (504, ErrorKind.TIMEOUT, Sent.UNKNOWN),
    (529, ErrorKind.OVERLOADED, Sent.REJECTED),
    (599, ErrorKind.OVERLOADED, Sent.UNKNOWN),
]


@pytest.mark.parametrize(("status", "kind", "sent"), STATUSES)
def test_statuses(status, kind, sent):
    """Each status has its kind, and says whether the call can have been accepted."""
    assert (kind_of_status(status), sent_of_status(status)) == (kind, sent)
    error = reply_error(
        HttpReply(status, {"x-request-id": "r1", "retry-after": "3"}, b""), "busy", now=NOW, ref="acme:m"
    )
    assert (type(error), error.kind, error.sent, error.status_code) == (error_for(kind), kind, sent, status)
    assert (error.request_id, error.retry_after, error.ref, str(error)) == ("r1", 3.0, "acme:m", "busy")


def test_what_the_plugin_knows_better():
    """A plugin's own words win over those of the status; a rejected prompt comes along."""
    reply = HttpReply(429, {"x-request-id": "r1"}, b"")
    error = reply_error(
        reply, "no credit", kind=ErrorKind.CONTENT_REJECTED, sent=Sent.FINISHED, retryable=False, request_id="r2", prompt="p", raw={"a": 1}
    )  # fmt: skip
    assert (error.kind, error.sent, error.retryable, error.request_id) == (
        ErrorKind.CONTENT_REJECTED,
        Sent.FINISHED,
        False,
        "r2",
    )
    assert (error.prompt, error.raw, error.retry_after) == ("p", {"a": 1}, None)


@pytest.mark.parametrize("status", [101, 200, 302])
def test_what_is_no_error(status):
    """A status that is neither an answer nor an error is a malformed answer."""
    error = reply_error(HttpReply(status, {}, b""), "odd", ref="acme:m")
    assert isinstance(error, MalformedOutputError)
    assert str(error) == f"acme:m answered with the status {status}, which is no answer: odd"
    assert error.sent is Sent.UNKNOWN


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:07:00 GMT"}, 20.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "99999999"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
    ],
)
def test_retry_after(headers, wait):
    """Seconds, milliseconds or a date; what is none of them, or absurd, counts as nothing said."""
    assert retry_after(headers, NOW) == wait


@given(st.text(max_size=40))
def test_any_retry_after(text):
    """Whatever a server writes: no exception, and a wait within the bounds."""
    wait = retry_after({"retry-after": text}, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
