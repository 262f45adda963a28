"""Checks of what a handler makes of a vendor's faults: the right error, one request, no secret."""

from __future__ import annotations

import asyncio
import base64
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callsheet.errors import CallsheetError, ErrorKind, ProviderError, Sent
from callsheet.registry import BoundHandler
from callsheet.reply_errors import kind_of_status, sent_of_status
from callsheet.testing.exchange import Fault, Reply
from callsheet.testing.report import Finding, NotApplicableError
from callsheet.testing.stage import PLANTED, SECONDS, Stage, open_stage
from callsheet.testing.subject import Subject
from callsheet.testing.vendor import SCRIPTED

__all__ = ["Observed", "check_errors", "check_no_retry", "check_no_secret", "secret_places"]

RETRY_AFTER = 7
_CUT = "a cut reply"
_JSON = {"content-type": "application/json"}
_FAULTS: Mapping[str, Reply] = {
    **{str(status): Reply(status, SCRIPTED, _JSON) for status in (401, 403, 404, 500, 503)},
    "429": Reply(429, SCRIPTED, {**_JSON, "retry-after": str(RETRY_AFTER)}),
    _CUT: Reply(200, b'{"id": "x', _JSON),
}
_KINDS_OF_CUT = (ErrorKind.CONNECTION_FAILED, ErrorKind.MALFORMED_OUTPUT)


@dataclass(frozen=True, slots=True)
class Observed:
    """One call that the vendor answered with a fault: what was raised, and how many requests there were."""

    where: str
    fault: str
    error: BaseException | None
    requests: int
    secret: bool


def _observed(subject: Subject) -> list[Observed]:
    if subject.observed is None:
        subject.observed = asyncio.run(_observe(subject))
    if not subject.observed:
        raise NotApplicableError("no sample job can be prepared: see the check `bodies`")
    return subject.observed


async def _observe(subject: Subject) -> list[Observed]:
    seen: list[Observed] = []
    async with open_stage(subject) as stage:
        for bound in stage.wires:
            seen += await _faults(subject, stage, bound)
    return seen


async def _faults(subject: Subject, stage: Stage, bound: BoundHandler) -> list[Observed]:
    job = subject.job(bound)
    try:
        request = bound.preparer.prepare(job)
    except Exception:  # noqa: BLE001 - whatever a plugin raises; the check `bodies` tells of it
        return []
    seen = []
    for fault, reply in _FAULTS.items():
        stage.vendor.expect(reply, Fault(promise=1000) if fault == _CUT else None)
        error: BaseException | None = None
        try:
            await stage.call(bound, job, request)
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever a plugin raises
            error = raised
        requests = len(stage.vendor.journal)
        seen.append(Observed(f"{bound.ref}, {fault}", fault, error, requests, bool(bound.secrets)))
    return seen


def check_errors(subject: Subject) -> Iterator[Finding]:
    """Each fault becomes the error that says what it means, and whether the request may have been paid for."""
    for seen in _observed(subject):
        problem = _wrong_error(seen)
        if problem:
            yield Finding(seen.where, problem)


def _wrong_error(seen: Observed) -> str:
    error = seen.error
    kinds, sent = _wanted(seen.fault)
    names = " or ".join(kinds)
    if error is None:
        return f"gives a result, and not an error of the kind {names}"
    if isinstance(error, TimeoutError):
        return f"does not end within {SECONDS:g} s: a handler neither waits nor retries"
    if not isinstance(error, ProviderError):
        return f"lets through {type(error).__name__}: {error}"
    if not seen.requests:
        return f"sends nothing to context.origin, and raises {type(error).__name__}: {error}"
    if error.kind not in kinds or error.sent is not sent:
        return f"raises {type(error).__name__} (sent: {error.sent}), and not {names} (sent: {sent})"
    if seen.fault == "429" and error.retry_after != RETRY_AFTER:
        return f"has retry_after = {error.retry_after}; the vendor said Retry-After: {RETRY_AFTER}"
    return ""


def _wanted(fault: str) -> tuple[tuple[ErrorKind, ...], Sent]:
    if fault == _CUT:
        return _KINDS_OF_CUT, Sent.UNKNOWN
    return (kind_of_status(int(fault)),), sent_of_status(int(fault))


def check_no_retry(subject: Subject) -> Iterator[Finding]:
    """One call is one request, whatever the answer: whether to try again is for the core to decide."""
    for seen in _observed(subject):
        if seen.requests > 1:
            yield Finding(seen.where, f"sends {seen.requests} requests for one call")
        elif not seen.requests:
            yield Finding(seen.where, "sends no request to context.origin")


def check_no_secret(subject: Subject) -> Iterator[Finding]:
    """The key is in no message, repr, field or traceback of an error."""
    if not any(seen.secret for seen in _observed(subject)):
        raise NotApplicableError("it declares no secrets")
    for seen in _observed(subject):
        for place in secret_places(seen.error, PLANTED) if seen.error is not None else ():
            yield Finding(seen.where, f"the key stands in the {place} of {type(seen.error).__name__}")


def secret_places(error: BaseException, secret: str) -> Iterator[str]:
    """Where an error shows the secret, as it is or in base64."""
    forms = (secret, base64.b64encode(secret.encode()).decode().rstrip("="))
    texts = {"message": str(error), "repr": repr(error)}
    if isinstance(error, CallsheetError):
        texts |= {f"field {name}": f"{value!r} {value}" for name, value in vars(error).items()}
    if not any(form in text for text in texts.values() for form in forms):
        texts = {"traceback": "".join(traceback.format_exception(error))}
    for place, text in texts.items():
        if any(form in text for form in forms):
            yield place
