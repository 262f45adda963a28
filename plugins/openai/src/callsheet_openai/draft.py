"""A request in the making."""

from __future__ import annotations

from callsheet.plugin import Draft, Job

__all__ = ["OpenAIDraft"]


class OpenAIDraft(Draft):
    """Names the model, and keeps the fields by which an answer is read."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, {"model": job.ref.model}, ours=("model", "stream", "stream_format"))
