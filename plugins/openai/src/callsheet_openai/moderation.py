"""Moderation (POST /moderations): is this text, or this image, acceptable?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.plugin import (
    CapabilityUnsupportedError,
    Expected,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    MalformedOutputError,
    ModerateInputs,
    ProviderRequest,
    check_attachment,
)
from callsheet_openai.api import call, with_files
from callsheet_openai.batch import BatchWire
from callsheet_openai.draft import OpenAIDraft

__all__ = ["ModerationHandler"]

LARGEST_IMAGE = 20 * 1000 * 1000
TAKEN = ("image/png", "image/jpeg", "image/webp", "image/gif")
_TOLD = ("flagged", "categories", "category_scores", "category_applied_input_types")


class ModerationHandler(BatchWire):
    """The wire `moderation`."""

    endpoint = "/v1/moderations"

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises CapabilityUnsupportedError for images that the model cannot look at."""
        inputs = job.inputs
        assert isinstance(inputs, ModerateInputs)
        draft = OpenAIDraft(job)
        if inputs.images and draft.data.get("images") is False:
            raise CapabilityUnsupportedError(f"{draft.ref} reads texts only", ref=draft.ref)
        parts: list[object] = [{"type": "text", "text": inputs.text}] if inputs.text else []
        for image in inputs.images:
            check_attachment(image, ref=draft.ref, media_types=TAKEN, max_bytes=LARGEST_IMAGE)
            parts.append({"type": "image_url", "image_url": {"url": image}})
        draft.put("input", parts if inputs.images else inputs.text)
        draft.options(("input",))
        return draft.request(Expected("json", "application/json"), units={"run": 1.0})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """One verdict."""
        return await self.result(
            await call(context, "/moderations", await with_files(request.body, context)), request, context
        )

    async def result(self, answer: Mapping[str, Any], request: ProviderRequest, _context: JobContext) -> JobResult:
        """`{flagged, categories, category_scores, category_applied_input_types}`, categories in the vendor's words."""
        results, ref = answer.get("results"), str(request.ref)
        if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], Mapping):
            raise MalformedOutputError(f"{ref} gave no verdict, or several", ref=ref)
        verdict = results[0]
        if not isinstance(verdict.get("flagged"), bool) or not isinstance(verdict.get("categories"), Mapping):
            raise MalformedOutputError(f"{ref} gave a verdict that says neither yes nor no", ref=ref)
        value = {name: verdict[name] for name in _TOLD if name in verdict}
        meta = {name: answer[name] for name in ("id", "model") if name in answer}
        return JobResult((JsonArtifact(value),), warnings=request.warnings, meta=meta)
