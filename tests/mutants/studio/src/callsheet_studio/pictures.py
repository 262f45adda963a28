"""The wire `pictures`: pictures of a prompt and after others, which are uploaded first (POST /files, POST /pictures)."""

from __future__ import annotations

from callsheet.plugin import (
    Draft,
    Expected,
    FileRef,
    FormFile,
    ImageInputs,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    Upload,
    put_files,
)
from callsheet_studio import API

__all__ = ["Pictures"]


class Pictures:
    """Image models."""

    def prepare(self, job: Job) -> ProviderRequest:
        """What is sent."""
        inputs = job.inputs
        assert isinstance(inputs, ImageInputs)
        draft = Draft(job, {"model": job.ref.model}, ours=("model", "number", "references", "size"))
        if inputs.mask is not None:
            raise draft.incapable("takes no mask")
        draft.put("prompt", inputs.prompt)
        draft.put("number", inputs.count)
        draft.put("references", inputs.images)
        draft.put("size", inputs.size)
        draft.refuse(("negative_prompt", "aspect_ratio", "resolution", "seed", "format"))
        draft.options()
        width, _, height = (inputs.size or "64x64").partition("x")
        expected = Expected("blob", "image/png", count=inputs.count, width=int(width), height=int(height))
        return draft.request(expected, units={"image": inputs.count})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The pictures stand behind URLs, in the order of the answer."""

        async def uploaded(file: FileRef) -> str:
            return await context.files.upload(file, lambda: _upload(file, context))

        body = await put_files(request.body, uploaded)
        answer = await API.send(context, "POST", "/pictures", json=body)
        key = await API.headers(context)
        urls = [API.text(answer, f"pictures.{number}.url", context) for number in range(request.expects[0].count)]
        return JobResult(tuple([await context.download(url, "image/png", headers=key) for url in urls]))


async def _upload(file: FileRef, context: JobContext) -> Upload:
    part = FormFile("file", file.name or "reference", file.media_type, await context.files.read(file))
    told = await API.send(context, "POST", "/files", files=[part])
    return Upload(API.text(told, "id", context))
