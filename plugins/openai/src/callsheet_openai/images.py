"""Images: generations, and edits of input images (POST /images/generations and /images/edits)."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from callsheet.plugin import (
    BlobArtifact,
    CapabilityUnsupportedError,
    Expected,
    HttpLimits,
    HttpReply,
    ImageDelta,
    ImageInputs,
    Job,
    JobContext,
    JobResult,
    MalformedOutputError,
    ProviderRequest,
    Sent,
    StreamEvent,
    StreamFinished,
    Usage,
    check_attachment,
)
from callsheet_openai.api import call, checked, headers, json_object
from callsheet_openai.batch import BatchWire
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.errors import job_error, vendor_error
from callsheet_openai.forms import form_of
from callsheet_openai.sizes import Canvas, Size, nearest_offered, of_area, pixels, ratio_of
from callsheet_openai.usage import count

__all__ = ["ImageHandler"]

GENERATIONS, EDITS = "/images/generations", "/images/edits"
FORMATS = {"jpg": "jpeg"}
_TYPES = {"svg": "image/svg+xml"}
TAKEN = ("image/png", "image/jpeg", "image/webp")
LARGEST_IMAGE = 50 * 1000 * 1000
LARGEST_MASK = 4 * 1000 * 1000
MOST_IMAGES = 16
LONGEST_PROMPT = 32_000
# Ten large pictures in base64 come in one JSON text.
LIMITS = HttpLimits(max_bytes=512 << 20)
_AREAS = {"1K": 1024 * 1024, "2K": 2048 * 2048, "4K": 3840 * 2160}


class ImageHandler(BatchWire):
    """The wire `images`."""

    endpoint = "/v1/images/generations"

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises CapabilityUnsupportedError for input files that the model cannot take, InvalidRequestError for values."""
        inputs = job.inputs
        assert isinstance(inputs, ImageInputs)
        draft = OpenAIDraft(job)
        if len(inputs.prompt or "") > draft.number("longest_prompt", LONGEST_PROMPT):
            raise draft.invalid(
                f"takes prompts of at most {draft.number('longest_prompt', LONGEST_PROMPT):,} characters"
            )
        draft.put("prompt", inputs.prompt)
        _put_images(draft, inputs)
        if inputs.count != 1:
            draft.put("n", inputs.count, "count")
        draft.put("size", _size(draft, inputs))
        _put_format(draft, inputs.format)
        draft.refuse(("negative_prompt", "seed"))
        if "response_format" not in draft.names("refuses"):
            draft.put("response_format", draft.data.get("response_format"))
        draft.options()
        return _request(draft)

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """Every image in one answer."""
        body = {name: value for name, value in request.body.items() if name != "partial_images"}
        if "image" not in body:
            answer = await call(context, GENERATIONS, body, limits=LIMITS)
        else:
            form, files = await form_of(body, context.files)
            reply = await context.http.send(
                "POST", EDITS, form=form, files=files, headers=await headers(context), limits=LIMITS
            )
            answer = json_object(checked(reply, context), context)
        return await self.result(answer, request, context)

    async def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent]:
        """Partial images (option `partial_images`, 0 to 3) as they come, and then the result."""
        wanted, images = _count(request.body), []
        last: Mapping[str, Any] = {}
        async with aclosing(_events(request, context)) as events:
            async for event in events:
                kind = str(event.get("type", ""))
                if kind.endswith(".partial_image"):
                    number = event.get("partial_image_index")
                    yield ImageDelta(
                        _decoded(event, request), _media_type(event, request), number if isinstance(number, int) else 0
                    )
                elif kind.endswith(".completed"):
                    images.append(event)
                    last = event
                elif kind == "error":
                    raise job_error(event.get("error", event), context)
        if len(images) < wanted:
            text = f"{request.ref}: the stream ended after {len(images)} of {wanted} images"
            raise MalformedOutputError(text, sent=Sent.UNKNOWN, ref=str(request.ref))
        yield StreamFinished(await self.result({**last, "data": images}, request, context))

    def batched(self, request: ProviderRequest) -> bool:
        """Edits have files, which a batch takes by reference only."""
        return "image" not in request.body

    async def result(self, answer: Mapping[str, Any], request: ProviderRequest, context: JobContext) -> JobResult:
        """The images of an answer, in the blob store. Raises MalformedOutputError for what is no image."""
        data = answer.get("data")
        artifacts, revised = [], []
        for item in data if isinstance(data, list) else ():
            if not isinstance(item, Mapping):
                raise MalformedOutputError(f"{request.ref} gave an image of no known form", ref=str(request.ref))
            artifacts.append(await _artifact(item, {**answer, **item}, request, context))
            if item.get("revised_prompt"):
                revised.append(item["revised_prompt"])
        shown = ("background", "quality", "size", "output_format")
        meta = {name: answer[name] for name in shown if answer.get(name)}
        if revised:
            meta["revised_prompt"] = revised[0] if len(revised) == 1 else revised
        return JobResult(tuple(artifacts), usage=_usage(answer, len(artifacts)), warnings=request.warnings, meta=meta)


async def _events(request: ProviderRequest, context: JobContext) -> AsyncGenerator[dict[str, Any], None]:
    body = {**request.body, "stream": True}
    form, files = await form_of(body, context.files) if "image" in body else (None, [])
    path, data = (GENERATIONS, body) if form is None else (EDITS, None)
    async with context.http.stream(
        "POST", path, json=data, form=form, files=files, headers=await headers(context), limits=LIMITS
    ) as reply:
        if reply.status != 200:
            raise vendor_error(await reply.whole(), context)
        async for event in reply.events():
            if event.data != "[DONE]":
                yield json_object(HttpReply(reply.status, reply.headers, event.data.encode()), context)


def _put_images(draft: OpenAIDraft, inputs: ImageInputs) -> None:
    most = draft.number("most_images", MOST_IMAGES)
    if len(inputs.images) > most:
        takes = f"at most {most} input images, not {len(inputs.images)}" if most else "no input images"
        raise CapabilityUnsupportedError(f"{draft.ref} takes {takes}", ref=draft.ref)
    taken = draft.names("image_types") or TAKEN
    for image in inputs.images:
        check_attachment(
            image, ref=draft.ref, media_types=taken, max_bytes=draft.number("largest_image", LARGEST_IMAGE)
        )
    draft.put("image", inputs.images[0] if len(inputs.images) == 1 else inputs.images, "images")
    if inputs.mask is not None and not inputs.images:
        draft.unsupported("mask", "there is no input image that it would be for")
    elif inputs.mask is not None:
        check_attachment(inputs.mask, ref=draft.ref, media_types=("image/png",), max_bytes=LARGEST_MASK)
        draft.put("mask", inputs.mask)


def _put_format(draft: OpenAIDraft, wish: str | None) -> None:
    if wish is None:
        return
    name = FORMATS.get(wish.lower(), wish.lower())
    formats = draft.names("formats")
    if formats and name not in formats:
        draft.adjusted("format", wish, formats[0])
    elif "output_format" not in draft.names("refuses"):
        draft.put("output_format", name, "format")


def _size(draft: OpenAIDraft, inputs: ImageInputs) -> str | None:
    """The vendor's size for what was asked, with a warning where it is only near."""
    wish = pixels(inputs.size) or pixels(inputs.resolution)
    ratio = ratio_of(inputs.aspect_ratio)
    if wish and ratio and wish[0] * ratio[1] != wish[1] * ratio[0]:
        draft.unsupported("aspect_ratio", f"the size {wish[0]}x{wish[1]} has another one")
    if not wish and not ratio and not inputs.resolution:
        return None
    offered = [size for size in map(pixels, draft.names("sizes")) if size]
    area = _AREAS.get((inputs.resolution or "").upper())
    if inputs.resolution and not wish and (offered or not area):
        draft.unsupported("resolution", "ask for a size in pixels")
        if not ratio:
            return None
    size, exact = _nearest(offered, Canvas.of(draft.data), wish, ratio, area)
    text = f"{size[0]}x{size[1]}"
    if not exact:
        attribute, asked = ("size", inputs.size or inputs.resolution) if wish else ("aspect_ratio", inputs.aspect_ratio)
        draft.adjusted(attribute, asked, text)
    return text


def _nearest(
    offered: list[Size], canvas: Canvas, wish: Size | None, ratio: Size | None, area: int | None
) -> tuple[Size, bool]:
    shape = ratio or (1, 1)
    if offered:
        size = nearest_offered(offered, wish or of_area(shape))
    elif wish:
        size = wish if canvas.takes(wish) else canvas.nearest(wish)
    else:
        size = canvas.of_shape(shape, area) if area else canvas.of_shape(shape)
    return size, size == wish if wish else size[0] * shape[1] == size[1] * shape[0]


def _request(draft: OpenAIDraft) -> ProviderRequest:
    """The request with what it promises, read from the body itself: an option may have the last word."""
    count, most = _count(draft.body), draft.number("most_outputs", 10)
    if not 1 <= count <= most:
        raise draft.invalid(f"makes 1 to {most} images in a call, not {count}")
    width, height = pixels(draft.body.get("size")) or (None, None)
    name = str(draft.body.get("output_format") or "png")
    expected = Expected("blob", _TYPES.get(name, f"image/{name}"), count=count, width=width, height=height)
    return draft.request(expected, units={"image": float(count)})


def _count(body: Mapping[str, object]) -> int:
    count = body.get("n") or 1
    return count if isinstance(count, int) else 1


async def _artifact(
    item: Mapping[str, object], known: Mapping[str, Any], request: ProviderRequest, context: JobContext
) -> BlobArtifact:
    width, height = pixels(known.get("size")) or pixels(request.body.get("size")) or (None, None)
    media_type, url = _media_type(known, request), item.get("url")
    if isinstance(url, str) and url:
        return await context.download(url, media_type, width=width, height=height)
    return await context.keep(_decoded(item, request), media_type, width=width, height=height)


def _media_type(answer: Mapping[str, Any], request: ProviderRequest) -> str:
    told = answer.get("output_format")
    return _TYPES.get(told, f"image/{told}") if isinstance(told, str) else request.expects[0].media_type


def _decoded(item: Mapping[str, Any], request: ProviderRequest) -> bytes:
    text = item.get("b64_json")
    try:
        return base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except ValueError:
        raise MalformedOutputError(f"{request.ref} gave an image that is not base64", ref=str(request.ref)) from None


def _usage(answer: Mapping[str, Any], made: int) -> Usage:
    """Text and image tokens apart, because they are paid for apart; an answer that does not split them has one kind."""
    units: dict[str, float] = {"image": float(made)}
    usage = answer.get("usage")
    if not isinstance(usage, Mapping):
        return Usage(units=units)
    for way in ("input", "output"):
        whole, details = count(usage, f"{way}_tokens"), usage.get(f"{way}_tokens_details")
        if isinstance(details, Mapping):
            units[f"{way}_token"] = float(count(details, "text_tokens") or 0)
            units[f"{way}_image_token"] = float(count(details, "image_tokens") or 0)
        elif whole is not None:
            # an image's output is image tokens; only newer models write text beside it, and those say so
            units[f"{way}_token"], units[f"{way}_image_token"] = (
                (float(whole), 0.0) if way == "input" else (0.0, float(whole))
            )
    return Usage(count(usage, "input_tokens"), count(usage, "output_tokens"), units=units)
