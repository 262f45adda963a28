"""Answers with one field of another type: a result that can be recorded, or an error of the tree, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator
from dataclasses import replace

import pytest
from openai_counterpart import stage
from openai_counterpart.text_stage import handler as text_handler

from callsheet.errors import ProviderError, Sent
from callsheet.handler import BatchItem
from callsheet.http import HttpReply, ServerSentEvent
from callsheet.jobs import JobResult, Receipt
from callsheet.money import estimate
from callsheet.stores.records import decode_receipt, decode_result, encode_receipt, encode_result
from callsheet.streams import StreamFinished, TextDelta
from callsheet.testing import Exchange
from callsheet_openai.testing import Account
from callsheet_openai.testing.answers import Answer, ToolCall, chat_events, response_events
from callsheet_openai.testing.media import sound
from callsheet_openai.testing.server import endpoints

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

    async def whole(self) -> HttpReply:
        return HttpReply(200, {}, b"{}")

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


def _case(model: str, name: str, inputs: dict):
    job = stage.job(model, "", {}, **inputs)
    wire = text_handler(job.model.wire) if name else stage.handler(job.operation.value)
    request = wire.prepare(job)
    scripted = [ANSWERS[name.removeprefix("text-")]] if name else []
    return job, wire, request, _answered(wire.endpoint, request, *scripted)


def _answered(endpoint: str, request, *answers: Answer):
    """What the vendor would say."""
    account = Account()
    account.answers += answers
    asked = Exchange("POST", endpoint.removeprefix("/v1"), {}, {}, json.dumps(request.body).encode())
    return json.loads(json.dumps(endpoints(account)[endpoint](asked)))


def _was_sent(error: ProviderError, *allowed: Sent) -> None:
    """What was answered in whatever way was sent."""
    assert error.sent in (allowed or (Sent.FINISHED, Sent.UNKNOWN)), error


def _judge(result: object, job) -> None:
    """It can be written, read, and priced."""
    assert isinstance(result, JobResult)
    assert decode_result(encode_result(result))
    cost = result.cost or estimate(job.model.price, result.usage.units)
    assert cost.low is None or cost.low >= 0
    counts = (result.usage.input_tokens, result.usage.output_tokens, result.usage.cached_tokens)
    assert all(count is None or (isinstance(count, int) and 0 <= count < 2**53) for count in counts)


@pytest.mark.parametrize(("model", "name", "inputs"), CALLS, ids=str)
async def test_odd_answers(opened, model, name, inputs):
    """Whatever stands in a field: a result that can be recorded and priced, or a ProviderError that says it was paid."""
    job, wire, request, answer = _case(model, name, inputs)
    bad: dict[str, object] = {}
    async with opened() as client:
        context = stage.context(client, job)
        for value in odd(answer):
            try:
                canned = replace(context, http=Canned(value))
                _judge(await (getattr(wire, "invoke", None) or wire.submit)(request, canned), job)
            except ProviderError as error:
                _was_sent(error)
            except Exception as error:
                bad.setdefault(f"{type(error).__name__}: {error}"[:150], value)
    assert not bad, "\n".join(f"{error} <- {json.dumps(value)[:400]}" for error, value in bad.items())


STREAMED = [(model, name) for model in ("gpt-5", "gpt-audio") for name in ANSWERS]


@pytest.mark.parametrize(("model", "name"), STREAMED)
async def test_odd_events(opened, model, name):
    """Whatever stands in an event: events of the right types and a result that can be recorded, or a ProviderError."""
    job, wire, request, _ = _case(model, f"text-{name}", {"prompt": "x"})
    answer, asked = ANSWERS[name], dict(request.body)
    whole = response_events(answer, asked) if model == "gpt-5" else chat_events(answer, asked)
    done = [] if model == "gpt-5" else ["[DONE]"]
    bad: dict[str, object] = {}
    async with opened() as client:
        context = stage.context(client, job)
        for number, event in enumerate(json.loads(json.dumps(whole))):
            for other in odd(event):
                events = [*whole[:number], other, *whole[number + 1 :], *done]
                try:
                    async for each in wire.stream(request, replace(context, http=Canned(events=events))):
                        assert not isinstance(each, TextDelta) or isinstance(each.text, str)
                        if isinstance(each, StreamFinished):
                            _judge(each.result, job)
                except ProviderError as error:
                    _was_sent(error)
                except Exception as error:
                    bad.setdefault(f"{type(error).__name__}: {error}"[:150], other)
    assert not bad, "\n".join(f"{error} <- {json.dumps(value)[:400]}" for error, value in bad.items())


JOBS = {
    "gpt-5": ({"prompt": "x"}, {"background": True}),
    "sora-2": ({"prompt": "x"}, {}),
}


@pytest.mark.parametrize("model", JOBS)
async def test_odd_looks_at_a_job(opened, model):
    """Whatever a poll is answered: a state, or an error that leaves the job where it is unless the vendor says failed."""
    inputs, options = JOBS[model]
    job = stage.job(model, "", options, **inputs)
    wire = text_handler("responses") if model == "gpt-5" else stage.handler(job.operation.value)
    request = wire.prepare(job)
    started = _answered("/v1/responses" if model == "gpt-5" else "/v1/videos", request)
    bad: dict[str, object] = {}
    async with opened() as client:
        context = stage.context(client, job)
        receipt = await wire.submit(request, replace(context, http=Canned(started)))
        for value in odd(started):
            here = replace(context, http=Canned(value))
            try:
                found = await wire.submit(request, here)
                assert isinstance(found, JobResult) or decode_receipt(encode_receipt(found)) == found
            except ProviderError as error:  # the job may run whatever was answered
                _was_sent(error, *(() if isinstance(value, dict) else (Sent.UNKNOWN,)))
            except Exception as error:
                bad.setdefault(f"submit {type(error).__name__}: {error}"[:150], value)
            for ask in (wire.poll, wire.abort):
                try:
                    await ask(receipt, here)
                except ProviderError as error:
                    said = isinstance(value, dict) and value.get("status") == "failed"
                    _was_sent(error, Sent.FINISHED if said else Sent.UNKNOWN)
                except Exception as error:
                    bad.setdefault(f"{ask.__name__} {type(error).__name__}: {error}"[:150], value)
    assert not bad, "\n".join(f"{error} <- {json.dumps(value)[:400]}" for error, value in bad.items())


async def test_odd_batches(opened):
    """Whatever a batch, the list of batches or a line of results says: never done, found or absent by mistake."""
    job = stage.job("omni-moderation-latest", "", {}, text="a")
    wire = stage.handler(job.operation.value)
    request = wire.prepare(job)
    item = BatchItem("0" * 64, request)
    body = _answered("/v1/moderations", request)
    counts = {"total": 1, "completed": 0, "failed": 0}
    batch = {"id": "batch_1", "status": "in_progress", "created_at": 9, "expires_at": 99, "request_counts": counts}
    batch |= {"metadata": {"callsheet_key": "k" * 64}, "output_file_id": "file_1", "errors": {"data": [{"line": 1}]}}
    line = {"custom_id": item.key, "response": {"status_code": 200, "request_id": "r", "body": body}, "error": None}
    listed = {"object": "list", "data": [batch], "has_more": False}
    bad: dict[str, object] = {}

    async def judged(what: str, value: object, made: Awaitable[object]) -> object:
        try:
            return await made
        except ProviderError as error:
            _was_sent(error)
        except Exception as error:
            bad.setdefault(f"{what} {type(error).__name__}: {error}"[:150], value)
        return failed

    failed = object()
    async with opened() as client:
        context = stage.context(client, job)
        receipt = await wire.find_batch(0.0, replace(context, http=Canned(listed)))
        assert receipt.job_id == "batch_1"
        for value in odd(batch):
            here = replace(context, http=Canned(value, [line]))
            await judged("poll", value, wire.poll(receipt, here))
            await judged("abort", value, wire.abort(receipt, here))
            await judged("collect", value, wire.collect_batch(receipt, [item], here))
        for value in odd(listed):
            found = await judged("find", value, wire.find_batch(0.0, replace(context, http=Canned(value))))
            if isinstance(found, Receipt):
                assert decode_receipt(encode_receipt(found)) == found
            elif found is None:
                assert isinstance(value["data"], list)
        for value in odd(line):
            done = {**batch, "status": "completed", "request_counts": {"total": 1, "completed": 1, "failed": 0}}
            here = replace(context, http=Canned(done, [value]))
            ended = await judged("line", value, wire.collect_batch(receipt, [item], here))
            if ended is not failed:
                outcome = ended.get(item.key)
                if not isinstance(outcome, ProviderError):
                    assert outcome is not None or value.get("custom_id") != item.key
                    assert outcome is None or decode_result(encode_result(outcome))
    assert not bad, "\n".join(f"{error} <- {json.dumps(value)[:400]}" for error, value in bad.items())


@pytest.mark.parametrize("times", [None, "word"])
async def test_odd_transcripts(opened, times):
    """As for other answers: a transcript that can be recorded, or a ProviderError."""
    bad: dict[str, object] = {}
    spans = [{"start": 0.0, "end": 0.4, "word": "The"}]
    answer = {"text": "The", "language": "english", "duration": 1.6, "segments": [{**spans[0], "text": "The"}]}
    answer |= {"words": spans, "usage": {"input_tokens": 3, "output_tokens": 2, "seconds": 2}}
    answer["usage"]["input_token_details"] = {"audio_tokens": 2, "text_tokens": 1}
    async with opened() as client:
        heard = await stage.stored(client, sound("wav", 20)[0], "audio/wav")
        model = "whisper-1" if times else "gpt-4o-transcribe"
        job = stage.job(model, "", {}, audio=heard, **({"timestamps": times} if times else {}))
        wire = stage.handler(job.operation.value)
        request, context = wire.prepare(job), stage.context(client, job)
        for value in odd(answer):
            try:
                _judge(await wire.invoke(request, replace(context, http=Canned(value))), job)
            except ProviderError as error:
                _was_sent(error)
            except Exception as error:
                bad.setdefault(f"{type(error).__name__}: {error}"[:150], value)
    assert not bad, "\n".join(f"{error} <- {json.dumps(value)[:400]}" for error, value in bad.items())
