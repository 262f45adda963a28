"""Answers with one field of another type: a result that can be recorded, or an error of the tree, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from openai_counterpart import stage
from openai_counterpart.answers import Answer, ToolCall
from openai_counterpart.replies import Vendored, _Line
from openai_counterpart.text_stage import handler as text_handler

from callsheet.errors import ProviderError, Sent
from callsheet.http import HttpReply, ServerSentEvent
from callsheet.jobs import JobResult, Receipt
from callsheet.money import estimate
from callsheet.plugin import StreamFinished
from callsheet.stores.records import decode_result, encode_result

ODD = [None, True, 0, -7, 1.5, 10**400, float("inf"), float("nan"), "", "odd", "\ud800", [], [None], [[]], {}, {"a": 1}]
GONE = object()


def odd(value: object) -> Iterator[object]:
    """The value with one of its parts replaced or gone, for all parts and replacements."""
    for other in ODD:
        yield other
    if isinstance(value, dict):
        for name in value:
            for other in (GONE, *odd(value[name])):
                changed = {**value, name: other}
                if other is GONE:
                    del changed[name]
                yield changed
    elif isinstance(value, list):
        for number in range(len(value)):
            for other in odd(value[number]):
                yield [*value[:number], other, *value[number + 1 :]]


class Canned:
    """`Http` whose answer is known, as a body or as events."""

    def __init__(self, value: object = None, events: list | None = None) -> None:
        self._value = value
        self._events = events
        self.status = 200
        self.headers: dict[str, str] = {}

    async def send(self, *_request: object, **_more: object) -> HttpReply:
        return HttpReply(200, {}, json.dumps(self._value).encode())

    def stream(self, *_request: object, **_more: object) -> Canned:
        return self

    async def __aenter__(self) -> Canned:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing is open."""

    async def events(self):
        for each in self._events or ():
            data = each if isinstance(each, str) else json.dumps(each)
            kind = each.get("type") if isinstance(each, dict) else None
            yield ServerSentEvent(data, kind if isinstance(kind, str) else "")

    async def pieces(self):
        for each in self._events or ():
            yield json.dumps(each).encode() + b"\n"


TOOLS = {"tools": [{"type": "function", "name": "depth", "parameters": {"type": "object", "properties": {}}}]}
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
ANSWERS = {
    "text": Answer("Hot.", reasoning="Hm.", search=True, cached=3),
    "tools": Answer(tools=(ToolCall("depth", {"of": "x"}),)),
    "refusal": Answer(refusal="No."),
    "length": Answer("Hot", finish="length"),
    "failed": Answer(failed=("server_error", "It broke.")),
}
CALLS = [
    *((model, f"text-{name}", {"prompt": "x"}) for model in ("gpt-5", "gpt-audio") for name in ANSWERS),
    ("text-embedding-3-small", "", {"text": "a", "dimensions": 2}),
    ("omni-moderation-latest", "", {"text": "a"}),
    ("gpt-image-2", "", {"prompt": "a", "size": "1024x1024"}),
]


def _case(model: str, name: str, inputs: dict, document):
    job = stage.job(model, "", {}, **inputs)
    wire = text_handler(job.model.wire) if name else stage.handler(job.operation.value)
    request = wire.prepare(job)
    api = Vendored(document)
    if name:
        api.answers.append(ANSWERS[name.removeprefix("text-")])
    paths = {"responses": "/responses", "chat": "/chat/completions"}
    path = paths.get(job.model.wire) or wire.endpoint.removeprefix("/v1")
    answer = json.loads(json.dumps(api.answer(_Line("POST", path, dict(request.body)))))
    return job, wire, request, answer


def _judge(result: object, job) -> None:
    """It can be written, read, and priced."""
    assert isinstance(result, JobResult)
    assert decode_result(encode_result(result))
    cost = result.cost or estimate(job.model.price, result.usage.units)
    assert cost.low is None or cost.low >= 0
    counts = (result.usage.input_tokens, result.usage.output_tokens, result.usage.cached_tokens)
    assert all(count is None or (isinstance(count, int) and 0 <= count < 2**53) for count in counts)


@pytest.mark.parametrize(("model", "name", "inputs"), CALLS, ids=str)
async def test_odd_answers(opened, document, model, name, inputs):
    """Whatever stands in a field: a result that can be recorded and priced, or a ProviderError that says it was paid."""
    job, wire, request, answer = _case(model, name, inputs, document)
    bad: dict[str, object] = {}
    async with opened() as client:
        context = stage.context(client, job)
        for value in odd(answer):
            try:
                canned = replace(context, http=Canned(value))
                _judge(await (getattr(wire, "invoke", None) or wire.submit)(request, canned), job)
            except ProviderError as error:
                if error.sent not in (Sent.FINISHED, Sent.UNKNOWN):
                    bad.setdefault(f"sent: {error.sent} {error}"[:150], value)
            except Exception as error:
                bad.setdefault(f"{type(error).__name__}: {error}"[:150], value)
    assert not bad, "\n".join(f"{error} <- {json.dumps(value)[:400]}" for error, value in bad.items())
