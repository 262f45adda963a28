"""Checks of where the key goes at the vendor's counterpart: into a header of each request, fresh, and nowhere else."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.jobs import Receipt
from callsheet.secrets import Secret
from callsheet.stores.records import encode_receipt, encode_result
from callsheet.testing.live_stage import LiveCall, caught, live, open_call, said_by
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.stage import PLANTED
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_OTHER = "another-key-7c6b5a49382716f5e4d3c2b1"
_NO_KEY = "its provider declares no secrets"


def _forms(secret: str) -> tuple[str, str]:
    return secret, base64.b64encode(secret.encode()).decode().rstrip("=")


def _shows(text: str, secret: str = PLANTED) -> bool:
    return any(form in text for form in _forms(secret))


async def _header(call: LiveCall) -> AsyncIterator[str]:
    """Each paid request has it."""
    _need_key(call)
    await call.result()
    for each in call.server.paid:
        if not any(_shows(value) for value in each.headers.values()):
            yield f"{each.method} {each.path} has the key in no header"


def _need_key(call: LiveCall) -> None:
    if not call.bound.secrets:
        raise NotApplicableError(_NO_KEY)


async def _nowhere(call: LiveCall) -> AsyncIterator[str]:
    """URLs are logged by everybody on the way, and bodies are kept by the vendor."""
    _need_key(call)
    await call.result()
    for each in call.server.journal:
        places = {"path": each.path, "query": " ".join(each.query.values()), "body": each.body.decode("latin-1")}
        for place, text in places.items():
            if _shows(text):
                yield f"{each.method} {each.route or 'unknown'}: the key stands in the {place}"


async def _kept(call: LiveCall) -> AsyncIterator[str]:
    """What is written down and handed on does not have it."""
    _need_key(call)
    told: list[str] = []

    async def accepted(request_id: str) -> None:
        told.append(request_id)

    context = call.context("kept", accepted=accepted)
    places: dict[str, str] = {}
    with _logged() as lines:
        sent = await call.send(context)
        if isinstance(sent, Receipt):
            places["receipt"] = encode_receipt(sent)
            places["status"] = repr(await call.ended(sent, context))
            sent = await call.collected(sent, context)
    places |= {"result": encode_result(sent) + repr(sent), "request id": " ".join(told), "log": "\n".join(lines)}
    files = [each for each in context.workspace.rglob("*") if each.is_file()] if context.workspace.is_dir() else []
    places["workspace"] = "\n".join(each.read_bytes().decode("latin-1") for each in files)
    for place, text in places.items():
        if _shows(text):
            yield f"the key stands in the {place}"


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Every record of every logger, as a formatter writes it."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{self.format(record)} {vars(record)}")

    collector = Collector(logging.DEBUG)
    root, library = logging.getLogger(), logging.getLogger("httpcore2")  # which tells each step of each request
    before = root.level, library.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    library.setLevel(logging.WARNING)
    try:
        yield lines
    finally:
        root.removeHandler(collector)
        root.setLevel(before[0])
        library.setLevel(before[1])


class _Rotating:
    """A resolver whose key is changed between two calls."""

    def __init__(self) -> None:
        self.value = PLANTED

    async def get(self, name: str) -> Secret | None:  # noqa: ARG002 - one value for all
        return Secret(self.value)


async def _fresh(call: LiveCall) -> AsyncIterator[str]:
    """A key that was changed is the one that the next call sends, through the same handler."""
    _need_key(call)
    secrets = _Rotating()
    server = call.subject.counterpart(key=PLANTED)
    async with open_call(call.subject, call.bound, server, secrets) as other:
        await other.result()
        secrets.value = _OTHER
        server.journal.clear()
        await caught(other.send(other.context("rotated")))
        if not server.journal:
            yield "after the key was changed nothing is sent"
        for each in server.journal:
            headers = " ".join(each.headers.values())
            if _shows(headers) or not _shows(headers, _OTHER):
                yield f"after the key was changed, {each.method} {each.route or each.path} does not send the new one"


async def _wrong(call: LiveCall) -> AsyncIterator[str]:
    """A key that the vendor does not take is the user's affair: nothing was paid, and nothing is tried again."""
    _need_key(call)
    async with open_call(call.subject, call.bound, call.subject.counterpart(key=_OTHER)) as other:
        given, error = await caught(other.send())
    if error is None:
        yield f"with another key than the counterpart takes, the call gives a {type(given).__name__}"
    elif not isinstance(error, ProviderError):
        yield f"a wrong key lets through {said_by(error)}"
    elif error.kind not in (ErrorKind.AUTHENTICATION, ErrorKind.ACCESS_DENIED):
        yield f"a wrong key raises {said_by(error)}, and not AuthenticationError"
    elif error.sent not in (Sent.REJECTED, Sent.NOT_SENT):
        yield f"a wrong key raises {said_by(error)}: nothing was paid (sent: rejected)"


TABLE: tuple[CheckRow, ...] = (
    (
        live(_header),
        Check(
            "key-in-header",
            "the key goes into a header of each paid request",
            "headers={'authorization': f'Bearer {key.reveal()}'} with `key = await context.secrets.key()`",
        ),
    ),
    (
        live(_nowhere),
        Check(
            "key-nowhere-else",
            "the key is in no path, query or body",
            "send the key in the vendor's header; if it only takes it in the query, ask the vendor for a header",
        ),
    ),
    (
        live(_kept),
        Check(
            "key-not-kept",
            "the key is in no receipt, status, result, log or file",
            "reveal() the key only where it goes into the header, and log, keep and give back no request",
        ),
    ),
    (
        live(_fresh),
        Check(
            "key-fresh",
            "a key that was changed is the one that the next call sends",
            "ask context.secrets.key() in each method, and keep neither the key nor a client that has it",
        ),
    ),
    (
        live(_wrong),
        Check(
            "wrong-key",
            "a wrong key is AuthenticationError or AccessDeniedError, with nothing paid",
            "raise reply_error(reply, …) for 401 and 403",
        ),
    ),
)
