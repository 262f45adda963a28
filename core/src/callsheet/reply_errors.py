"""From an HTTP reply with an error's status to the right error; a plugin says what its vendor's own codes mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from callsheet.errors import ErrorKind, MalformedOutputError, ProviderError, Sent, error_for
from callsheet.http import HttpReply

__all__ = ["kind_of_status", "reply_error", "retry_after", "sent_of_status"]

_KINDS: Mapping[int, ErrorKind] = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.AUTHENTICATION,
    402: ErrorKind.QUOTA_EXCEEDED,
    403: ErrorKind.ACCESS_DENIED,
    404: ErrorKind.MODEL_NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.INVALID_REQUEST,
    413: ErrorKind.INVALID_REQUEST,
    415: ErrorKind.INVALID_REQUEST,
    422: ErrorKind.INVALID_REQUEST,
    429: ErrorKind.RATE_LIMITED,
    500: ErrorKind.OVERLOADED,
    502: ErrorKind.OVERLOADED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
_MAYBE_ACCEPTED = frozenset({408, 409})
_SURELY_REFUSED = frozenset({503, 529})
LONGEST_WAIT = 7 * 24 * 3600.0


def kind_of_status(status: int) -> ErrorKind:
    """What an error's status means by itself (RFC 9110; 529 is in use for an overloaded service)."""
    known = _KINDS.get(status)
    if known is not None:
        return known
    return ErrorKind.INVALID_REQUEST if 400 <= status < 500 else ErrorKind.OVERLOADED


def sent_of_status(status: int) -> Sent:
    """Whether a request with this answer can have been accepted: a complete refusal was not."""
    refused = (400 <= status < 500 and status not in _MAYBE_ACCEPTED) or status in _SURELY_REFUSED
    return Sent.REJECTED if refused else Sent.UNKNOWN


def retry_after(headers: Mapping[str, str], now: float, wait_header: str = "") -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (RFC 9110 10.2.3: seconds or a date); None without one.

    `now` is in seconds since the epoch; `wait_header` is a vendor's own header with milliseconds, which counts first. What
    is no such value, or is longer than a week, counts as none.
    """
    millis = _seconds(headers.get(wait_header.lower(), headers.get("retry-after-ms", "")))
    wait = millis / 1000 if millis is not None else _seconds(headers.get("retry-after", ""))
    if wait is None:
        try:
            when = parsedate_to_datetime(headers.get("retry-after", ""))
        except ValueError:
            return None
        wait = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    return max(wait, 0.0) if wait <= LONGEST_WAIT else None


def reply_error(
    reply: HttpReply,
    message: str,
    *,
    now: float | None = None,
    kind: ErrorKind | None = None,
    sent: Sent | None = None,
    retryable: bool | None = None,
    ref: str = "",
    request_id: str = "",
    docs_url: str = "",
    prompt: str = "",
    raw: object = None,
    wait_header: str = "",
) -> ProviderError:
    """The error of a reply that is no success. `kind` where the vendor's own code says more than the status.

    `now` and `wait_header` are as in `retry_after`.
    """
    if reply.status < 400:
        message = f"{ref or 'the provider'} answered with the status {reply.status}, which is no answer: {message}"
        return MalformedOutputError(message, sent=Sent.UNKNOWN, status_code=reply.status, ref=ref, raw=raw)
    moment = datetime.now(UTC).timestamp() if now is None else now
    return error_for(kind or kind_of_status(reply.status))(
        message,
        sent=sent or sent_of_status(reply.status),
        retryable=retryable,
        retry_after=retry_after(reply.headers, moment, wait_header),
        status_code=reply.status,
        request_id=request_id or reply.headers.get("x-request-id", ""),
        ref=ref,
        docs_url=docs_url,
        prompt=prompt,
        raw=raw,
    )


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
