"""Video (POST /videos): a job that is polled, and whose file is fetched from the vendor's own origin.

The vendor can neither list jobs by a key of ours, so there is no `find`, nor stop one: DELETE takes only what is over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from callsheet.plugin import (
    AbortOutcome,
    CapabilityUnsupportedError,
    Expected,
    HttpLimits,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
    Usage,
    VideoInputs,
    check_attachment,
)
from callsheet_openai.api import ask, call, headers, moment, with_files
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.errors import job_error, malformed, vendor_error
from callsheet_openai.sizes import nearest_offered, of_area, pixels, ratio_of

__all__ = ["VideoHandler"]

LONGEST_PROMPT = 32_000
LARGEST_IMAGE = 15 * 1000 * 1000
"""Bytes of a first frame: as a data URL it may have 20 MiB."""
TAKEN = ("image/png", "image/jpeg", "image/webp")
LIMITS = HttpLimits(total=3600.0, max_bytes=4 << 30)
_NUMBER = re.compile(r"[1-9]\d{0,4}(\.\d{1,6})?")
USUAL_SECONDS, USUAL_SIZE = 4, (720, 1280)


class VideoHandler:
    """The wire `video`."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises InvalidRequestError without a prompt, CapabilityUnsupportedError for files that it does not take."""
        inputs = job.inputs
        assert isinstance(inputs, VideoInputs)
        draft = OpenAIDraft(job)
        if not inputs.prompt or len(inputs.prompt) > LONGEST_PROMPT:
            raise draft.invalid(f"needs a prompt of 1 to {LONGEST_PROMPT:,} characters")
        draft.put("prompt", inputs.prompt)
        if inputs.last_frame is not None or inputs.images or inputs.audio is not None:
            taken = "a first frame (image) and no last frame, reference images or audio"
            raise CapabilityUnsupportedError(f"{draft.ref} takes {taken}", ref=draft.ref)
        if inputs.image is not None:
            check_attachment(inputs.image, ref=draft.ref, media_types=TAKEN, max_bytes=LARGEST_IMAGE)
            draft.put("input_reference", {"image_url": inputs.image}, "image")
        draft.put("seconds", _seconds(draft, inputs.duration), "duration")
        draft.put("size", _size(draft, inputs), "size")
        _refuse(draft, inputs)
        draft.options()
        width, height = pixels(draft.body.get("size")) or USUAL_SIZE
        length = str(draft.body.get("seconds", USUAL_SECONDS))
        seconds = float(length if _NUMBER.fullmatch(length) else USUAL_SECONDS)
        expected = Expected("blob", "video/mp4", width=width, height=height, duration=seconds)
        return draft.request(expected, units={"second": seconds})

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """Start the job."""
        video = await call(context, "/videos", await with_files(request.body, context), sent=Sent.UNKNOWN)
        job_id = video.get("id")
        if not isinstance(job_id, str) or not job_id:
            raise malformed("took the job and gave no id for it", context, sent=Sent.UNKNOWN)
        return Receipt(
            ref=context.job.ref,
            operation=context.job.operation,
            job_id=job_id,
            key=context.key,
            request_digest=context.request_digest,
            expects=request.expects,
            created=context.clock(),
            expires=moment(video.get("expires_at")),
        )

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the job stands. Raises ContentRejectedError for one that failed for its content: no retry helps it."""
        video = await ask(context, f"/videos/{receipt.job_id}")
        state, progress = video.get("status"), video.get("progress")
        share = min(max(progress, 0), 100) / 100 if isinstance(progress, (int, float)) else None
        match state:
            case "queued":
                return RemoteStatus(RemoteState.QUEUED, progress=share)
            case "in_progress":
                return RemoteStatus(RemoteState.RUNNING, progress=share)
            case "completed":
                return RemoteStatus(RemoteState.SUCCEEDED, progress=1.0)
            case "failed":
                raise job_error(video.get("error"), context)
        raise malformed(f"gave the job the unknown status {state!r}", context, sent=Sent.UNKNOWN)

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """The clip, in the blob store."""
        expected = receipt.expects[0]
        path = f"/videos/{receipt.job_id}/content"
        async with context.http.stream("GET", path, headers=await headers(context), limits=LIMITS) as reply:
            if reply.status != 200:
                raise vendor_error(await reply.whole(), context, lost=True)
            artifact = await context.receive(
                reply,
                expected.media_type,
                width=expected.width,
                height=expected.height,
                duration=expected.duration,
            )
        return JobResult((artifact,), usage=Usage(units={"second": expected.duration or 0.0}))

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Say whether the job is over; one that runs goes on, and is paid for."""
        video: Mapping[str, Any] = await ask(context, f"/videos/{receipt.job_id}")
        over = video.get("status") in ("completed", "failed")
        return AbortOutcome.ALREADY_FINISHED if over else AbortOutcome.CLIENT_SIDE_ONLY


def _seconds(draft: OpenAIDraft, wished: float | None) -> str | None:
    """The nearest length that the model makes, as the vendor writes it; the longer of two that are as near."""
    offered = [int(each) for each in draft.names("seconds")]
    if wished is None:
        return None
    if not offered:
        return f"{wished:g}"
    nearest = min(offered, key=lambda each: (abs(each - wished), -each))
    if nearest != wished:
        draft.adjusted("duration", f"{wished:g} s", f"{nearest} s")
    return str(nearest)


def _size(draft: OpenAIDraft, inputs: VideoInputs) -> str | None:
    offered = [size for size in map(pixels, draft.names("sizes")) if size]
    wish = pixels(inputs.size) or pixels(inputs.resolution)
    lines = (inputs.resolution or "").lower().removesuffix("p")
    if inputs.resolution and not wish:
        of_lines = [size for size in offered if str(min(size)) == lines]
        if not of_lines:
            draft.unsupported("resolution", "its sizes have other numbers of lines")
        offered = of_lines or offered
    if not offered:
        return f"{wish[0]}x{wish[1]}" if wish else None
    ratio = ratio_of(inputs.aspect_ratio)
    if not wish and not ratio and not inputs.resolution:
        return None
    size = nearest_offered(offered, wish or (of_area(ratio) if ratio else USUAL_SIZE))
    if wish and size != wish:
        draft.adjusted("size", inputs.size or inputs.resolution, f"{size[0]}x{size[1]}")
    elif not wish and ratio and size[0] * ratio[1] != size[1] * ratio[0]:
        draft.adjusted("aspect_ratio", inputs.aspect_ratio, f"{size[0]}x{size[1]}")
    return f"{size[0]}x{size[1]}"


def _refuse(draft: OpenAIDraft, inputs: VideoInputs) -> None:
    draft.refuse(("negative_prompt", "fps", "seed"))
    if inputs.generate_audio is False:
        draft.unsupported("generate_audio", "its clips always have sound")
    if inputs.count != 1:
        draft.adjusted("count", inputs.count, "one clip a call")
    if inputs.format is not None and inputs.format.lower() != "mp4":
        draft.adjusted("format", inputs.format, "mp4")
