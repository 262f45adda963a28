"""Embeddings (POST /embeddings): vectors in base64, which is a quarter of the bytes and of the parsing."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Mapping
from typing import Any

from callsheet.plugin import (
    EmbedInputs,
    Expected,
    HttpLimits,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    MalformedOutputError,
    ProviderRequest,
    Usage,
)
from callsheet_openai.api import call
from callsheet_openai.batch import BatchWire
from callsheet_openai.draft import OpenAIDraft
from callsheet_openai.usage import count

__all__ = ["EmbeddingHandler"]

MOST_TEXTS = 2048
LIMITS = HttpLimits(max_bytes=256 << 20)


class EmbeddingHandler(BatchWire):
    """The wire `embeddings`."""

    endpoint = "/v1/embeddings"

    def prepare(self, job: Job) -> ProviderRequest:
        """Raises InvalidRequestError for more texts than the vendor takes, and for empty ones."""
        inputs = job.inputs
        assert isinstance(inputs, EmbedInputs)
        draft = OpenAIDraft(job)
        texts = inputs.texts or (inputs.text or "",)
        if len(texts) > MOST_TEXTS:
            raise draft.invalid(f"embeds at most {MOST_TEXTS:,} texts in a call, not {len(texts):,}")
        if not all(texts):
            raise draft.invalid("embeds no empty texts")
        draft.put("input", texts)
        draft.put("dimensions", inputs.dimensions)
        draft.put("encoding_format", "base64")
        draft.options(("input",))
        return draft.request(Expected("json", "application/json"))

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """All vectors in one answer."""
        return await self.result(await call(context, "/embeddings", request.body, limits=LIMITS), request, context)

    async def result(self, answer: Mapping[str, Any], request: ProviderRequest, _context: JobContext) -> JobResult:
        """The vectors in the texts' order. Raises MalformedOutputError when one is missing or is none."""
        texts = request.body.get("input")
        wanted = len(texts) if isinstance(texts, (list, tuple)) else 1
        ref = str(request.ref)
        vectors: dict[int, list[float]] = {}
        try:
            for item in answer["data"]:
                vectors[item["index"]] = _vector(item["embedding"])
        except (ArithmeticError, KeyError, TypeError, ValueError):
            raise MalformedOutputError(f"{ref} gave vectors that cannot be read", ref=ref) from None
        if sorted(vectors) != list(range(wanted)):
            raise MalformedOutputError(f"{ref} gave {len(vectors)} vectors for {wanted} texts", ref=ref)
        usage = answer.get("usage")
        tokens = count(usage, "prompt_tokens") if isinstance(usage, Mapping) else None
        return JobResult(
            (JsonArtifact([vectors[number] for number in range(wanted)]),),
            usage=Usage(input_tokens=tokens, units={} if tokens is None else {"input_token": float(tokens)}),
            warnings=request.warnings,
        )


def _vector(value: object) -> list[float]:
    """Little-endian 32-bit floats in base64; compatible vendors know only lists."""
    if isinstance(value, list):
        return [float(each) for each in value]
    if not isinstance(value, str):
        raise TypeError
    numbers = array("f", base64.b64decode(value, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
