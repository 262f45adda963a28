"""Checks of receipts: complete, small, without secrets, and good in another process."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator

from callsheet.handler import RemoteJobs
from callsheet.inputs import blank_inputs
from callsheet.jobs import Job, Receipt
from callsheet.registry import BoundHandler
from callsheet.stores.records import decode_receipt, encode_receipt
from callsheet.testing.child import run_child
from callsheet.testing.live_stage import LiveCall, collected, fingerprint, live, open_client, said_by
from callsheet.testing.plugin_stage import call_context
from callsheet.testing.report import Check
from callsheet.testing.stage import PLANTED
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["LARGEST_STATE", "TABLE", "collected_by_receipt", "wrong_receipt"]

LARGEST_STATE = 4096
"""Bytes of a receipt's state, as JSON."""
_NO_JOBS = "no handler has remote jobs"


async def _complete(call: LiveCall) -> AsyncIterator[str]:
    """All that the core needs to go on with the job stands in its receipt."""
    context = call.context()
    receipt = await call.receipt(context)
    wanted = {
        "ref": call.bound.ref,
        "operation": call.bound.info.operation,
        "key": context.key,
        "request_digest": context.request_digest,
        "expects": call.request.expects,
    }
    for name, value in wanted.items():
        if getattr(receipt, name) != value:
            yield f"the receipt's {name} is not that of its call"
    if not isinstance(receipt.job_id, str) or not receipt.job_id:
        yield f"the receipt's job_id is {receipt.job_id!r}"
    if not (isinstance(receipt.created, (int, float)) and math.isfinite(receipt.created) and receipt.created > 0):
        yield f"the receipt's created is {receipt.created!r}: seconds since the epoch, as context.clock() gives"
    if receipt.expires is not None and not receipt.expires > receipt.created:
        yield "the receipt expires before it was created"


async def _json(call: LiveCall) -> AsyncIterator[str]:
    """Written and read again it is the same, and its state is small."""
    for problem in wrong_receipt(await call.receipt()):
        yield problem


def wrong_receipt(receipt: Receipt) -> list[str]:
    """What is wrong with a receipt as JSON."""
    try:
        again = decode_receipt(encode_receipt(receipt))
        size = len(json.dumps(dict(receipt.state), allow_nan=False).encode())
    except Exception as error:  # noqa: BLE001 - whatever the encoder makes of a plugin's objects
        return [f"the receipt cannot be written as JSON and read again: {said_by(error)}"]
    problems = []
    if dict(again.state) != dict(receipt.state) or again != receipt:
        problems.append("the receipt is another one after it was written as JSON and read again")
    if size > LARGEST_STATE:
        problems.append(f"the receipt's state has {size} bytes, and {LARGEST_STATE} is the most")
    return problems


async def _clean(call: LiveCall) -> AsyncIterator[str]:
    """It lies in ledgers and goes from machine to machine: no key, and no URL that somebody could change."""
    receipt = await call.receipt()
    text = encode_receipt(receipt)
    if PLANTED in text or base64.b64encode(PLANTED.encode()).decode().rstrip("=") in text:
        yield "the key stands in the receipt"
    if "://" in receipt.job_id + json.dumps(dict(receipt.state)):
        yield "a URL stands in the receipt: keep the job's id, and make the path of it"


async def _elsewhere(call: LiveCall) -> AsyncIterator[str]:
    """A new process, with the receipt's JSON and the key alone, collects the very same."""
    receipt = await call.receipt()
    asked = (encode_receipt(receipt), call.server.origin)
    given = (call.subject.name, dict(call.subject.samples), dict(call.subject.streams))
    told = await asyncio.to_thread(run_child, "collected_by_receipt", given, hash_seed=11, more=asked)
    if told["error"]:
        yield f"another process cannot collect the job by its receipt: {told['error']}"
        return
    if told["outputs"] != fingerprint(await call.collected(receipt)):
        yield "another process collects another result by the same receipt"


def collected_by_receipt(subject: Subject, text: str, origin: str) -> dict[str, object]:
    """The child's side: `outputs` of the job of a receipt, or an `error`."""
    receipt = decode_receipt(text)
    wanted = (receipt.ref, receipt.operation)
    (bound,) = (each for each in subject.bound if (each.ref, each.info.operation) == wanted)
    try:
        return {"error": "", "outputs": asyncio.run(_collected(subject, bound, receipt, origin))}
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        return {"error": said_by(error), "outputs": []}


async def _collected(subject: Subject, bound: BoundHandler, receipt: Receipt, origin: str) -> list[list[object]]:
    async with open_client(subject, bound, origin) as (client, here):
        job = Job(receipt.key[:12], receipt.ref, here.info, receipt.operation, blank_inputs(receipt.operation))
        context = call_context(client, here, job, key=receipt.key, request_digest=receipt.request_digest)
        return fingerprint(await collected(here.handler, receipt, context))


TABLE: tuple[CheckRow, ...] = (
    (
        live(_complete, RemoteJobs, why=_NO_JOBS),
        Check(
            "receipt-complete",
            "a receipt has its call's ref, operation, key, digest and expects, the job's id and the time",
            "fill Receipt from request and context: key=context.key, request_digest=context.request_digest, expects=request.expects",
        ),
    ),
    (
        live(_json, RemoteJobs, why=_NO_JOBS),
        Check(
            "receipt-json",
            "a receipt survives being written as JSON, with a state of at most 4 KiB",
            "put only what polling needs into `state`: texts, numbers, booleans, lists and tables",
        ),
    ),
    (
        live(_clean, RemoteJobs, why=_NO_JOBS),
        Check(
            "receipt-clean",
            "a receipt holds no secret and no URL",
            "keep the job's id alone; paths are made of it, and the key is asked for at each call",
        ),
    ),
    (
        live(_elsewhere, RemoteJobs, why=_NO_JOBS),
        Check(
            "receipt-process",
            "another process collects the job, with nothing but its receipt",
            "keep nothing of a job in the handler, and read in poll and collect only the receipt, not context.job.inputs",
        ),
    ),
)
