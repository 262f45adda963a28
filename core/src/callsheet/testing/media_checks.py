"""Checks of files at the vendor's counterpart: outputs that lie or end early, inputs that arrive, uploads made once."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.batching import files_in
from callsheet.errors import ProviderError
from callsheet.inputs import file_attributes, list_attributes
from callsheet.jobs import JobResult
from callsheet.testing.exchange import Exchange, Fault
from callsheet.testing.live_stage import SOME_ROWS, LiveCall, caught, fingerprint, live, said_by
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.samples import sample_files, variants
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_PAGE = b"<!doctype html><html><body>Please sign in.</body></html>"
_KEYS = ("authorization", "api-key")
_LARGE = 600_000
"""Bytes of a file that few vendors take inside of a request."""


async def _lies(call: LiveCall) -> AsyncIterator[str]:
    """A page in the place of a file is not kept as one."""
    whole = await call.result()
    call.server.fail(_file_route(call, whole), Fault(status=200, body=_PAGE, headers={"content-type": "text/html"}))
    problem = await _passes_for(call, whole, "lied to")
    if problem:
        yield f"an HTML page in the place of the output {problem}"


async def _cut(call: LiveCall) -> AsyncIterator[str]:
    """A file that ends early is not kept as a whole one; the rest of it may be fetched. Events that end early are no answer."""
    whole = await call.result()
    in_events = [each.route for each in call.server.paid if each.events]
    if in_events:
        call.server.fail(in_events[0], Fault(events=1, clean=True))
        problem = await _passes_for(call, whole, "ended")
        if problem:
            yield f"an answer in events that ends after the first {problem}"
        return
    route = _file_route(call, whole)
    faults = {"ends early": Fault(size=16), "is shorter than its Content-Length": Fault(promise=1000)}
    for name, fault in faults.items():
        call.server.fail(route, fault)
        problem = await _passes_for(call, whole, name)
        if problem:
            yield f"an output file that {name} {problem}"


async def _passes_for(call: LiveCall, whole: JobResult, name: str) -> str:
    result, error = await caught(call.result(call.context(name)))
    if error is None:
        return "" if fingerprint(result) == fingerprint(whole) else "gives a result with another file, and not an error"
    return "" if isinstance(error, ProviderError) else f"lets through {said_by(error)}"


def _file_route(call: LiveCall, result: JobResult) -> str:
    """The route from which the last output file came. NotApplicableError where none did by itself."""
    if not any(isinstance(each, BlobArtifact) for each in result.artifacts):
        raise NotApplicableError("it gives no files")
    came = [each.route for each in call.server.journal if each.status and each.reply is None and each.route]
    if not came:
        raise NotApplicableError("its files come inside of the answer")
    return came[-1]


async def _order(call: LiveCall) -> AsyncIterator[str]:
    """Two outputs, in the order in which the vendor's answer lists them."""
    asked = call.varied(count=2)
    result = await asked.result()
    told = json.dumps([each.reply for each in call.server.journal])
    places: dict[str, int] = {}
    for each in result.artifacts:
        if isinstance(each, BlobArtifact):
            data = await call.client.runtime.services.blobs.read(each.file)
            places[each.file.sha256] = told.find(base64.b64encode(data).decode())
    for request in [each for each in call.server.journal if each.reply is None and not each.paid]:
        key = {name: value for name, value in request.headers.items() if name in _KEYS or name.startswith("x")}
        again = await asked.context().http.send("GET", request.path, headers=key)
        places[hashlib.sha256(again.body).hexdigest()] = told.find(request.path)
    found = [places[each.file.sha256] for each in result.artifacts if isinstance(each, BlobArtifact)]
    if len(found) != 2 or len(set(found)) != 2 or min(found) < 0:
        raise NotApplicableError("the counterpart's two outputs cannot be told apart")
    if found != sorted(found):
        yield "with count = 2, the outputs come in another order than the vendor lists them"


async def _arrive(call: LiveCall) -> AsyncIterator[str]:
    """The bytes of an input file are in a request, as they are or in base64."""
    asked = next(_with_files(call), None)
    if asked is None:
        raise NotApplicableError("it takes no files")
    await asked.result()
    for file in files_in(asked.request.body):
        if not any(_carries(each, sample_files()[file.media_type]) for each in call.server.journal):
            yield f"the file {file.name} ({file.media_type}) reaches the vendor in no request"


async def _once(call: LiveCall) -> AsyncIterator[str]:
    """What the vendor has is not sent again for the next call."""
    asked, content = await _with_large_file(call)
    for name in ("first", "second"):
        await asked.result(asked.context(name))
    paid = call.server.paid
    uploads = [e for e in call.server.journal if _carries(e, content) and all(e is not each for each in paid)]
    if not uploads:
        raise NotApplicableError("its files go inside of the request")
    if len(uploads) > 1:
        yield f"one file is uploaded {len(uploads)} times for two calls: use context.files.upload"


def _with_files(call: LiveCall) -> Iterator[LiveCall]:
    """The call with each of its file attributes that the model takes."""
    if any(files_in(call.request.body)):
        yield call
    files = file_attributes(call.bound.info.operation)
    for name, beside, values in variants(call.bound.info, call.subject.samples):
        if name not in files:
            continue
        try:
            asked = call.varied(**beside, **{name: values[0]})
        except NotApplicableError:
            continue
        if any(files_in(asked.request.body)):
            yield asked


async def _with_large_file(call: LiveCall) -> tuple[LiveCall, bytes]:
    for asked in _with_files(call):
        for name in file_attributes(call.bound.info.operation):
            given = getattr(asked.job.inputs, name, None)
            file = given[0] if isinstance(given, tuple) and given else given
            if not isinstance(file, FileRef):
                continue
            content = sample_files()[file.media_type].ljust(_LARGE, b"\0")
            stored = await call.client.runtime.services.blobs.put(content, file.media_type)
            large = replace(stored, name=file.name)
            several = name in list_attributes(call.bound.info.operation)
            return asked.varied(**{name: (large,) if several else large}), content
    raise NotApplicableError("it takes no files")


def _carries(request: Exchange, content: bytes) -> bool:
    return content in request.body or base64.b64encode(content) in request.body


TABLE: tuple[CheckRow, ...] = (
    (
        live(_lies),
        Check(
            "file-lies",
            "an HTML page in the place of an output file is an error",
            "take outputs in by context.download or context.receive with the media type that `expects` says",
        ),
    ),
    (
        live(_cut),
        Check(
            "file-cut",
            "an output file, or an answer in events, that ends early is an error",
            "take outputs in by context.download or context.receive: they compare with the declared length",
        ),
    ),
    (
        live(_order, rows=SOME_ROWS, takes="count"),
        Check(
            "outputs-order",
            "several outputs come in the order in which the vendor lists them",
            "make the artifacts of the vendor's list, one after the other, or gather them in its order",
        ),
    ),
    (
        live(_arrive, rows=SOME_ROWS),
        Check(
            "inputs-arrive",
            "an input file reaches the vendor, whole",
            "fill the FileRef leaves of the body: put_files with data_url, or with context.files.upload",
        ),
    ),
    (
        live(_once, rows=SOME_ROWS),
        Check(
            "upload-once",
            "a file that the vendor has is not uploaded again",
            "upload by context.files.upload(file, send): it remembers the address for the next call",
        ),
    ),
)
