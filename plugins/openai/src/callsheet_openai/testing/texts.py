"""Responses and chat completions: whole, streamed, and in the background."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from callsheet.plugin import ServerSentEvent
from callsheet.testing import Exchange, Pieces, event_stream
from callsheet_openai.testing.account import Account, Refused
from callsheet_openai.testing.answers import Answer, Json, ToolCall, chat, chat_events, response, response_events
from callsheet_openai.testing.schema_values import example

__all__ = ["Texts", "streamed"]


def streamed(events: Iterable[Json], *, named: bool = True, done: bool = False) -> Pieces:
    """JSON events as a body: named by their type, or unnamed; with `done`, `[DONE]` comes last."""
    told = [ServerSentEvent(json.dumps(event), event["type"] if named else "") for event in events]
    return event_stream([*told, *([ServerSentEvent("[DONE]")] if done else [])])


class Texts:
    """The text models of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def respond(self, request: Exchange) -> object:
        """A response; one in the background is only begun."""
        asked = request.data
        answer = self._next(asked)
        if asked.get("stream"):
            self._account.stored[answer.id] = response(answer, asked)
            return streamed(response_events(answer, asked))
        if not asked.get("background"):
            self._account.stored[answer.id] = made = response(answer, asked)
            return made
        answer = replace(answer, failed=self._account.next_failure() or answer.failed)
        return self._account.start(response(answer, asked, "queued"), lambda: response(answer, asked))

    def cancelled(self, request: Exchange) -> Json:
        """A background response, stopped if it runs. Raises Refused."""
        job = request.params["id"]
        found = self._account.find(job)
        if not found.get("background"):
            raise Refused(400, "Cannot cancel a synchronous response.")
        if self._account.stop(job):
            self._account.stored[job] = {**found, "status": "cancelled"}
        return self._account.stored[job]

    def chat(self, request: Exchange) -> object:
        """A chat completion."""
        asked = request.data
        answer = self._next(asked)
        return (
            streamed(chat_events(answer, asked), named=False, done=True) if asked.get("stream") else chat(answer, asked)
        )

    def _next(self, asked: Mapping[str, Any]) -> Answer:
        answers = self._account.answers
        return replace(answers.pop(0) if answers else _usual(asked), id=self._account.new("resp"))


def _usual(asked: Mapping[str, Any]) -> Answer:
    """An answer in the form that was asked for: the call of a tool that has to be called, JSON, or text."""
    tools = [each.get("function", each) for each in asked.get("tools") or () if each.get("type") == "function"]
    choice = asked.get("tool_choice")
    wanted = choice.get("function", choice).get("name") if isinstance(choice, Mapping) else None
    if choice == "required" or wanted:
        called = [ToolCall(each["name"], example(each.get("parameters") or {"type": "object"})) for each in tools]
        if call := next((each for each in called if wanted in (None, each.name)), None):
            return Answer(tools=(call,))
    form = (asked.get("text") or {}).get("format") or asked.get("response_format") or {}
    if form.get("type") == "json_schema":
        return Answer(json.dumps(example(form.get("json_schema", form)["schema"])))
    return Answer('{"answer": "lava"}') if form.get("type") == "json_object" else Answer()
