"""Checks of conversations at the vendor's counterpart: the turns in their order, and the system prompt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

from callsheet.messages import Message, TextPart
from callsheet.testing.live_stage import SOME_ROWS, LiveCall, live
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_TURNS = (("user", "What is basalt?"), ("assistant", "A dark rock of lava."), ("user", "And pumice?"))
_SYSTEM = "Answer in one line, as a geologist."


async def _order(call: LiveCall) -> AsyncIterator[str]:
    """Each turn is sent once, after those before it, and as whose it is."""
    messages = tuple(Message(role, (TextPart(text),)) for role, text in _TURNS)  # type: ignore[arg-type]
    data = await _data(call.varied(messages=messages, prompt=None))
    sent = json.dumps(data, ensure_ascii=False)
    places = [sent.find(text) for _, text in _TURNS]
    for (role, text), place in zip(_TURNS, places, strict=True):
        if place < 0:
            yield f"the {role}'s turn {text!r} is not sent"
        elif sent.count(text) > 1:
            yield f"the {role}'s turn {text!r} is sent {sent.count(text)} times"
    if min(places) >= 0 and places != sorted(places):
        yield "the turns of a conversation are sent in another order"
    asked, answered, _ = (json.dumps(_turn(data, text)).replace(json.dumps(text), "") for _, text in _TURNS)
    if asked == answered and len(asked) > len("null"):
        yield "the assistant's turn is sent as one of the user: nothing but its text differs"


async def _system(call: LiveCall) -> AsyncIterator[str]:
    """It is sent, wherever the vendor wants it, and wherever it was given."""
    if not _told(await _data(call.varied(system=_SYSTEM))):
        yield "the system prompt is not sent"
    try:
        messages = (Message("system", (TextPart(_SYSTEM),)), Message("user", (TextPart(_TURNS[0][1]),)))
        within = call.varied(messages=messages, prompt=None)
    except NotApplicableError:
        return
    if not _told(await _data(within)):
        yield "a system prompt that is the first of the messages is not sent, and not warned of"


def _told(data: object) -> bool:
    return _SYSTEM in json.dumps(data, ensure_ascii=False)


def _turn(data: object, text: str) -> object:
    """The object of a list in which a turn's text stands; None where turns are no objects."""
    if isinstance(data, Mapping):
        return next((found for each in data.values() if (found := _turn(each, text)) is not None), None)
    for each in data if isinstance(data, list) else ():
        if isinstance(each, Mapping) and json.dumps(text) in json.dumps(each):
            return each if not any(other in json.dumps(each) for _, other in _TURNS if other != text) else None
    return None


async def _data(call: LiveCall) -> object:
    """The paid request's body."""
    await call.result()
    paid = call.server.paid
    if not paid:
        raise NotApplicableError("the counterpart counts no request of it as paid")
    return paid[-1].data


TABLE: tuple[CheckRow, ...] = (
    (
        live(_order, rows=SOME_ROWS, takes="messages"),
        Check(
            "chat-order",
            "the turns of a conversation are sent once each, in their order, as those of the user or the assistant",
            "map `messages` one by one, each with its role; warn of them or refuse them where the vendor takes a single prompt",
        ),
    ),
    (
        live(_system, rows=SOME_ROWS, takes="system"),
        Check(
            "chat-system",
            "the system prompt is sent, by itself or as the first of the messages",
            "put `system`, and messages with that role, where the vendor wants it; warn of it where there is no place",
        ),
    ),
)
