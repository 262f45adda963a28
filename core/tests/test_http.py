"""Replies as a handler sees them."""

from __future__ import annotations

import pytest

from callsheet.errors import MalformedOutputError, Sent
from callsheet.http import FormFile, HttpLimits, HttpReply


def test_json():
    """A reply's body is read as JSON."""
    assert HttpReply(200, {}, b'{"a": "\xc3\xa4"}').json() == {"a": "ä"}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff\xfe\xfa", b"[" * 100_000], ids=["empty", "html", "cut", "bytes", "deep"]
)
def test_no_json(body):
    """What is no JSON is an error with the status and the first characters, and nobody knows whether it was paid."""
    with pytest.raises(MalformedOutputError, match=r"\(status 502\) is not JSON: ") as caught:
        HttpReply(502, {}, body).json()
    assert (caught.value.sent, caught.value.status_code) == (Sent.UNKNOWN, 502)
    assert len(str(caught.value)) < 300


def test_bodies_are_not_shown():
    """A reply's body is in no representation: it may be large, or private."""
    assert "secret" not in repr(HttpReply(200, {}, b"secret"))


def test_limits():
    """The usual limits let a model think for long, and no reply grow beyond memory."""
    assert HttpLimits() == HttpLimits(connect=10.0, read=600.0, total=1800.0, max_bytes=64 * 2**20)
    assert FormFile("file", "a.png", "image/png", b"1").data == b"1"
