"""What ElevenLabs' errors mean: by the code of its envelope first, then by status.

Sources: elevenlabs.io/docs/eleven-api/resources/errors (types and codes), help.elevenlabs.io articles 19572237925521 (400 and
401) and 19571824571921 (429), `HTTPValidationError` of the vendor's OpenAPI document (422).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from callsheet.plugin import (
    ErrorKind,
    HttpReply,
    JobContext,
    MalformedOutputError,
    ProviderContext,
    ProviderError,
    Sent,
    excerpt,
    reply_error,
)

__all__ = ["malformed", "vendor_error"]

_CODES: Mapping[str, ErrorKind] = {
    "invalid_api_key": ErrorKind.AUTHENTICATION,
    "missing_api_key": ErrorKind.AUTHENTICATION,
    "needs_authorization": ErrorKind.AUTHENTICATION,
    # these come with the status 401 too, and have nothing to do with the key
    "quota_exceeded": ErrorKind.QUOTA_EXCEEDED,
    "insufficient_credits": ErrorKind.QUOTA_EXCEEDED,
    "detected_unusual_activity": ErrorKind.ACCESS_DENIED,
    "missing_permissions": ErrorKind.ACCESS_DENIED,
    "insufficient_permissions": ErrorKind.ACCESS_DENIED,
    "subscription_required": ErrorKind.ACCESS_DENIED,
    "paid_plan_required": ErrorKind.ACCESS_DENIED,
    "feature_not_available": ErrorKind.ACCESS_DENIED,
    "voice_access_denied": ErrorKind.ACCESS_DENIED,
    "model_access_denied": ErrorKind.ACCESS_DENIED,
    "model_not_found": ErrorKind.MODEL_NOT_FOUND,
    "unsupported_model": ErrorKind.INVALID_REQUEST,
    "voice_not_found": ErrorKind.INVALID_REQUEST,
    "invalid_voice_id": ErrorKind.INVALID_REQUEST,
    "max_character_limit_exceeded": ErrorKind.INVALID_REQUEST,
    "text_too_long": ErrorKind.INVALID_REQUEST,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "concurrent_limit_exceeded": ErrorKind.RATE_LIMITED,
    "too_many_concurrent_requests": ErrorKind.RATE_LIMITED,
    # the other meaning of 429: the vendor is full, and not this account's share
    "system_busy": ErrorKind.OVERLOADED,
    "content_against_policy": ErrorKind.CONTENT_REJECTED,
    "bad_prompt": ErrorKind.CONTENT_REJECTED,
    "bad_composition_plan": ErrorKind.CONTENT_REJECTED,
}
_ADVICE: Mapping[ErrorKind, str] = {
    ErrorKind.AUTHENTICATION: "check the key",
    ErrorKind.QUOTA_EXCEEDED: "add credits, or raise the limit of the key, in the provider's settings",
    ErrorKind.MODEL_NOT_FOUND: "check the model's name and the base URL",
    ErrorKind.CONTENT_REJECTED: "change the text",
}
_LONGEST = 2000


def vendor_error(reply: HttpReply, context: JobContext | ProviderContext) -> ProviderError:
    """The error of a reply with an error's status."""
    detail = _detail(reply.body)
    code = _text(detail, "code") or _text(detail, "status")
    kind = _CODES.get(code) or _CODES.get(_text(detail, "status"))
    ref = str(context.job.ref) if isinstance(context, JobContext) else context.provider
    request_id = reply.headers.get("request-id", "") or _text(detail, "request_id")
    # a refusal with a status of 429 was not accepted, whichever of the two it is
    error = reply_error(
        reply, "", kind=kind, now=context.clock(), ref=ref, request_id=request_id, raw=dict(detail) or None
    )
    told = excerpt(_text(detail, "message"), _LONGEST) or f"status {reply.status} without an explanation"
    better = _suggestion(detail)
    advice = f"; {_ADVICE[error.kind]}" if error.kind in _ADVICE else ""
    text = f"{ref} answered: {told}{f' ({code})' if code else ''}{advice}{f' to: {better}' if better else ''}"
    error.args = (text,)
    error.user_message = text
    if error.kind is ErrorKind.CONTENT_REJECTED and isinstance(context, JobContext):
        inputs = context.job.inputs
        error.prompt = str(getattr(inputs, "text", None) or getattr(inputs, "prompt", None) or "")
    return error


def malformed(what: str, context: JobContext) -> MalformedOutputError:
    """The answer is not what the vendor's document promises; it was paid for."""
    ref = str(context.job.ref)
    return MalformedOutputError(f"{ref} {what}", sent=Sent.FINISHED, ref=ref)


def _detail(body: bytes) -> Mapping[str, Any]:
    """`{"detail": {…}}`, `{"detail": "…"}` or, with 422, `{"detail": [{"loc", "msg", "type"}]}`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": excerpt(body, _LONGEST).strip()} if body else {}
    detail = value.get("detail", value) if isinstance(value, Mapping) else value
    if isinstance(detail, Mapping):
        return detail
    if isinstance(detail, list):
        return {"message": "; ".join(_finding(each) for each in detail)}
    return {"message": str(detail)}


def _finding(each: object) -> str:
    if not isinstance(each, Mapping):
        return str(each)
    loc = each.get("loc")
    path = ".".join(str(step) for step in loc) if isinstance(loc, list) else ""
    return f"{path}: {_text(each, 'msg')}" if path else _text(each, "msg")


def _suggestion(detail: Mapping[str, Any]) -> str:
    """Music: the wording that the vendor would take instead."""
    data = detail.get("data")
    return excerpt(_text(data, "prompt_suggestion"), _LONGEST) if isinstance(data, Mapping) else ""


def _text(detail: Mapping[str, Any], name: str) -> str:
    value = detail.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)
