"""Batches: many requests as one file, done within a day at a lower price (POST /files and /batches).

A wire takes part by inheriting from `BatchWire`; one whose receipts are not only of batches calls the functions.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import Any

from callsheet.plugin import (
    AbortOutcome,
    BatchItem,
    FormFile,
    HttpLimits,
    HttpReply,
    InvalidRequestError,
    JobContext,
    JobLostError,
    JobResult,
    ProviderError,
    ProviderRequest,
    ProviderTimeoutError,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
)
from callsheet_openai.api import ask, call, checked, headers, json_object, moment, with_files
from callsheet_openai.errors import job_error, malformed, vendor_error
from callsheet_openai.usage import count

__all__ = ["BatchWire", "cancel", "collect", "find", "group", "is_batch", "status", "submit"]

MARK = "callsheet_key"
"""The metadata field with our key: by it a batch is found again whose receipt was lost."""
MOST_BYTES = 200_000_000
LONGEST_LINE = 256 << 20
MOST_PAGES = 50
PAGE = 100
_READ = HttpLimits(total=6 * 3600.0, max_bytes=1 << 40)
_WRITE = HttpLimits(total=3600.0)
_WAITING = {"validating": RemoteState.QUEUED, "in_progress": RemoteState.RUNNING, "finalizing": RemoteState.RUNNING}

Line = Callable[[ProviderRequest, JobContext], Awaitable[Mapping[str, object]]]
Parse = Callable[[dict[str, Any], ProviderRequest, JobContext], Awaitable[JobResult]]


def group(endpoint: str, request: ProviderRequest) -> str:
    """The vendor takes one endpoint and one model a batch."""
    return f"{endpoint} {request.body.get('model')}"


def is_batch(receipt: Receipt) -> bool:
    """True for the receipt of a batch, False for that of a single job."""
    return "batch" in receipt.state


async def submit(items: Sequence[BatchItem], endpoint: str, line: Line, context: JobContext) -> Receipt:
    """Upload the requests and start their batch. `line` gives what a request's body is as JSON.

    Raises InvalidRequestError for a file that is too large, ProviderError as any request.
    """
    data = bytearray()
    for item in items:
        body = await line(item.request, context)
        entry = {"custom_id": item.key, "method": "POST", "url": endpoint, "body": body}
        data += json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
    ref = str(context.job.ref)
    if len(data) > MOST_BYTES:
        text = f"{ref}: a batch of {len(data):,} bytes is over the vendor's {MOST_BYTES:,}: send fewer at once"
        raise InvalidRequestError(text, sent=Sent.NOT_SENT, ref=ref)
    file = FormFile("file", f"{context.key[:12]}.jsonl", "application/jsonl", bytes(data))
    input_file = await _upload(file, context)
    answer = await call(
        context,
        "/batches",
        {
            "input_file_id": input_file,
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {MARK: context.key},
        },
        sent=Sent.UNKNOWN,
    )
    return _receipt(answer, context)


async def _upload(file: FormFile, context: JobContext) -> str:
    """A file that nothing uses costs nothing: an upload that broke off was not the batch."""
    try:
        reply = await context.http.send(
            "POST", "/files", form={"purpose": "batch"}, files=[file], headers=await headers(context), limits=_WRITE
        )
        uploaded = json_object(checked(reply, context), context, sent=Sent.UNKNOWN).get("id")
    except ProviderError as error:
        error.sent = Sent.REJECTED if error.sent is Sent.UNKNOWN else error.sent
        raise
    if not isinstance(uploaded, str) or not uploaded:
        raise malformed("took the batch's file and gave no id for it", context, sent=Sent.REJECTED)
    return uploaded


async def status(receipt: Receipt, context: JobContext) -> RemoteStatus:
    """Where a batch stands. One that expired or was cancelled has the results of what was done before."""
    batch = await ask(context, f"/batches/{receipt.job_id}")
    state = batch.get("status")
    if state in ("completed", "expired"):
        return RemoteStatus(RemoteState.SUCCEEDED, progress=1.0)
    if state == "cancelled":
        done = batch.get("output_file_id") or _count(batch, "completed")
        return RemoteStatus(RemoteState.SUCCEEDED if done else RemoteState.CANCELLED)
    if state == "failed":
        return RemoteStatus(RemoteState.FAILED, error=_faults(batch))
    if state == "cancelling":
        return RemoteStatus(RemoteState.RUNNING)
    if not isinstance(state, str) or state not in _WAITING:
        raise malformed(f"gave the batch the unknown status {state!r}", context, sent=Sent.UNKNOWN)
    done, total = _count(batch, "completed") + _count(batch, "failed"), _count(batch, "total")
    return RemoteStatus(_WAITING[state], progress=min(done / total, 1.0) if total else None)


async def collect(
    receipt: Receipt, items: Sequence[BatchItem], parse: Parse, context: JobContext
) -> dict[str, JobResult | ProviderError]:
    """How each item ended, read line by line from the batch's two files.

    What stands in neither was not done, nor what was cancelled before it was begun: it may be sent again. Where a line
    or a file cannot be read, or results are missing, whatever stands nowhere may be paid for.
    """
    batch = await ask(context, f"/batches/{receipt.job_id}")
    requests = {item.key: item.request for item in items}
    ended: dict[str, JobResult | ProviderError] = {}
    results: set[object] = set()
    undone: set[str] = set()
    doubts: list[ProviderError] = []
    for name in ("output_file_id", "error_file_id"):
        file = batch.get(name)
        if not isinstance(file, str) or not file:
            continue
        try:
            async for entry in _lines(file, context):
                if entry is None:
                    text = f"gave a line that cannot be read in the {name} of its batch {receipt.job_id}"
                    doubts.append(malformed(text, context, sent=Sent.UNKNOWN))
                    continue
                key = entry.get("custom_id")
                if name == "output_file_id":
                    results.add(key if isinstance(key, str) else None)
                if not isinstance(key, str) or key not in requests or key in ended:
                    continue
                if _code(entry) == "batch_cancelled":
                    undone.add(key)
                else:
                    ended[key] = await _ending(entry, requests[key], parse, context)
        except JobLostError as gone:  # the batch itself is there: what the other file says still holds
            doubts.append(gone)
    if len(results) < (made := _count(batch, "completed")):
        text = f"gave {len(results):,} of the {made:,} results that its batch {receipt.job_id} is said to have"
        doubts.append(malformed(text, context, sent=Sent.UNKNOWN))
    if doubts:
        ended |= {key: copy(doubts[0]) for key in requests.keys() - ended.keys() - undone}
    return ended


def _count(batch: Mapping[str, Any], name: str) -> int:
    """How many requests are `total`, `completed` or `failed`, as the vendor counts them."""
    counts = batch.get("request_counts")
    return (count(counts, name) or 0) if isinstance(counts, Mapping) else 0


async def cancel(receipt: Receipt, context: JobContext) -> AbortOutcome:
    """Cancel a batch. What is finished by then was paid for and stays to be collected, so only an empty one is stopped."""
    try:
        batch = await ask(context, f"/batches/{receipt.job_id}/cancel", method="POST")
    except InvalidRequestError:  # it is over: the vendor cancels only what runs
        batch = await ask(context, f"/batches/{receipt.job_id}")
    state, counts = batch.get("status"), batch.get("request_counts")
    if state == "cancelled" and isinstance(counts, Mapping) and not counts.get("completed"):
        return AbortOutcome.STOPPED
    return AbortOutcome.ALREADY_FINISHED if state in ("completed", "expired", "failed") else AbortOutcome.UNKNOWN


async def find(since: float, context: JobContext) -> Receipt | None:
    """The batch with the key of `context`, newest first, among those made after `since`."""
    query = {"limit": str(PAGE)}
    for _ in range(MOST_PAGES):
        reply = await context.http.send("GET", "/batches", query=query, headers=await headers(context))
        page = json_object(checked(reply, context), context)
        listed = page.get("data")
        if not isinstance(listed, list):  # what is no list does not say that the batch is not there
            raise malformed("gave no list of batches", context, sent=Sent.UNKNOWN)
        batches = [each for each in listed if isinstance(each, Mapping)]
        for batch in batches:
            metadata = batch.get("metadata")
            if isinstance(metadata, Mapping) and metadata.get(MARK) == context.key:
                return _receipt(batch, context)
        # the vendor's clock is not ours: a minute of difference is allowed
        if not page.get("has_more") or not batches or (moment(batches[-1].get("created_at")) or since) < since - 60:
            return None
        query = {"limit": str(PAGE), "after": str(batches[-1].get("id"))}
    raise malformed("lists more batches than can be looked through", context, sent=Sent.UNKNOWN)


class BatchWire:
    """A wire whose receipts are all of batches: it says its endpoint and how an answer is read."""

    endpoint: str

    def batched(self, _request: ProviderRequest) -> bool:
        """False for a request that the vendor takes only by itself."""
        return True

    async def result(self, answer: Mapping[str, Any], request: ProviderRequest, context: JobContext) -> JobResult:
        """The result that stands in an answer."""
        raise NotImplementedError

    def batch_group(self, request: ProviderRequest) -> str:
        """One group for each model."""
        return group(self.endpoint, request) if self.batched(request) else ""

    async def submit_batch(self, items: Sequence[BatchItem], context: JobContext) -> Receipt:
        """Upload and start."""
        return await submit(items, self.endpoint, _line, context)

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the batch stands."""
        return await status(receipt, context)

    async def collect_batch(
        self, receipt: Receipt, items: Sequence[BatchItem], context: JobContext
    ) -> Mapping[str, JobResult | ProviderError]:
        """How each item ended."""
        return await collect(receipt, items, self.result, context)

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Cancel the batch."""
        return await cancel(receipt, context)

    async def find_batch(self, since: float, context: JobContext) -> Receipt | None:
        """Look for the batch with our key."""
        return await find(since, context)


async def _line(request: ProviderRequest, context: JobContext) -> Mapping[str, object]:
    return await with_files(request.body, context)


def _receipt(batch: Mapping[str, Any], context: JobContext) -> Receipt:
    job_id = batch.get("id")
    if not isinstance(job_id, str) or not job_id:
        raise malformed("started a batch and gave no id for it", context, sent=Sent.UNKNOWN)
    job = context.job
    return Receipt(
        ref=job.ref,
        operation=job.operation,
        job_id=job_id,
        key=context.key,
        request_digest=context.request_digest,
        expects=(),
        created=moment(batch.get("created_at")) or context.clock(),
        expires=moment(batch.get("expires_at")),
        state={"batch": True},
    )


async def _lines(file: str, context: JobContext) -> AsyncIterator[dict[str, Any] | None]:
    """The objects of a JSONL file as it arrives, None for what is none; a line is held in memory, never the file.

    Raises JobLostError for a file that is not there.
    """
    path = f"/files/{file}/content"
    async with context.http.stream("GET", path, headers=await headers(context), limits=_READ) as reply:
        if reply.status != 200:
            raise vendor_error(await reply.whole(), context, lost=True)
        rest, too_long = bytearray(), False
        async for piece in reply.pieces():
            searched = len(rest)
            rest += piece
            if b"\n" in piece:
                end = rest.rindex(b"\n", searched)
                lines = bytes(rest[:end]).split(b"\n")
                del rest[: end + 1]
                for line in lines:
                    if line.strip() or too_long:
                        yield None if too_long else _entry(line)
                    too_long = False
            if len(rest) > LONGEST_LINE:
                too_long = True
                rest.clear()
        if rest.strip() or too_long:
            yield None if too_long else _entry(bytes(rest))


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        value = HttpReply(200, {}, line).json()
    except ProviderError:
        return None
    return value if isinstance(value, dict) else None


def _code(entry: Mapping[str, Any]) -> object:
    error = entry.get("error")
    return error.get("code") if isinstance(error, Mapping) else None


async def _ending(
    entry: Mapping[str, Any], request: ProviderRequest, parse: Parse, context: JobContext
) -> JobResult | ProviderError:
    """One line: a result, the vendor's refusal by status and code, or the reason why it was never done."""
    response, error = entry.get("response"), entry.get("error")
    try:
        if isinstance(response, Mapping):
            code = response.get("status_code")
            body = response.get("body")
            if code == 200 and isinstance(body, dict):
                return await parse(body, request, context)
            if isinstance(code, int) and code >= 400:
                known = {"x-request-id": str(response.get("request_id") or "")}
                raise vendor_error(HttpReply(code, known, json.dumps(body).encode()), context)
        raise _undone(error, context)
    except ProviderError as problem:
        if problem.prompt:
            problem.prompt = _words(request.body)
        return problem


def _undone(error: object, context: JobContext) -> ProviderError:
    if not isinstance(error, Mapping) or error.get("code") != "batch_expired":
        return job_error(error, context)
    ref = str(context.job.ref)
    text = f"{ref}: the batch's time was over before this request was begun: it was not paid for, run it again"
    return ProviderTimeoutError(text, sent=Sent.REJECTED, retryable=True, ref=ref, raw=error)


def _words(body: Mapping[str, object]) -> str:
    """The words of a request that was refused: in a batch the context's job is not the item's own."""
    for name in ("prompt", "input", "messages"):
        if body.get(name):
            value = body[name]
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return ""


def _faults(batch: Mapping[str, Any]) -> str:
    errors = batch.get("errors")
    listed = errors.get("data") if isinstance(errors, Mapping) else None
    told = [_fault(each) for each in listed or () if isinstance(each, Mapping)]
    return "; ".join(told[:5]) or "the vendor gives no reason"


def _fault(error: Mapping[str, Any]) -> str:
    line = f"line {error['line']}: " if error.get("line") is not None else ""
    return f"{line}{error.get('message') or error.get('code') or 'no reason given'}"
