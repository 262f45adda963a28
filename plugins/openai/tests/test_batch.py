"""Batches: files of requests, and how each item ended."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_counterpart.stage import context, handler, job, stored

from callsheet.errors import (
    ConnectionFailedError,
    ContentRejectedError,
    InvalidRequestError,
    JobFailedError,
    JobLostError,
    MalformedOutputError,
    OverloadedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitedError,
    Sent,
)
from callsheet.handler import AbortsRemoteJobs, Batches, BatchItem, FindsBatches, FindsJobs, RemoteJobs
from callsheet.jobs import AbortOutcome, JobResult, RemoteState
from callsheet.sheet import CallSheet
from callsheet_openai import batch
from callsheet_openai.testing import Fault, refusal
from callsheet_openai.testing.media import picture

MODEL = "text-embedding-3-small"
KEY = "b" * 64


def items_of(model: str, *wishes: dict, operation: str = "") -> list[BatchItem]:
    """Requests of one model, under keys of their own."""
    made = []
    for number, wish in enumerate(wishes):
        wanted = job(model, operation, **wish)
        made.append(BatchItem(f"{number:064}", handler(wanted.operation.value).prepare(wanted)))
    return made


class Desk:
    """A batch under way."""

    def __init__(self, client, server, model: str, *wishes: dict) -> None:
        wanted = job(model, **wishes[0])
        self.server = server
        self.handler = handler(wanted.operation.value)
        self.context = context(client, wanted, KEY)
        self.items = items_of(model, *wishes)
        self.receipt = None

    async def submit(self) -> Desk:
        self.receipt = await self.handler.submit_batch(self.items, self.context)
        return self

    async def over(self) -> RemoteState:
        """The state at the end."""
        while True:
            status = await self.handler.poll(self.receipt, self.context)
            if status.terminal:
                return status.state

    async def ended(self) -> dict[str, JobResult | ProviderError]:
        """How the items ended, by their number."""
        ended = await self.handler.collect_batch(self.receipt, self.items, self.context)
        return {int(key): value for key, value in ended.items()}


@pytest.mark.parametrize("operation", ["image.generate", "text.embed", "text.moderate"])
def test_the_capabilities_are_those_of_batches_alone(operation):
    """A wire that answers at once has no `find` and no `submit`: those would be asked for single calls, too."""
    wire = handler(operation)
    assert isinstance(wire, Batches)
    assert isinstance(wire, FindsBatches)
    assert isinstance(wire, AbortsRemoteJobs)
    assert not isinstance(wire, FindsJobs)
    assert not isinstance(wire, RemoteJobs)


async def test_requests_become_a_file_and_a_batch(server, opened):
    """A line for each item with its key; the batch carries our key, and its receipt says that it is one."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "ä"}, {"texts": ["b", "c"]}).submit()
    (upload,), (start,) = server.asked("upload"), server.paid
    assert (upload.path, upload.form) == ("/files", {"purpose": "batch"})
    (file,) = (part for part in upload.parts if part.filename)
    assert [json.loads(line) for line in file.data.splitlines()] == [
        {"custom_id": item.key, "method": "POST", "url": "/v1/embeddings", "body": item.request.body}
        for item in desk.items
    ]
    assert start.json == {
        "input_file_id": "file_0001",
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
        "metadata": {"callsheet_key": KEY},
    }
    assert desk.receipt.key == KEY
    assert batch.is_batch(desk.receipt)


async def test_every_item_ends_by_itself(server, opened):
    """Done, refused, expired and missing are four things; what expired was not paid for."""
    server.account.fates = {1: "failed", 2: "expired", 3: "missing"}
    async with opened() as client:
        desk = await Desk(client, server, MODEL, *({"text": word, "dimensions": 1} for word in "abcde")).submit()
        first = await desk.handler.poll(desk.receipt, desk.context)
        assert (first.state, first.progress) == (RemoteState.RUNNING, 0.0)
        assert await desk.over() is RemoteState.SUCCEEDED
        ended = await desk.ended()
    assert sorted(ended) == [0, 1, 2, 4]
    assert ended[0].artifacts[0].value == [[1.0]]
    assert ended[4].usage.units == {"input_token": 1.0}
    refused, expired = ended[1], ended[2]
    assert isinstance(refused, ContentRejectedError)
    assert (refused.sent, refused.request_id, refused.prompt) == (Sent.REJECTED, "req_1", '["b"]')
    assert isinstance(expired, ProviderTimeoutError)
    assert (expired.sent, expired.retryable) == (Sent.REJECTED, True)


async def test_the_client_sends_many_calls_as_one_batch(server, opened):
    """Through the engine: one upload, one batch, each call's result or error in its place, at the batch's price."""
    server.account.fates = {1: "failed"}
    async with opened() as client:
        first, second, third = await client.batch(f"openai:{MODEL}", [{"text": "a"}, {"text": "b"}, {"text": "c"}])
    assert [seen.path for seen in server.journal if seen.method == "POST"] == ["/files", "/batches"]
    assert len(first.artifacts[0].value[0]) == len(third.artifacts[0].value[0]) == 1536
    assert isinstance(second, ContentRejectedError)
    assert second.prompt == '["b"]'


async def test_an_expired_batch_still_has_what_was_done(server, opened):
    """Its results are collected like any other's."""
    server.account.fates, server.account.ending = {0: "expired"}, "expired"
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        assert await desk.over() is RemoteState.SUCCEEDED
        ended = await desk.ended()
    assert isinstance(ended[0], ProviderTimeoutError)
    assert isinstance(ended[1], JobResult)


async def test_a_batch_that_is_not_valid_says_why(server, opened):
    """The line and the vendor's words."""
    server.account.ending = "failed"
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}).submit()
        assert await desk.over() is RemoteState.FAILED
        status = await desk.handler.poll(desk.receipt, desk.context)
    assert status.error == "line 1: This line is not parseable."


@pytest.mark.parametrize("done", [0, 1])
async def test_a_batch_is_cancelled_once(server, opened, done):
    """Stopped is said of an empty one that is cancelled; while it is cancelling, or with something done, it is unknown."""
    server.account.done = done
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        assert await desk.handler.abort(desk.receipt, desk.context) is AbortOutcome.UNKNOWN
        assert (await desk.handler.poll(desk.receipt, desk.context)).state is RemoteState.RUNNING
        assert await desk.over() is (RemoteState.SUCCEEDED if done else RemoteState.CANCELLED)
        again = await desk.handler.abort(desk.receipt, desk.context)
        assert again is (AbortOutcome.UNKNOWN if done else AbortOutcome.STOPPED)
    assert len([seen for seen in server.journal if seen.path.endswith("/cancel")]) == 2


async def test_a_batch_that_is_over_is_not_cancelled(server, opened):
    """It is said to be finished."""
    async with opened() as client:
        done = await Desk(client, server, MODEL, {"text": "a"}).submit()
        await done.over()
        assert await done.handler.abort(done.receipt, done.context) is AbortOutcome.ALREADY_FINISHED


SHEET = f"""
[producers.vector]
operation = "text.embed"
models = ["openai:{MODEL}"]
dispatch = "batch"
for_each = 3
text = "number {{{{ index }}}}"
"""


@pytest.mark.parametrize("done", [0, 2])
async def test_an_interrupted_run_collects_what_was_done_and_sends_the_rest(
    server, opened, tmp_path, monkeypatch, done
):
    """Ctrl-C cancels the batch; what it had done by then was paid for and is collected, and only the rest goes again."""
    server.account.done = done
    sheet = tmp_path / "sheet.toml"
    sheet.write_text(SHEET, encoding="utf-8")
    reached, hang = asyncio.Event(), asyncio.Event()

    async def stall(*_asked: object) -> None:
        reached.set()
        await hang.wait()

    async with opened() as client:
        with monkeypatch.context() as patched:
            patched.setattr(batch, "status", stall)
            task = asyncio.create_task(client.run(CallSheet.load(sheet)))
            await reached.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        run_id = (await client.ledger.runs())[0].id
    async with opened() as client:
        run = await client.resume(run_id)
        assert await client.ledger.open_calls() == []
    assert run.status == "succeeded"
    uploads = [
        [json.loads(line)["body"]["input"][0] for line in seen.parts[-1].data.splitlines()]
        for seen in server.asked("upload")
    ]
    assert uploads == [[f"number {number}" for number in range(3)], [f"number {number}" for number in range(done, 3)]]
    assert len(server.paid) == 2


async def test_a_cancelled_batch_keeps_what_was_done(server, opened):
    """Partial results were paid for: they are collected, and the rest is not among what ended."""
    server.account.ending, server.account.fates = "cancelled", {1: "cancelled"}
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        assert await desk.over() is RemoteState.SUCCEEDED
        ended = await desk.ended()
    assert list(ended) == [0]
    assert isinstance(ended[0], JobResult)


async def test_a_lost_receipt_is_found_by_our_key(server, opened):
    """Page after page, newest first, until what is older than the search."""
    async with opened() as client:
        old = await Desk(client, server, MODEL, {"text": "a"}).submit()
        for _ in range(101):
            other = Desk(client, server, MODEL, {"text": "x"})
            other.context = context(client, job(MODEL, text="x"), "c" * 64)
            await other.submit()
        found = await old.handler.find_batch(0.0, old.context)
        assert (found.job_id, found.key) == (old.receipt.job_id, KEY)
        late = await old.handler.find_batch(found.created + 3600, old.context)
        stranger = context(client, job(MODEL, text="x"), "d" * 64)
        assert await old.handler.find_batch(0.0, stranger) is None
    assert late is None
    assert len([seen for seen in server.journal if seen.path == "/batches" and seen.method == "GET"]) == 5


async def test_images_and_verdicts_come_by_batch_too(server, opened):
    """Pictures go to the store; input images go inside of their line."""
    async with opened() as client:
        drawing = await Desk(client, server, "gpt-image-2", {"prompt": "a"}, {"prompt": "b", "count": 2}).submit()
        await drawing.over()
        ended = await drawing.ended()
        assert [len(ended[number].artifacts) for number in (0, 1)] == [1, 2]
        data = picture(4, 4)
        judging = Desk(client, server, "omni-moderation-latest", {"images": [await stored(client, data, "image/png")]})
        await (await judging.submit()).over()
        assert (await judging.ended())[0].artifacts[0].value["flagged"] is False


async def test_a_file_over_the_limit_is_not_uploaded(opened, server, monkeypatch):
    """Nothing was sent."""
    monkeypatch.setattr(batch, "MOST_BYTES", 500)
    async with opened() as client:
        with pytest.raises(InvalidRequestError, match="500") as caught:
            await Desk(client, server, MODEL, {"text": "a" * 500}).submit()
    assert caught.value.sent is Sent.NOT_SENT
    assert server.journal == []


@pytest.mark.parametrize(
    ("faults", "error", "sent"),
    [
        ([Fault(reset="after")], ConnectionFailedError, Sent.REJECTED),
        ([refusal(500)], OverloadedError, Sent.REJECTED),
        ([refusal(429)], RateLimitedError, Sent.REJECTED),
    ],
)
async def test_an_upload_that_fails_was_no_batch(server, opened, faults, error, sent):
    """A file costs nothing: it is safe to begin again."""
    server.fail(*faults)
    async with opened() as client:
        with pytest.raises(error) as caught:
            await Desk(client, server, MODEL, {"text": "a"}).submit()
    assert caught.value.sent is sent
    assert [seen.path for seen in server.journal] == ["/files"]


@pytest.mark.parametrize(("path", "sent"), [("/files", Sent.REJECTED), ("/batches", Sent.UNKNOWN)])
@pytest.mark.parametrize("answer", [{"object": "odd"}, ["odd"]])
async def test_an_answer_without_an_id_is_malformed(server, opened, path, sent, answer):
    """A file without an id is no batch; a batch without one may run."""
    server.judges_replies = False
    server.scripted[path] = answer
    async with opened() as client:
        with pytest.raises(MalformedOutputError) as caught:
            await Desk(client, server, MODEL, {"text": "a"}).submit()
    assert caught.value.sent is sent


async def test_a_batch_whose_start_is_not_answered_is_unknown(server, opened):
    """It may run: the receipt is looked for, never guessed."""
    server.fail(Fault(), Fault(reset="after"))
    async with opened() as client:
        desk = Desk(client, server, MODEL, {"text": "a"})
        with pytest.raises(ConnectionFailedError) as caught:
            await desk.submit()
    assert caught.value.sent is Sent.UNKNOWN


async def test_a_cut_file_of_results_is_collected_again(server, opened):
    """No item counts as done or not done by a file that broke off."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, *({"text": word} for word in "abc")).submit()
        await desk.over()
        server.fail(Fault(), Fault(size=900, abrupt=True))
        with pytest.raises(ConnectionFailedError):
            await desk.ended()
        assert sorted(await desk.ended()) == [0, 1, 2]


async def test_a_batch_that_is_gone_is_lost(server, opened):
    """The vendor keeps files and batches for a while only."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}).submit()
        await desk.over()
        server.account.files.clear()
        lost = (await desk.ended())[0]
        assert (type(lost), lost.sent) == (JobLostError, Sent.UNKNOWN)
        server.account.stored.clear()
        with pytest.raises(JobLostError):
            await desk.handler.poll(desk.receipt, desk.context)


async def test_what_one_file_says_holds_without_the_other(server, opened):
    """The refusals stand, and what may stand in the file that is gone is in doubt: it was paid for, or was not."""
    server.account.fates = {1: "failed"}
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        await desk.over()
        kept = server.account.stored[desk.receipt.job_id]
        results = server.account.files.pop(kept["output_file_id"])
        ended = await desk.ended()
        assert {number: type(each) for number, each in ended.items()} == {0: JobLostError, 1: ContentRejectedError}
        server.account.files[kept["output_file_id"]] = results
        del server.account.files[kept["error_file_id"]]
        ended = await desk.ended()
    assert {number: type(each) for number, each in ended.items()} == {0: JobResult, 1: JobLostError}
    assert ended[1].sent is Sent.UNKNOWN


async def test_an_unknown_status_is_not_guessed(server, opened):
    """Neither running nor over, to poll and to abort."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}).submit()
        server.judges_replies = False
        path = f"/batches/{desk.receipt.job_id}"
        for each in (path, f"{path}/cancel"):
            server.scripted[each] = {"id": desk.receipt.job_id, "status": "paused"}
        with pytest.raises(MalformedOutputError, match="paused"):
            await desk.handler.poll(desk.receipt, desk.context)
        assert await desk.handler.abort(desk.receipt, desk.context) is AbortOutcome.UNKNOWN


async def test_a_search_without_an_end_is_given_up(server, opened, monkeypatch):
    """Not found in so many pages is not the same as not there."""
    monkeypatch.setattr(batch, "MOST_PAGES", 1)
    monkeypatch.setattr(batch, "PAGE", 1)
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}).submit()
        await Desk(client, server, MODEL, {"text": "a"}).submit()
        stranger = context(client, job(MODEL, text="x"), "d" * 64)
        with pytest.raises(MalformedOutputError, match="more batches"):
            await desk.handler.find_batch(0.0, stranger)


async def test_a_line_that_is_too_long_is_not_read_into_memory(server, opened, monkeypatch):
    """There is a limit for a line, none for the file; the lines after it are read."""
    monkeypatch.setattr(batch, "LONGEST_LINE", 2000)
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b", "dimensions": 1}).submit()
        await desk.over()
        ended = await desk.ended()
        assert (type(ended[0]), ended[0].sent) == (MalformedOutputError, Sent.UNKNOWN)
        assert ended[1].artifacts[0].value == [[1.0]]
        endless = b"x" * 5000
        kept = server.account.stored[desk.receipt.job_id]["output_file_id"]
        server.account.files[kept] = (server.account.files[kept][0], endless)
        assert {type(each) for each in (await desk.ended()).values()} == {MalformedOutputError}


def line(number: int, response: object = None, error: object = None) -> dict:
    """A line of a file of results."""
    return {"id": "x", "custom_id": f"{number:064}", "response": response, "error": error}


def answered(status: int, body: object) -> dict:
    """A response in a line."""
    return {"status_code": status, "request_id": "req_1", "body": body}


@pytest.mark.parametrize(
    ("entry", "error", "sent"),
    [
        (
            line(0, answered(429, {"error": {"message": "m", "code": "rate_limit_exceeded"}})),
            RateLimitedError,
            Sent.REJECTED,
        ),
        (line(0, answered(500, {"error": {"message": "m"}})), OverloadedError, Sent.UNKNOWN),
        (line(0, answered(200, {"data": []})), MalformedOutputError, Sent.FINISHED),
        (line(0, answered(200, None)), JobFailedError, Sent.FINISHED),
        (line(0, error={"code": "odd", "message": "m"}), JobFailedError, Sent.FINISHED),
        (line(0), JobFailedError, Sent.FINISHED),
    ],
)
async def test_each_line_has_its_class(server, opened, entry, error, sent):
    """By the line's own status and code."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}).submit()
        await desk.over()
        kept = server.account.stored[desk.receipt.job_id]["output_file_id"]
        head, _ = server.account.files[kept]
        strange = json.dumps(line(7, answered(200, {})))
        server.account.files[kept] = (head, f"\n{strange}\n{json.dumps(entry)}\n{json.dumps(entry)}".encode())
        ended = await desk.ended()
    assert list(ended) == [0]
    assert type(ended[0]) is error
    assert ended[0].sent is sent


@pytest.mark.parametrize("broken", [b'{"custom_id": ', b"[1]", b"\xff\xfe"])
@pytest.mark.parametrize("counted", [True, False])
async def test_a_line_that_cannot_be_read_spoils_no_other(server, opened, broken, counted):
    """They are paid for; whose it is nobody knows, so what stands nowhere is not sent again unasked."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}, {"text": "c"}).submit()
        await desk.over()
        held = server.account.stored[desk.receipt.job_id]
        if not counted:
            held["request_counts"] = {"total": 3, "completed": 0, "failed": 0}
        head, data = server.account.files[held["output_file_id"]]
        first, _, last = data.splitlines()
        server.account.files[held["output_file_id"]] = (head, b"\n".join([first, broken, last]))
        ended = await desk.ended()
    assert [type(ended[number]) for number in (0, 1, 2)] == [JobResult, MalformedOutputError, JobResult]
    assert ended[1].sent is Sent.UNKNOWN
    assert "cannot be read" in str(ended[1])


async def test_a_line_that_stands_twice_is_one_result(server, opened):
    """Two results are counted, and one is there twice: the other may be paid for."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        await desk.over()
        kept = server.account.stored[desk.receipt.job_id]["output_file_id"]
        head, data = server.account.files[kept]
        server.account.files[kept] = (head, data.splitlines(keepends=True)[0] * 2)
        ended = await desk.ended()
    assert isinstance(ended[0], JobResult)
    assert ended[1].sent is Sent.UNKNOWN


async def test_a_cancelled_batch_with_something_done_and_no_file_is_in_doubt(server, opened):
    """What it had done was paid for: it is not sent again unasked. What it had surely not begun is."""
    server.account.ending, server.account.fates = "cancelled", {1: "cancelled"}
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        await desk.over()
        del server.account.stored[desk.receipt.job_id]["output_file_id"]
        assert (await desk.handler.poll(desk.receipt, desk.context)).state is RemoteState.SUCCEEDED
        assert {number: each.sent for number, each in (await desk.ended()).items()} == {0: Sent.UNKNOWN}


class Torn:
    """A reply whose body arrives in given pieces."""

    status = 200

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aenter__(self) -> Torn:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing is open."""

    async def pieces(self):
        for piece in self._pieces:
            yield piece


@given(st.lists(st.text(max_size=20), max_size=6), st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_lines_are_the_same_however_they_arrive(texts, cuts, ended):
    """Any cutting of the bytes, with or without a line end at the end, gives the same objects."""
    data = b"\n".join(json.dumps({"text": text}, ensure_ascii=False).encode() for text in texts)
    data += b"\n" if ended and texts else b""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(places)]

    async def no_key() -> None:
        return None

    fake = SimpleNamespace(
        http=SimpleNamespace(stream=lambda *_args, **_more: Torn(pieces)), secrets=SimpleNamespace(key=no_key)
    )

    async def read() -> list[dict]:
        return [entry async for entry in batch._lines("file_1", fake)]

    assert asyncio.run(read()) == [{"text": text} for text in texts]


async def test_a_result_that_is_counted_and_not_there_may_be_paid_for(server, opened):
    """The vendor counts two done and gives one: the other is not sent again unasked."""
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}, {"text": "b"}).submit()
        await desk.over()
        kept = server.account.stored[desk.receipt.job_id]["output_file_id"]
        head, data = server.account.files[kept]
        server.account.files[kept] = (head, data.splitlines(keepends=True)[0])
        ended = await desk.ended()
    assert isinstance(ended[0], JobResult)
    assert isinstance(ended[1], MalformedOutputError)
    assert ended[1].sent is Sent.UNKNOWN


@pytest.mark.parametrize("page", [{}, {"data": None}, {"data": {}}, {"data": "none"}])
async def test_what_is_no_list_does_not_say_that_a_batch_is_absent(server, opened, page):
    """A lost batch would be sent, and paid for, again."""
    server.judges_replies = False
    async with opened() as client:
        desk = await Desk(client, server, MODEL, {"text": "a"}).submit()
        server.scripted["/batches"] = page
        with pytest.raises(MalformedOutputError, match="no list") as caught:
            await desk.handler.find_batch(0.0, desk.context)
    assert caught.value.sent is Sent.UNKNOWN


async def test_a_start_that_is_not_answered_is_looked_for(server, opened):
    """The batch runs at the vendor: it is found, collected, and not started a second time."""
    server.fail(Fault(), Fault(promise=100))
    async with opened() as client:
        results = await client.batch(f"openai:{MODEL}", [{"text": "a"}, {"text": "b"}])
    assert all(isinstance(result, JobResult) for result in results)
    assert [seen.path for seen in server.journal if seen.method == "POST"] == ["/files", "/batches"]
    assert next(seen.path for seen in server.journal if seen.method == "GET") == "/batches"
