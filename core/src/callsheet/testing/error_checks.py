"""Checks of what a handler makes of a vendor's faults: the right error, one request, no wait, no secret."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from email.utils import formatdate
from io import StringIO

from callsheet.errors import CallsheetError, ErrorKind, ProviderError, Sent, error_for
from callsheet.jobs import Job, ProviderRequest
from callsheet.registry import BoundHandler
from callsheet.reply_errors import kind_of_status, sent_of_status
from callsheet.testing.exchange import Fault, Reply
from callsheet.testing.purity import sleeps
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.stage import PLANTED, SECONDS, Stage, open_stage
from callsheet.testing.subject import CheckRow, Look, Subject
from callsheet.testing.vendor import SCRIPTED

__all__ = ["TABLE", "Observed", "secret_places"]

RETRY_AFTER = 7
_LATER = 3600.0
_CUT, _PAGE, _EMPTY, _REDIRECT, _DATED, _UNREACHABLE = (
    "a cut reply", "a page in place of JSON", "an empty reply", "a redirect", "429 with a date", "no connection",
)  # fmt: skip
_JSON = {"content-type": "application/json"}
_HTML = {"content-type": "text/html; charset=utf-8"}
_STATUSES = (400, 401, 402, 403, 404, 409, 413, 422, 500, 502, 503, 504, 529)
_FAULTS: Mapping[str, Reply] = {
    **{str(status): Reply(status, SCRIPTED, _JSON) for status in _STATUSES},
    "429": Reply(429, SCRIPTED, _JSON),
    "502 with a page": Reply(502, b"<html><h1>Bad gateway</h1></html>", _HTML),
    _DATED: Reply(429, SCRIPTED, _JSON),
    _CUT: Reply(200, b'{"id": "x', _JSON),
    _PAGE: Reply(200, b"<html><h1>Down for maintenance</h1></html>", _HTML),
    _EMPTY: Reply(200, b"", _JSON),
    _REDIRECT: Reply(302, b"", {"location": "/elsewhere"}),
}
_BROKEN: Mapping[str, tuple[ErrorKind, ...]] = {
    _CUT: (ErrorKind.CONNECTION_FAILED, ErrorKind.MALFORMED_OUTPUT),
    _PAGE: (ErrorKind.MALFORMED_OUTPUT,),
    _EMPTY: (ErrorKind.MALFORMED_OUTPUT,),
    _REDIRECT: (ErrorKind.MALFORMED_OUTPUT,),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """One call that the vendor answered with a fault: what was raised, how many requests there were, who slept.

    `secret`: the call had a key; `logged` are the log lines and prints that show it; `wait` is what a 429 had as a header.
    """

    where: str
    fault: str
    error: BaseException | None
    requests: int
    secret: bool
    model: str
    wait: str
    slept: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()


def _observed(subject: Subject) -> list[Observed]:
    if subject.observed is None:
        subject.observed = asyncio.run(_observe(subject))
    if not subject.observed:
        raise NotApplicableError("no sample job can be prepared: see the check `prepare-least`")
    return subject.observed


async def _observe(subject: Subject) -> list[Observed]:
    seen: list[Observed] = []
    wait = _wait(subject)
    async with open_stage(subject) as stage:
        for bound in stage.wires:
            job = subject.job(bound)
            try:
                request = bound.preparer.prepare(job)
            except Exception:  # noqa: BLE001, S112 - whatever a plugin raises; the check `prepare-least` tells of it
                continue
            for fault in (*_FAULTS, _UNREACHABLE):
                seen.append(await _call(stage, bound, job, request, fault=fault, wait=wait))  # noqa: PERF401 - one after the other
    return seen


def _wait(subject: Subject) -> dict[str, str]:
    """How the vendor says that it wants to be left alone for some seconds: its counterpart knows the header."""
    try:
        name = str(getattr(subject.counterpart, "wait_header", "")).lower()
    except NotApplicableError:
        name = ""
    return {name: str(RETRY_AFTER * 1000)} if name not in ("", "retry-after") else {"retry-after": str(RETRY_AFTER)}


async def _call(
    stage: Stage, bound: BoundHandler, job: Job, request: ProviderRequest, *, fault: str, wait: Mapping[str, str]
) -> Observed:
    reply = _FAULTS.get(fault, Reply())
    if fault == "429":
        reply = replace(reply, headers={**_JSON, **wait})
    if fault == _DATED:
        reply = replace(reply, headers={**_JSON, "retry-after": formatdate(time.time() + _LATER, usegmt=True)})
    stage.vendor.expect(reply, Fault(promise=1000) if fault == _CUT else None)
    called = replace(bound, origin=_nowhere()) if fault == _UNREACHABLE else bound
    error: BaseException | None = None
    with _shown() as lines, sleeps() as slept:
        try:
            await stage.call(called, job, request)
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever a plugin raises
            error = raised
    return Observed(
        where=f"{bound.ref}, {fault}",
        fault=fault,
        error=error,
        requests=len(stage.vendor.journal),
        secret=bool(bound.secrets),
        wait="".join(f"{name}: {value}" for name, value in wait.items()),
        model=bound.info.model,
        slept=tuple(slept),
        logged=tuple(line for line in lines if any(form in line for form in _forms(PLANTED))),
    )


def _nowhere() -> str:
    """An origin on this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def _shown() -> Iterator[list[str]]:
    """What anybody logs or prints meanwhile, as it would be written."""
    lines: list[str] = []
    printed = StringIO()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name}: {self.format(record)}")

    root = logging.getLogger()
    level, handlers = root.level, root.handlers
    root.handlers = [Lines()]  # in place of the usual ones: nobody wants to read all this
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield lines
    finally:
        root.setLevel(level)
        root.handlers = handlers
        lines += [f"a print: {line}" for line in printed.getvalue().splitlines()]


def _check_of(*faults: str) -> Look:
    """The check that these faults become the errors which say what they mean, and whether the call may be paid for."""

    def check(subject: Subject) -> Iterator[Finding]:
        for seen in _observed(subject):
            problem = _wrong_error(seen) if seen.fault in faults else ""
            if problem:
                yield Finding(seen.where, problem)

    return check


def _wrong_error(seen: Observed) -> str:
    error = seen.error
    kinds, sents = _wanted(seen.fault)
    names = " or ".join(kinds)
    if error is None:
        return f"gives a result, and not an error of the kind {names}"
    if isinstance(error, TimeoutError):
        return f"does not end within {SECONDS:g} s: a handler neither waits nor retries"
    if not isinstance(error, ProviderError):
        return f"lets through {type(error).__name__}: {error}"
    if not seen.requests and seen.fault != _UNREACHABLE:
        return f"sends nothing to context.origin, and raises {type(error).__name__}: {error}"
    if error.kind not in kinds or error.sent not in sents:
        return f"raises {type(error).__name__} (sent: {error.sent}), and not {names} (sent: {' or '.join(sents)})"
    usual = error_for(error.kind).default_retryable
    if error.retryable is not usual and error.sent in (Sent.NOT_SENT, Sent.REJECTED):
        told = "it would be sent again, and refused again" if error.retryable else "nobody would send it again"
        return f"has retryable = {error.retryable}: {told}"
    if seen.fault == "429" and error.retry_after != RETRY_AFTER:
        return f"has retry_after = {error.retry_after}; the vendor said {seen.wait}"
    if seen.fault == _DATED and not 0 < (error.retry_after or 0) <= _LATER + 1:
        return f"has retry_after = {error.retry_after}; the vendor said Retry-After: a date in an hour"
    return ""


def _wanted(fault: str) -> tuple[tuple[ErrorKind, ...], tuple[Sent, ...]]:
    if fault == _UNREACHABLE:
        return (ErrorKind.CONNECTION_FAILED,), (Sent.NOT_SENT,)
    if fault in _BROKEN:
        return _BROKEN[fault], (Sent.UNKNOWN, Sent.FINISHED) if fault in (_PAGE, _EMPTY) else (Sent.UNKNOWN,)
    status = int(fault[:3])
    return (kind_of_status(status),), (sent_of_status(status),)


def check_no_retry(subject: Subject) -> Iterator[Finding]:
    """One call is one request, whatever the answer: whether to try again is for the core to decide."""
    for seen in _observed(subject):
        if seen.requests > 1:
            yield Finding(seen.where, f"sends {seen.requests} requests for one call")
        elif not seen.requests and seen.fault != _UNREACHABLE:
            yield Finding(seen.where, "sends no request to context.origin")


def check_no_sleep(subject: Subject) -> Iterator[Finding]:
    """Waiting is the core's: it has the clock, the deadline, and tells the user."""
    for place in sorted({place for seen in _observed(subject) for place in seen.slept}):
        yield Finding(place, "sleeps in a call")


def check_names(subject: Subject) -> Iterator[Finding]:
    """An error says which model it is about: a run calls many."""
    for seen in _observed(subject):
        error = seen.error if seen.fault.isdigit() else None
        if isinstance(error, ProviderError) and seen.model not in f"{error.ref} {error}":
            yield Finding(seen.where, f"raises {type(error).__name__} that names no model: {error}")


def _with_key(subject: Subject) -> list[Observed]:
    found = [seen for seen in _observed(subject) if seen.secret]
    if not found:
        raise NotApplicableError("it declares no secrets")
    return found


def check_no_secret(subject: Subject) -> Iterator[Finding]:
    """The key is in no message, repr, field or traceback of an error."""
    for seen in _with_key(subject):
        for place in secret_places(seen.error, PLANTED) if seen.error is not None else ():
            yield Finding(seen.where, f"the key stands in the {place} of {type(seen.error).__name__}")


def check_no_secret_logged(subject: Subject) -> Iterator[Finding]:
    """The key is in no log line, of any level, and in nothing that is printed."""
    for seen in _with_key(subject):
        for line in seen.logged:
            yield Finding(seen.where, f"the key is shown by {line.partition(':')[0]}")


def secret_places(error: BaseException, secret: str) -> Iterator[str]:
    """Where an error shows the secret, as it is or in base64."""
    forms = _forms(secret)
    texts = {"message": str(error), "repr": repr(error)}
    if isinstance(error, CallsheetError):
        texts |= {f"field {name}": f"{value!r} {value}" for name, value in vars(error).items()}
    if not any(form in text for text in texts.values() for form in forms):
        texts = {"traceback": "".join(traceback.format_exception(error))}
    for place, text in texts.items():
        if any(form in text for form in forms):
            yield place


def _forms(secret: str) -> tuple[str, ...]:
    return (secret, base64.b64encode(secret.encode()).decode().rstrip("="))


_MAPPED = (
    "raise reply_error(reply, …) for a status of 400 and above, with `retryable` as its kind has it, and let the errors of"
    " context.http through"
)
_WAITED = f"{_MAPPED}; a header of the vendor's own is named by JsonApi(wait_header=…)"
_PARSED = "read the reply with reply.json(), which raises MalformedOutputError; look at its status and media type first"


def _row(name: str, holds: str, *faults: str, repair: str = _MAPPED) -> CheckRow:
    return _check_of(*faults), Check(name, holds, repair)


TABLE: tuple[CheckRow, ...] = (
    _row("error-unauthorized", "401 is AuthenticationError, and nothing was started", "401"),
    _row("error-quota", "402 is QuotaExceededError, and nothing was started", "402"),
    _row("error-forbidden", "403 is AccessDeniedError, and nothing was started", "403"),
    _row("error-not-found", "404 is ModelNotFoundError, and nothing was started", "404"),
    _row("error-conflict", "409 is InvalidRequestError, and nobody knows whether it was started", "409"),
    _row("error-invalid", "400, 413 and 422 are InvalidRequestError, and nothing was started", "400", "413", "422"),
    _row("error-rate-limited", "429 is RateLimitedError with the seconds to wait", "429", repair=_WAITED),
    _row("error-retry-date", "a Retry-After that is a date becomes seconds from now", _DATED),
    _row("error-busy", "503 and 529 are OverloadedError, and nothing was started", "503", "529"),
    _row(
        "error-server",
        "500, 502 and 504, JSON or a page, are errors of which nobody knows whether the call was started",
        *("500", "502", "502 with a page", "504"),
    ),
    _row("error-unreachable", "no connection is ConnectionFailedError, and nothing was sent", _UNREACHABLE),
    _row("error-cut", "a reply that is cut is an error, and the call may be paid for", _CUT, repair=_PARSED),
    _row("error-page", "a page in the place of the answer is MalformedOutputError", _PAGE, repair=_PARSED),
    _row("error-empty", "an empty answer is MalformedOutputError", _EMPTY, repair=_PARSED),
    _row("error-redirect", "a redirect is not followed, and is MalformedOutputError", _REDIRECT, repair=_PARSED),
    (check_names, Check("error-names", "an error names its model", "pass ref=str(request.ref) to reply_error")),
    (
        check_no_retry,
        Check(
            "no-retry",
            "one call is one request, whatever the answer",
            "remove the loop, and switch off the SDK's retries: the core decides what is tried again",
        ),
    ),
    (
        check_no_sleep,
        Check("no-sleep", "a call sleeps nowhere", "raise the error with retry_after: the core waits"),
    ),
    (
        check_no_secret,
        Check(
            "no-secret",
            "the key is in no error",
            "reveal() the key only where it goes into the header; put no request and no headers into errors",
        ),
    ),
    (
        check_no_secret_logged,
        Check("no-secret-logged", "the key is in no log line, and is not printed", "log neither headers nor requests"),
    ),
)
