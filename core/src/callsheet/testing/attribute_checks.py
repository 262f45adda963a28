"""Checks of one attribute at a time at the vendor's counterpart: what `prepare` takes, the vendor takes and keeps to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from callsheet.artifacts import BlobArtifact
from callsheet.digests import digest
from callsheet.errors import CallsheetError, ProviderError, Sent
from callsheet.jobs import Expected, JobResult
from callsheet.media import HEAD_BYTES, sniff
from callsheet.testing.answer_checks import broken_promise
from callsheet.testing.exchange import Exchange
from callsheet.testing.live_stage import SOME_ROWS, LiveCall, caught, live, said_by
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.samples import variants
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_SHAPES = ("size", "aspect_ratio", "resolution")
_EITHER = frozenset({"video/mp4", "video/webm", "audio/mp4", "audio/ogg"})
"""What the signature alone does not tell: sounds and films, this codec or that."""
_PNG = b"\x89PNG\r\n\x1a\n"


def _taken(call: LiveCall, *names: str) -> Iterator[tuple[str, LiveCall]]:
    """The call with each value of each attribute that `prepare` takes without a warning of it."""
    for name, beside, values in variants(call.bound.info, call.subject.all_samples):
        if name == "voice" or (names and name not in names):  # which voices there are, the account decides
            continue
        for value in values:
            try:
                yield f"{name} = {value!r}"[:60], call.varied(**{**beside, name: value})
            except (NotApplicableError, CallsheetError):
                continue


async def _each(call: LiveCall) -> AsyncIterator[str]:
    """Each is sent; the vendor refuses none of them, and what comes is what `expects` then says."""
    asked = list(_taken(call))
    if not asked:
        raise NotApplicableError("its models take nothing but the least")
    await call.result(call.context("least"))
    least = _sent(call, "least")
    for name, varied in asked:
        call.server.journal.clear()
        result, error = await caught(varied.result(varied.context(name)))
        if least and _sent(varied, name) == least and digest(varied.request.body) != digest(call.request.body):
            yield f"{name} is in the body that prepare makes, and is not sent: the request is the same without it"
            continue
        if isinstance(error, ProviderError) and error.sent is Sent.NOT_SENT:
            continue  # refused after all, by what only the vendor's account tells
        problem = said_by(error) if error is not None else broken_promise(varied, result)
        problem = problem or await _other_type(varied, result)
        if problem:
            yield f"{name} is taken without a warning, and the counterpart's answer is not as promised: {problem}"


def _sent(call: LiveCall, name: str) -> list[str]:
    """The paid requests, without what tells calls apart."""
    return [_written(each).replace(call.context(name).key, "") for each in call.server.paid]


def _written(request: Exchange) -> str:
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    boundary = headers.get("content-type", "").partition("boundary=")[2]
    text = repr((request.method, request.path, sorted(request.query.items()), sorted(headers.items()), request.body))
    return text.replace(boundary, "") if boundary else text


async def _other_type(call: LiveCall, result: JobResult) -> str:
    """Where a file's signature is of another type than the expected one."""
    wanted = [expected for expected in call.request.expects for _ in range(expected.count)]
    for expected, artifact in zip(wanted, result.artifacts, strict=False):
        if isinstance(artifact, BlobArtifact):
            data = await call.client.runtime.services.blobs.read(artifact.file)
            found = sniff(data[:HEAD_BYTES])
            if found is not None and found not in _EITHER and found != expected.media_type:
                return f"the file is {found}, and `expects` says {expected.media_type}"
    return ""


async def _shapes(call: LiveCall) -> AsyncIterator[str]:
    """Pictures that come in the size that was asked for have the size that was expected."""
    seen: list[tuple[str, Expected, tuple[int, int]]] = []
    for name, varied in _taken(call, *_SHAPES):
        result = await varied.result(varied.context(name))
        expected = varied.request.expects[0]
        size = await _pixels(varied, result)
        if size is not None and expected.width and expected.height:
            seen.append((name, expected, size))
    if len({size for _, _, size in seen}) < 2:
        raise NotApplicableError("no sizes are expected, or the counterpart's pictures are all alike")
    for name, expected, (width, height) in seen:
        if (expected.width, expected.height) != (width, height):
            yield f"{name}: expects {expected.width}x{expected.height}, and the picture has {width}x{height}"


async def _pixels(call: LiveCall, result: JobResult) -> tuple[int, int] | None:
    """Width and height in the head of a PNG file (PNG specification, 11.2.1)."""
    artifact = result.artifacts[0] if result.artifacts else None
    if not isinstance(artifact, BlobArtifact):
        return None
    data = await call.client.runtime.services.blobs.read(artifact.file)
    head = data[16:24] if data.startswith(_PNG) and data[12:16] == b"IHDR" else b""
    return (int.from_bytes(head[:4]), int.from_bytes(head[4:])) if len(head) == 8 else None


TABLE: tuple[CheckRow, ...] = (
    (
        live(_each, rows=SOME_ROWS, every=True),
        Check(
            "attributes-answered",
            "each attribute that is taken without a warning is sent, and the vendor answers what `expects` says",
            "send the whole request.body; warn or refuse in prepare what the model does not take, by the vendor's field; let"
            " `expects` follow the attributes",
        ),
    ),
    (
        live(_shapes, rows=SOME_ROWS, takes="size"),
        Check(
            "expected-size",
            "width and height in `expects` are those that come",
            "make Expected.width and height of what is sent; leave them out where the vendor decides",
        ),
    ),
)
