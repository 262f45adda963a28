"""The one wire of all models: a prediction is created, polled, collected, cancelled, and found again when it was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from callsheet.plugin import (
    AbortOutcome,
    Job,
    JobContext,
    JobResult,
    ModelDescription,
    ProviderContext,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
    StreamEvent,
    WebhookNotice,
)
from callsheet_replicate.api import ask, create, create_path, headers, json_object, with_files
from callsheet_replicate.errors import malformed, prediction_error
from callsheet_replicate.lookup import lost_prediction
from callsheet_replicate.mapping import prediction_request
from callsheet_replicate.outputs import collected
from callsheet_replicate.streams import text_deltas
from callsheet_replicate.webhooks import WebhookReader, ordered

__all__ = ["PredictionHandler"]

_STATES: Mapping[str, RemoteState] = {
    "starting": RemoteState.QUEUED,
    "processing": RemoteState.RUNNING,
    "succeeded": RemoteState.SUCCEEDED,
    "canceled": RemoteState.CANCELLED,
    "aborted": RemoteState.CANCELLED,  # ended before it began to run
}


class PredictionHandler:
    """Every model of Replicate."""

    def __init__(self) -> None:
        self._webhooks = WebhookReader()

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises InvalidRequestError, CapabilityUnsupportedError for files that the model does not take."""
        return prediction_request(job)

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """Start the prediction. Files are uploaded before it; a failure of that has cost nothing."""
        return (await _created(request, context))[0]

    async def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent | Receipt]:
        """The receipt, then a text in pieces where the vendor streams it: what is missing comes with the prediction."""
        receipt, prediction = await _created(request, context)
        yield receipt
        if request.expects[0].kind == "text":
            async with aclosing(text_deltas(prediction, context)) as deltas:
                async for delta in deltas:
                    yield delta

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the prediction stands. Raises JobFailedError, or ContentRejectedError for one that a filter stopped."""
        prediction = await _prediction(receipt, context)
        return RemoteStatus(_state(prediction, context), answer=prediction)

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Text, JSON, or the files in the blob store."""

        async def again() -> Mapping[str, Any]:
            return await _prediction(receipt, context)

        prediction = context.answer if isinstance(context.answer, Mapping) else await again()
        state = _state(prediction, context)
        if state is not RemoteState.SUCCEEDED:
            raise malformed(f"has no output: the prediction is {prediction.get('status')}", context, sent=Sent.UNKNOWN)
        return await collected(prediction, receipt, context, again)

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Cancel the prediction, and say what it then is: one that still runs may yet be stopped, or paid for."""
        prediction, _ = await ask(context, f"{_path(receipt)}/cancel", method="POST")
        if prediction.get("status") in ("starting", "processing"):
            prediction = await _prediction(receipt, context)
        match prediction.get("status"):
            case "canceled" | "aborted":
                return AbortOutcome.STOPPED
            case "succeeded" | "failed":
                return AbortOutcome.ALREADY_FINISHED
        return AbortOutcome.UNKNOWN

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Receipt | None:
        """The prediction of a create request whose answer was lost; None when the account's list has surely none."""
        job_id = await lost_prediction(request, since, context)
        return None if job_id is None else _receipt(job_id, request, context)

    async def read_webhook(self, headers: Mapping[str, str], body: bytes, context: ProviderContext) -> WebhookNotice:
        """Whose prediction is over. Raises AccessDeniedError for what the vendor has not signed."""
        return await self._webhooks.read(headers, body, context)

    async def check_health(self, context: ProviderContext) -> None:
        """Whose token it is costs nothing. Raises ProviderError, ConfigError."""
        reply = await context.http.send("GET", "/account", headers=await headers(context))
        json_object(reply, context, sent=Sent.NOT_SENT)

    async def fetch_model(self, model: str, context: ProviderContext) -> Mapping[str, object]:
        """The vendor's description of a model. Raises ModelNotFoundError, ProviderError, ConfigError."""
        from callsheet_replicate.description import fetch_model

        return await fetch_model(model, context)

    def describe_model(self, model: str, document: Mapping[str, object]) -> ModelDescription:
        """The row of a model by its description. Raises ConfigError for one that no row can be made of."""
        from callsheet_replicate.description import describe_model

        return describe_model(model, document)


async def _created(request: ProviderRequest, context: JobContext) -> tuple[Receipt, Mapping[str, Any]]:
    body = await with_files(request.body, context) | ordered(context)
    prediction = await create(context, create_path(request), body)
    job_id = prediction.get("id")
    if not isinstance(job_id, str) or not job_id:
        raise malformed("took the job and gave no id for it", context, sent=Sent.UNKNOWN)
    return _receipt(job_id, request, context), prediction


def _receipt(job_id: str, request: ProviderRequest, context: JobContext) -> Receipt:
    return Receipt(
        ref=context.job.ref,
        operation=context.job.operation,
        job_id=job_id,
        key=context.key,
        request_digest=context.request_digest,
        expects=request.expects,
        created=context.clock(),
        state={"units": dict(request.units)},
    )


async def _prediction(receipt: Receipt, context: JobContext) -> dict[str, Any]:
    prediction, _ = await ask(context, _path(receipt))
    return prediction


def _path(receipt: Receipt) -> str:
    return f"/predictions/{quote(receipt.job_id, safe='')}"


def _state(prediction: Mapping[str, Any], context: JobContext) -> RemoteState:
    status = prediction.get("status")
    if status == "failed":
        raise prediction_error(prediction.get("error"), context, str(prediction.get("id") or ""))
    if not isinstance(status, str) or status not in _STATES:
        raise malformed(f"gave the prediction the unknown status {status!r}", context, sent=Sent.UNKNOWN)
    return _STATES[status]
