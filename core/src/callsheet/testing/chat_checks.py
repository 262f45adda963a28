"""Checks of conversations at the vendor's counterpart: the turns in their order, and the system prompt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from callsheet.messages import Message, TextPart
from callsheet.testing.live_stage import SOME_ROWS, LiveCall, live
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_TURNS = (("user", "What is basalt?"), ("assistant", "A dark rock of lava."), ("user", "And pumice?"))
_SYSTEM = "Answer in one line, as a geologist."


async def _order(call: LiveCall) -> AsyncIterator[str]:
    """Each turn is sent once, after those before it."""
    messages = tuple(Message(role, (TextPart(text),)) for role, text in _TURNS)  # type: ignore[arg-type]
    sent = await _sent(call.varied(messages=messages, prompt=None))
    places = [sent.find(text) for _, text in _TURNS]
    for (role, text), place in zip(_TURNS, places, strict=True):
        if place < 0:
            yield f"the {role}'s turn {text!r} is not sent"
        elif sent.count(text) > 1:
            yield f"the {role}'s turn {text!r} is sent {sent.count(text)} times"
    if min(places) >= 0 and places != sorted(places):
        yield "the turns of a conversation are sent in another order"


async def _system(call: LiveCall) -> AsyncIterator[str]:
    """It is sent, wherever the vendor wants it."""
    if _SYSTEM not in await _sent(call.varied(system=_SYSTEM)):
        yield "the system prompt is not sent"


async def _sent(call: LiveCall) -> str:
    """The paid request's body, as plain text."""
    await call.result()
    paid = call.server.paid
    if not paid:
        raise NotApplicableError("the counterpart counts no request of it as paid")
    return json.dumps(paid[-1].data, ensure_ascii=False)


TABLE: tuple[CheckRow, ...] = (
    (
        live(_order, rows=SOME_ROWS, takes="messages"),
        Check(
            "chat-order",
            "the turns of a conversation are sent once each, in their order",
            "map `messages` one by one; warn of them or refuse them where the vendor takes a single prompt",
        ),
    ),
    (
        live(_system, rows=SOME_ROWS, takes="system"),
        Check(
            "chat-system",
            "the system prompt is sent",
            "put `system` where the vendor wants it; warn of it where there is no place",
        ),
    ),
)
