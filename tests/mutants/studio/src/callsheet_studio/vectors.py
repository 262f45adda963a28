"""The wire `vectors`: the vectors of texts (POST /vectors)."""

from __future__ import annotations

from callsheet.plugin import (
    Draft,
    EmbedInputs,
    Expected,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    ProviderRequest,
)
from callsheet_studio import API

__all__ = ["Vectors"]


class Vectors:
    """Embedding models."""

    def prepare(self, job: Job) -> ProviderRequest:
        """What is sent."""
        inputs = job.inputs
        assert isinstance(inputs, EmbedInputs)
        texts = list(inputs.texts) or [inputs.text or ""]
        draft = Draft(job, {"model": job.ref.model, "texts": texts}, ours=("model", "texts"))
        draft.refuse(("dimensions",))
        draft.options()
        return draft.request(Expected("json", "application/json"), units={"character": sum(map(len, texts))})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The vectors in the order of the texts: the vendor has one of its own."""
        answer = await API.send(context, "POST", "/vectors", json=request.body)
        vectors = answer.get("vectors")
        if not isinstance(vectors, list):
            raise API.malformed("gave no vectors", context)
        vectors.sort(key=lambda each: each["index"])
        return JobResult((JsonArtifact([each["vector"] for each in vectors]),))
