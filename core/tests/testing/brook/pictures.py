"""Pictures as remote jobs; input files are uploaded first."""

from callsheet_brook.api import ask, headers, receipt_of

from callsheet.plugin import (
    AbortOutcome,
    CapabilityUnsupportedError,
    Expected,
    FormFile,
    JobResult,
    ProviderRequest,
    RemoteState,
    RemoteStatus,
    Upload,
    Usage,
    put_files,
)

_STATES = {
    "running": RemoteState.RUNNING,
    "done": RemoteState.SUCCEEDED,
    "failed": RemoteState.FAILED,
    "stopped": RemoteState.CANCELLED,
}


class Pictures:
    """The wire `pictures`."""

    def prepare(self, job):
        """A prompt, pictures to begin with, and how many are wanted."""
        wanted = job.inputs
        if wanted.mask:
            raise CapabilityUnsupportedError(f"{job.ref} takes no mask", ref=str(job.ref))
        size = wanted.size or "64x48"
        body = {"prompt": wanted.prompt, "n": wanted.count, "images": list(wanted.images or ()), "size": size}
        body |= job.options
        width, height = map(int, size.split("x"))
        expected = Expected("blob", "image/png", count=wanted.count, width=width, height=height)
        return ProviderRequest(job.ref, job.operation, body, (expected,), {"image": float(wanted.count)})

    async def submit(self, request, context):
        """Start the job."""

        async def put(file):
            return await context.files.upload(file, lambda: _upload(file, context))

        body = await put_files(request.body, put)
        told = await ask(context, "POST", "/pictures", json={**body, "name": context.key})
        return receipt_of(told["id"], request.expects, context, {"n": request.body["n"]})

    async def poll(self, receipt, context):
        """Where the job stands."""
        told = await ask(context, "GET", f"/pictures/{receipt.job_id}", lost=True)
        return RemoteStatus(_STATES[told["state"]], error=told.get("error", ""), answer=told)

    async def collect(self, receipt, context):
        """The files, in the vendor's order."""
        told = context.answer or await ask(context, "GET", f"/pictures/{receipt.job_id}", lost=True)
        key = await headers(context)
        made = [await context.download(context.origin + path, "image/png", headers=key) for path in told["files"]]
        return JobResult(tuple(made), usage=Usage(units={"image": float(len(made))}))

    async def abort(self, receipt, context):
        """Stop the job, if it still runs."""
        told = await ask(context, "POST", f"/pictures/{receipt.job_id}/cancel", lost=True)
        return AbortOutcome.STOPPED if told["state"] == "stopped" else AbortOutcome.ALREADY_FINISHED

    async def find(self, request, since, context):
        """By its name, which is our key."""
        told = await ask(context, "GET", "/pictures", query={"name": context.key})
        return receipt_of(told["ids"][0], request.expects, context, {"n": 1}) if told["ids"] else None


async def _upload(file, context):
    content = FormFile("file", "image.png", file.media_type, await context.files.read(file))
    told = await ask(context, "POST", "/files", form={}, files=[content])
    return Upload(told["id"], context.clock() + 3600)
