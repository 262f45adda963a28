"""What a prediction gave: a text (whole or in pieces), JSON, or files, which are fetched one by one."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from callsheet.plugin import (
    Artifact,
    BlobArtifact,
    Expected,
    JobContext,
    JobLostError,
    JobResult,
    JsonArtifact,
    MalformedOutputError,
    Receipt,
    Sent,
    TextArtifact,
    TextPart,
    Usage,
)
from callsheet_replicate.api import headers
from callsheet_replicate.errors import malformed

__all__ = ["collected"]

Prediction = Mapping[str, Any]
_GONE = (401, 403, 404, 410)
"""What a link that expired is answered with."""
_UNSIGNED = ("audio/pcm",)
"""Types without a signature: asked for exactly. Of the others, any of the same medium is taken: it has been paid for."""


async def collected(
    prediction: Prediction, receipt: Receipt, context: JobContext, again: Callable[[], Awaitable[Prediction]]
) -> JobResult:
    """The result of a prediction that succeeded; `again` asks for it anew, with fresh links. Raises ProviderError."""
    output, expected = prediction.get("output"), receipt.expects[0]
    if output is None and prediction.get("data_removed"):
        ref = str(receipt.ref)
        text = f"{ref} has deleted the output of {receipt.job_id} (it keeps outputs for an hour)"
        raise JobLostError(text, ref=ref, sent=Sent.FINISHED)
    artifacts: tuple[Artifact, ...]
    if expected.kind == "blob":
        artifacts = tuple([each async for each in _files(prediction, expected, context, again)])
    elif expected.kind == "text":
        artifacts = (TextArtifact(_text(output, context)),)
    else:
        artifacts = (JsonArtifact(_json(output, expected, context)),)
    parts = tuple(TextPart(each.text) for each in artifacts if isinstance(each, TextArtifact))
    return JobResult(artifacts, usage=_usage(prediction, receipt, len(artifacts)), meta=_meta(prediction), parts=parts)


async def _files(
    prediction: Prediction, expected: Expected, context: JobContext, again: Callable[[], Awaitable[Prediction]]
) -> Any:
    links = list(_links(prediction.get("output")))
    if not links:
        raise malformed(f"gave no file: its output is {str(prediction.get('output'))[:200]!r}", context)
    fresh = False
    for number in range(len(links)):
        try:
            artifact = await _fetched(links[number], expected, context)
        except MalformedOutputError as error:
            if error.status_code not in _GONE or fresh:
                raise
            fresh = True
            renewed = list(_links((await again()).get("output")))
            if len(renewed) != len(links):
                raise
            links = renewed
            artifact = await _fetched(links[number], expected, context)
        yield artifact


async def _fetched(link: str, expected: Expected, context: JobContext) -> BlobArtifact:
    about: dict[str, Any] = {"width": expected.width, "height": expected.height}
    if link.startswith("data:"):
        head, _, encoded = link.partition(",")
        try:
            data = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise malformed("gave a file that is not base64", context) from None
        told = head.removeprefix("data:").partition(";")[0] or expected.media_type
        return await context.keep(data, told, duration=expected.duration, **about)
    medium = expected.media_type.partition("/")[0]
    asked = expected.media_type if expected.media_type in _UNSIGNED else f"{medium}/*"
    key = await headers(context)  # goes to the provider's own origin alone
    return await context.download(link, asked, headers=key, duration=expected.duration, **about)


def _links(output: object) -> Iterator[str]:
    """The files of an output, in order: a link, a list of links, or an object with links in it."""
    if isinstance(output, str):
        if output.startswith(("https://", "http://", "data:")):
            yield output
    elif isinstance(output, Mapping):
        for each in output.values():
            yield from _links(each)
    elif isinstance(output, list):
        for each in output:
            yield from _links(each)


def _text(output: object, context: JobContext) -> str:
    """A text, or an iterator's pieces put together."""
    if isinstance(output, list) and all(isinstance(each, str) for each in output):
        return "".join(output)
    if isinstance(output, str):
        return output
    if isinstance(output, (Mapping, list)):
        return json.dumps(output, ensure_ascii=False)
    raise malformed(f"gave no text: its output is {type(output).__name__}", context)


def _json(output: object, expected: Expected, context: JobContext) -> object:
    if expected.schema is None:
        return output
    if not isinstance(output, str) and not (isinstance(output, list) and all(isinstance(e, str) for e in output)):
        return output
    text = _text(output, context).strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.removesuffix("```").partition("\n")[2]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise malformed(f"gave an answer that is no JSON: {text[:200]!r}", context) from None


def _usage(prediction: Prediction, receipt: Receipt, made: int) -> Usage:
    """What was counted before the call, the images that really came, and the vendor's own figures."""
    metrics = prediction.get("metrics")
    counted = receipt.state.get("units")
    units = dict(counted) if isinstance(counted, Mapping) else {}
    if "image" in units:
        units["image"] = float(made)
    told = metrics if isinstance(metrics, Mapping) else {}
    return Usage(_count(told, "input_token_count"), _count(told, "output_token_count"), units=units)


def _count(metrics: Mapping[str, object], name: str) -> int | None:
    value = metrics.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _meta(prediction: Prediction) -> dict[str, object]:
    return {
        name: prediction[name] for name in ("id", "model", "version", "metrics") if prediction.get(name) is not None
    }
