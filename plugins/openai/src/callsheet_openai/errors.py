"""What OpenAI's errors mean: by status, code and type of its envelope, and one pattern where only a text says it.

Sources: the error codes guide (platform.openai.com/docs/guides/error-codes), `ResponseError.code` and the `Error` schema
of the vendor's OpenAPI document. Compatible vendors send the same envelope, or less of it.
"""

from __future__ import annotations

import json
import re
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
    TextPart,
    error_for,
    excerpt,
    reply_error,
)

__all__ = ["content_error", "job_error", "malformed", "prompt_of", "vendor_error"]

_CODES: Mapping[str, ErrorKind] = {
    "invalid_api_key": ErrorKind.AUTHENTICATION,
    "invalid_organization": ErrorKind.AUTHENTICATION,
    "account_deactivated": ErrorKind.AUTHENTICATION,
    "unsupported_country_region_territory": ErrorKind.ACCESS_DENIED,
    "ip_not_authorized": ErrorKind.ACCESS_DENIED,
    "insufficient_quota": ErrorKind.QUOTA_EXCEEDED,
    "billing_hard_limit_reached": ErrorKind.QUOTA_EXCEEDED,
    "billing_not_active": ErrorKind.QUOTA_EXCEEDED,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "slow_down": ErrorKind.RATE_LIMITED,
    "server_error": ErrorKind.OVERLOADED,
    "model_not_found": ErrorKind.MODEL_NOT_FOUND,
    "model_deprecated": ErrorKind.MODEL_NOT_FOUND,
    "context_length_exceeded": ErrorKind.INVALID_REQUEST,
    "string_above_max_length": ErrorKind.INVALID_REQUEST,
    "previous_response_not_found": ErrorKind.INVALID_REQUEST,
    "invalid_image": ErrorKind.INVALID_REQUEST,
    "invalid_image_format": ErrorKind.INVALID_REQUEST,
    "invalid_base64_image": ErrorKind.INVALID_REQUEST,
    "invalid_image_url": ErrorKind.INVALID_REQUEST,
    "invalid_image_mode": ErrorKind.INVALID_REQUEST,
    "image_too_large": ErrorKind.INVALID_REQUEST,
    "image_too_small": ErrorKind.INVALID_REQUEST,
    "image_parse_error": ErrorKind.INVALID_REQUEST,
    "image_file_too_large": ErrorKind.INVALID_REQUEST,
    "unsupported_image_media_type": ErrorKind.INVALID_REQUEST,
    "empty_image_file": ErrorKind.INVALID_REQUEST,
    # reasoning models answer a flagged prompt with it; a prompt that is wrong in form has other codes
    "invalid_prompt": ErrorKind.CONTENT_REJECTED,
    "content_policy_violation": ErrorKind.CONTENT_REJECTED,
    "image_content_policy_violation": ErrorKind.CONTENT_REJECTED,
    "misalignment_policy_violation": ErrorKind.CONTENT_REJECTED,
    "bio_policy": ErrorKind.CONTENT_REJECTED,
    "moderation_blocked": ErrorKind.CONTENT_REJECTED,
    "content_filter": ErrorKind.CONTENT_REJECTED,
}
_TYPES: Mapping[str, ErrorKind] = {
    "insufficient_quota": ErrorKind.QUOTA_EXCEEDED,
    "billing_limit_user_error": ErrorKind.QUOTA_EXCEEDED,
}
# error codes guide, "429 - You exceeded your current quota": compatible vendors copy the sentence without the code
_NO_QUOTA = re.compile(r"\AYou exceeded your current quota\b")
_ADVICE: Mapping[ErrorKind, str] = {
    ErrorKind.AUTHENTICATION: "check the key",
    ErrorKind.QUOTA_EXCEEDED: "add credit or raise the limit in the provider's billing settings",
    ErrorKind.MODEL_NOT_FOUND: "check the model's name, the base URL, and that the key may use the model",
    ErrorKind.CONTENT_REJECTED: "change the prompt",
}
_LONGEST = 2000


def vendor_error(reply: HttpReply, context: JobContext | ProviderContext, *, lost: bool = False) -> ProviderError:
    """The error of a reply with an error's status. `lost`: the request asked for a job, and 404 means that it is gone."""
    envelope = _envelope(reply.body)
    message, code, type_ = (_text(envelope, name) for name in ("message", "code", "type"))
    kind = _CODES.get(code) or _TYPES.get(type_)
    if kind is None and reply.status == 429 and _NO_QUOTA.match(message):
        kind = ErrorKind.QUOTA_EXCEEDED
    if lost and reply.status == 404:
        kind = ErrorKind.JOB_LOST
    ref = str(context.job.ref) if isinstance(context, JobContext) else context.provider
    gone = kind is ErrorKind.JOB_LOST  # it had been accepted, and may have been paid for
    sent = Sent.UNKNOWN if gone else None
    error = reply_error(reply, "", kind=kind, sent=sent, now=context.clock(), ref=ref, raw=envelope or None)
    told = message or f"status {reply.status} without an explanation"
    text = f"{ref} answered: {excerpt(told, _LONGEST)}{f' ({code})' if code else ''}{_advice(error.kind)}"
    error.args = (text,)
    error.user_message = text
    if error.kind is ErrorKind.CONTENT_REJECTED and isinstance(context, JobContext):
        error.prompt = prompt_of(context)
    return error


def job_error(error: object, context: JobContext, *, request_id: str = "") -> ProviderError:
    """What the vendor says of an accepted job that failed: a failed response, an error in the middle of a stream."""
    envelope = error if isinstance(error, Mapping) else {}
    message, code = _text(envelope, "message"), _text(envelope, "code")
    kind = _CODES.get(code) or _TYPES.get(_text(envelope, "type")) or ErrorKind.JOB_FAILED
    ref = str(context.job.ref)
    told = excerpt(message, _LONGEST) or "it failed without an explanation"
    return error_for(kind)(
        f"{ref} reports: {told}{f' ({code})' if code else ''}{_advice(kind)}",
        sent=Sent.FINISHED,
        ref=ref,
        request_id=request_id,
        prompt=prompt_of(context) if kind is ErrorKind.CONTENT_REJECTED else "",
        raw=dict(envelope) or None,
    )


def content_error(what: str, context: JobContext, *, request_id: str = "") -> ProviderError:
    """The answer was refused or filtered: it was paid for, and there is no use in asking the same again."""
    ref = str(context.job.ref)
    return error_for(ErrorKind.CONTENT_REJECTED)(
        f"{ref} {what}; {_ADVICE[ErrorKind.CONTENT_REJECTED]}",
        sent=Sent.FINISHED,
        ref=ref,
        request_id=request_id,
        prompt=prompt_of(context),
    )


def malformed(what: str, context: JobContext, *, sent: Sent = Sent.FINISHED) -> MalformedOutputError:
    """The answer is not what the vendor's document promises."""
    ref = str(context.job.ref)
    return MalformedOutputError(f"{ref} {what}", sent=sent, ref=ref)


def prompt_of(context: JobContext) -> str:
    """The words that were refused: the prompt or text, else what the user said last."""
    inputs = context.job.inputs
    told = getattr(inputs, "prompt", None) or getattr(inputs, "text", None)
    if told:
        return str(told)
    for message in reversed(getattr(inputs, "messages", ())):
        if message.role == "user":
            return "\n".join(part.text for part in message.parts if isinstance(part, TextPart))
    return ""


def _advice(kind: ErrorKind) -> str:
    return f"; {_ADVICE[kind]}" if kind in _ADVICE else ""


def _envelope(body: bytes) -> Mapping[str, Any]:
    """`{"error": {…}}`; compatible vendors also send `{"error": "…"}`, `{"message": …}` and `{"detail": …}`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": excerpt(body, _LONGEST).strip()} if body else {}
    if not isinstance(value, Mapping):
        return {"message": excerpt(str(value), _LONGEST)}
    error = value.get("error") or value.get("detail") or value
    return error if isinstance(error, Mapping) else {"message": str(error)}


def _text(envelope: Mapping[str, Any], name: str) -> str:
    value = envelope.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)
