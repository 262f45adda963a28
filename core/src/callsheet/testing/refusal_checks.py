"""Checks of refusals in the vendor's own form: its words reach the error, whoever was asked and whatever the status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from callsheet.errors import ProviderError
from callsheet.handler import RemoteJobs
from callsheet.testing.exchange import Exchange, Fault
from callsheet.testing.live_stage import LiveCall, caught, live, open_call, said_by
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE", "unread"]

_OTHER = "a-key-that-nobody-has-70b9d1"
_STATUSES = (400, 422, 429, 503)
_WORDS = "The kiln is full until the {} bell rings."


async def _words(call: LiveCall) -> AsyncIterator[str]:
    """As the counterpart refuses a wrong key, with other words in it, so do all refusals look."""
    refusal = await _refusal(call)
    route = await call.paid_route()
    for status in _STATUSES:
        words = _WORDS.format(status)
        call.server.fail(route, Fault(status=status, body=_reworded(refusal.reply, words)))
        _, error = await caught(call.send(call.context(str(status))))
        if _silent(error, words):
            yield _complaint(f"a call that was answered with {status}", error, words)
            return
    if isinstance(call.handler, RemoteJobs):
        words = _WORDS.format("last")
        receipt = await call.receipt()
        call.server.fail(Fault(status=503, body=_reworded(refusal.reply, words)))
        _, error = await caught(call.handler.poll(receipt, call.context()))
        if _silent(error, words):
            yield _complaint("a poll that was answered with 503", error, words)


async def _refusal(call: LiveCall) -> Exchange:
    """What the counterpart answers to a wrong key. NotApplicableError where that says nothing in words."""
    if not call.bound.secrets:
        raise NotApplicableError("its provider declares no secrets: the counterpart refuses nobody")
    async with open_call(call.subject, call.bound, call.subject.counterpart(key=_OTHER)) as other:
        await caught(other.send())
        refused = [each for each in other.server.journal if each.status >= 400 and list(_sentences(each.reply))]
    if not refused:
        raise NotApplicableError(
            "the counterpart refuses a wrong key without a word, as JSON, that could reach the user"
        )
    return refused[0]


def _silent(error: Exception | None, words: str) -> bool:
    return isinstance(error, ProviderError) and words not in str(error)


def _complaint(what: str, error: Exception | None, words: str) -> str:
    return f"{what}, in the form in which the counterpart refuses, does not say {words!r}: {said_by(error or ValueError())}"


def unread(journal: Sequence[Exchange], told: str) -> str:
    """What the vendor's last answer says in words, and no answer or request before it; empty when some of it was told."""
    before = {text for each in journal[:-1] for text in _sentences(each.reply)}
    new = [text for text in _sentences(journal[-1].reply) if text not in before]
    asked = b" ".join(each.body for each in journal).decode("utf-8", "replace")
    new = [text for text in new if text not in asked]
    return "" if not new or (told and any(text in told for text in new)) else new[0]


def _sentences(reply: object) -> Iterator[str]:
    """The texts of some words in a JSON answer."""
    if isinstance(reply, str) and " " in reply.strip() and "://" not in reply:
        yield reply
    elif isinstance(reply, Mapping | list | tuple):
        for each in reply.values() if isinstance(reply, Mapping) else reply:
            yield from _sentences(each)


def _reworded(reply: object, words: str) -> object:
    """The same JSON with other words where it has words."""
    if isinstance(reply, Mapping):
        return {name: _reworded(each, words) for name, each in reply.items()}
    if isinstance(reply, list | tuple):
        return [_reworded(each, words) for each in reply]
    return words if isinstance(reply, str) and any(_sentences(reply)) else reply


TABLE: tuple[CheckRow, ...] = (
    (
        live(_words),
        Check(
            "error-words",
            "what the vendor says in a refusal reaches the error's text",
            "read the text where the vendor's errors have it: JsonApi(message=…, code=…), or the message of reply_error",
        ),
    ),
)
