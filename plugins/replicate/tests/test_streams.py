"""Predictions that are read while they are made: whole, cut at every place, left early, and with links that lead elsewhere."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import aclosing, closing

import pytest

from callsheet.errors import ContentRejectedError, JobCancelledError, JobFailedError, ProviderError
from callsheet.streams import StreamFinished, TextDelta
from callsheet_replicate import predictions
from callsheet_replicate.testing import Fault, Script

MODEL = "google/gemini-2.5-flash"
REF = f"replicate:{MODEL}"
PIECES = ["The ", "lava\n\n", " flows", ": down."]
TEXT = "".join(PIECES)
LIVE = Script(PIECES, streams=True, polls=2)


async def read(client, seen=None, **more):
    """The texts as they came, and the result."""
    seen = [] if seen is None else seen
    async for event in client.stream(REF, prompt="lava", **more):
        if isinstance(event, TextDelta):
            seen.append(event.text)
        elif isinstance(event, StreamFinished):
            return seen, event.result
    raise AssertionError("no result")


def states(folder):
    """The states of the calls in the project's ledger."""
    with closing(sqlite3.connect(folder / "project" / ".callsheet" / "ledger.sqlite3")) as ledger:
        return [state for (state,) in ledger.execute("SELECT state FROM calls")]


def told(result):
    """The kinds of the warnings."""
    return [str(warning.kind) for warning in result.warnings]


async def test_a_whole_stream(server, opened, tmp_path):
    """Piece by piece, and the prediction is fetched once, for its usage; nothing deprecated is asked for."""
    server.script(MODEL, Script(PIECES, streams=True, metrics={"input_token_count": 3, "output_token_count": 5}))
    async with opened() as client:
        seen, result = await read(client)
    assert seen == PIECES
    assert result.artifacts[0].text == TEXT
    assert (result.usage.input_tokens, result.usage.output_tokens, told(result)) == (3, 5, [])
    assert [len(server.asked(route)) for route in ("create", "stream", "get", "cancel")] == [1, 1, 1, 0]
    assert set(server.asked("create")[0].json) == {"input"}
    assert states(tmp_path) == ["succeeded"]


@pytest.mark.parametrize("abrupt", [False, True], ids=["ended", "reset"])
@pytest.mark.parametrize("events", range(len(PIECES) + 1))
async def test_a_cut_after_every_event(server, opened, tmp_path, events, abrupt):
    """The prediction is still there: it is polled, and the rest of the text comes in one piece; nothing is unknown."""
    server.script(MODEL, LIVE)
    server.fail("stream", Fault(events=events, abrupt=abrupt))
    async with opened() as client:
        seen, result = await read(client)
    assert "".join(seen) == TEXT == result.artifacts[0].text
    if not abrupt:  # a reset may overtake what was sent before it
        assert seen[:events] == PIECES[:events]
    assert told(result) == ["emulated"]
    assert len(server.asked("create")) == 1
    assert states(tmp_path) == ["succeeded"]
    assert server.running == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset="before"),
        Fault(reset="after"),
        Fault(status=404, body={}),
        Fault(status=503, body={}),
        Fault(size=20),
    ],
)
async def test_a_stream_that_does_not_begin(server, opened, fault):
    """The answer comes whole, and the result says so."""
    server.script(MODEL, LIVE)
    server.fail("stream", fault)
    async with opened() as client:
        seen, result = await read(client)
    assert (seen, told(result)) == ([TEXT], ["emulated"])
    assert len(server.asked("create")) == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(PIECES, "failed", "E1001: out of memory", streams=True), JobFailedError),
        (Script(PIECES, "failed", "flagged as sensitive (E005)", streams=True), ContentRejectedError),
        (Script(PIECES, "canceled", streams=True), JobCancelledError),
        (Script(PIECES, "aborted", streams=True), JobCancelledError),
    ],
)
async def test_a_prediction_that_fails_in_the_middle(server, opened, tmp_path, script, error):
    """The error is the prediction's own, with the text until then."""
    server.script(MODEL, script)
    seen = []
    async with opened() as client:
        with pytest.raises(error, match=r"E1001|E005|cancelled") as caught:
            await read(client, seen)
    assert (seen, caught.value.partial) == (PIECES, TEXT)
    assert states(tmp_path) == ["failed"]


@pytest.mark.parametrize("way", ["break", "cancel", "client"])
async def test_who_leaves_early_leaves_nothing_running(server, opened, tmp_path, way):
    """The prediction is cancelled at the vendor, and on record as that."""
    server.script(MODEL, Script(PIECES, streams=True, polls=99))
    server.fail("stream", Fault(events=1, stall=True))
    begun = asyncio.Event()
    async with opened() as client:
        stream = client.stream(REF, prompt="lava")

        async def follow():
            async with aclosing(stream):
                async for _event in stream:
                    begun.set()

        if way == "cancel":
            reader = asyncio.ensure_future(follow())
            await begun.wait()
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        else:
            assert (await anext(stream)).text == PIECES[0]
        if way == "break":
            await stream.aclose()
    assert server.running == []
    assert len(server.asked("cancel")) == 1
    assert states(tmp_path) == ["failed"]


@pytest.mark.parametrize(
    "url",
    [
        "http://stream.example.com/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "http://127.0.0.1:1/x",
        "https://[::1]/x",
        "file:///etc/passwd",
        "",
        7,
    ],
)
async def test_a_link_that_leads_elsewhere_is_not_followed(server, opened, monkeypatch, url):
    """Not https, not public, not the provider's own: the answer comes whole, and the warning says why."""
    create = predictions.create

    async def altered(*given, **more):
        prediction = await create(*given, **more)
        prediction["urls"]["stream"] = url
        return prediction

    monkeypatch.setattr(predictions, "create", altered)
    server.script(MODEL, LIVE)
    async with opened() as client:
        seen, result = await read(client)
    assert (seen, told(result)) == ([TEXT], ["emulated"])
    assert ("is not fetched" in result.warnings[0].message) == isinstance(url, str)
    assert server.asked("stream") == []


async def test_a_model_that_does_not_stream(server, opened):
    """Its prediction has no URL for it: it is polled, and its text given whole."""
    server.script(MODEL, Script(PIECES))
    async with opened() as client:
        seen, result = await read(client)
    assert (seen, told(result)) == ([TEXT], ["emulated"])


async def test_json_is_not_streamed(server, opened):
    """It may have a code fence around it: only the whole of it can be read."""
    server.script(MODEL, Script(["```json\n", '{"a": 1}', "\n```"], streams=True))
    async with opened() as client:
        seen, result = await read(client, output_schema={"type": "object"})
    assert (seen, result.artifacts[0].value) == ([], {"a": 1})
    assert server.asked("stream") == []


async def test_a_create_reply_that_is_lost(server, opened):
    """The prediction is found in the account's list, and not created again."""
    server.script(MODEL, LIVE)
    server.fail("create", Fault(reset="after"))
    async with opened() as client:
        seen, result = await read(client)
    assert (seen, told(result)) == ([TEXT], ["emulated"])
    assert len(server.predictions) == 1


async def test_a_refused_create_request(server, opened, tmp_path):
    """It is what it is without a stream."""
    server.fail("create", Fault(status=402, body={"title": "Payment required", "detail": "no credit"}))
    async with opened() as client:
        with pytest.raises(ProviderError, match="no credit") as caught:
            await read(client)
    assert (str(caught.value.kind), str(caught.value.sent)) == ("quota_exceeded", "rejected")
    assert states(tmp_path) == ["failed"]
