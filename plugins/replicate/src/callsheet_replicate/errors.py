"""What Replicate's errors mean: problem documents of refused requests, and the texts of failed predictions.

Sources: replicate.com/docs/reference/error-codes (E####), the vendor's notes on rate limits as keremk/tutopanda copies them
(throttling), and the texts of models' own filters, each named below.
"""

from __future__ import annotations

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
    error_for,
    excerpt,
    reply_error,
)

__all__ = ["malformed", "prediction_error", "prompt_of", "vendor_error"]

# "Request was throttled. Your rate limit resets in ~30s.": between the two sentences there may be one about credit
_THROTTLED = re.compile(r"\ARequest was throttled\.(?: [^\n]{0,400}?)? ?Your rate limit resets in ~(\d{1,6})s\b")
_CODE = re.compile(r"\A(?:Prediction failed: )?(E\d{3,4})\b|\((E\d{3,4})\)\Z")
_REJECTED = (
    # official models' moderation; its code E005 is checked, too (HeyPuter/puter#3719)
    re.compile(r"\AThe input or output was flagged as sensitive\b"),
    re.compile(r"\ANSFW content detected\b"),  # replicate/cog-stable-diffusion, predict.py
    re.compile(r"\AAll generated images contained NSFW content\b"),  # qwen-image (pollinations/pollinations#11809)
)
_REJECTED_CODE = "E005"
_ADVICE: Mapping[ErrorKind, str] = {
    ErrorKind.AUTHENTICATION: "check REPLICATE_API_TOKEN",
    ErrorKind.QUOTA_EXCEEDED: "add credit in the provider's billing settings",
    ErrorKind.MODEL_NOT_FOUND: "check owner, name and version of the model, and that the token may use it",
    ErrorKind.CONTENT_REJECTED: "change the prompt",
}
_ADVICE_OF_CODE = {"E1001": "the model ran out of memory: make the input smaller"}
_LONGEST = 2000


def vendor_error(reply: HttpReply, context: JobContext | ProviderContext, *, lost: bool = False) -> ProviderError:
    """The error of a reply with an error's status. `lost`: the request asked for a job, and 404 means that it is gone."""
    problem = _object(reply)
    title, detail = _text(problem, "title"), _text(problem, "detail")
    gone = lost and reply.status == 404
    ref = _called(context)
    error = reply_error(
        reply,
        "",
        kind=ErrorKind.JOB_LOST if gone else None,
        sent=Sent.UNKNOWN if gone else None,  # it had been accepted, and may have been paid for
        now=context.clock(),
        ref=ref,
        raw=problem or None,
    )
    told = ": ".join(filter(None, (title, detail))) or f"status {reply.status} without an explanation"
    text = f"{ref} answered: {excerpt(told + _fields(problem), _LONGEST)}{_advice(error.kind)}"
    error.args = (text,)
    error.user_message = text
    throttled = _THROTTLED.match(detail)
    if reply.status == 429 and error.retry_after is None and throttled:
        error.retry_after = float(throttled[1])
    return error


def prediction_error(told: object, context: JobContext, prediction_id: str) -> ProviderError:
    """Why a prediction failed. ContentRejectedError, with the prompt, where a filter stopped it."""
    text = told.strip() if isinstance(told, str) else ""
    found = _CODE.search(text)
    code = (found[1] or found[2]) if found else ""
    rejected = code == _REJECTED_CODE or any(pattern.match(text) for pattern in _REJECTED)
    kind = ErrorKind.CONTENT_REJECTED if rejected else ErrorKind.JOB_FAILED
    advice = f"; {_ADVICE_OF_CODE[code]}" if code in _ADVICE_OF_CODE else _advice(kind)
    ref = str(context.job.ref)
    return error_for(kind)(
        f"{ref} reports: {excerpt(text, _LONGEST) or 'it failed without an explanation'}{advice}",
        sent=Sent.FINISHED,
        ref=ref,
        request_id=prediction_id,
        prompt=prompt_of(context) if rejected else "",
        raw={"error": text, "code": code} if text else None,
    )


def malformed(what: str, context: JobContext | ProviderContext, *, sent: Sent = Sent.FINISHED) -> MalformedOutputError:
    """The answer is not what the vendor's document promises."""
    ref = _called(context)
    return MalformedOutputError(f"{ref} {what}", sent=sent, ref=ref)


def prompt_of(context: JobContext) -> str:
    """The words that were refused."""
    inputs = context.job.inputs
    return str(getattr(inputs, "prompt", None) or getattr(inputs, "text", None) or "")


def _called(context: JobContext | ProviderContext) -> str:
    """The model that was called; the provider, for a question that belongs to no call."""
    return str(context.job.ref) if isinstance(context, JobContext) else context.provider


def _object(reply: HttpReply) -> dict[str, Any]:
    try:
        value = reply.json()
    except (ProviderError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(problem: Mapping[str, Any], name: str) -> str:
    value = problem.get(name)
    return value.strip() if isinstance(value, str) else ""


def _fields(problem: Mapping[str, Any]) -> str:
    """The fields that the vendor objects to, as far as its text does not name them."""
    fields = problem.get("invalid_fields")
    if not isinstance(fields, list):
        return ""
    told = [f"{each.get('field')}: {each.get('description')}" for each in fields if isinstance(each, dict)]
    return f" ({'; '.join(told)})" if told else ""


def _advice(kind: ErrorKind) -> str:
    return f"; {_ADVICE[kind]}" if kind in _ADVICE else ""
