"""The text handlers as they are registered, and one call of theirs without the engine around it."""

from __future__ import annotations

from openai_counterpart import stage

from callsheet.jobs import Job, ProviderRequest
from callsheet.models import ModelInfo, ModelRef, Operation


def handler(wire: str):
    """The handler of a text wire."""
    return stage.STAGE.handler(wire)


def open_job(wire: str, options: dict | None = None, *, data: dict | None = None, **attributes: object) -> Job:
    """A job for a model of which nothing is known but its wire, and what `data` says."""
    job = stage.job("some-model", "text.generate", options, **attributes)
    info = ModelInfo("openai", "some-model", Operation.TEXT_GENERATE, wire=wire, data=data or {})
    return Job("call", ModelRef("openai", "some-model"), info, job.operation, job.inputs, job.options)


def prepared(wire: str, options: dict | None = None, *, data: dict | None = None, **attributes: object):
    """The request of such a job."""
    return handler(wire).prepare(open_job(wire, options, data=data, **attributes))


def of_row(model: str, options: dict | None = None, **attributes: object) -> ProviderRequest:
    """The request of a job for a model with a row."""
    job = stage.job(model, "", options, **attributes)
    return handler(job.model.wire).prepare(job)


def warned(request: ProviderRequest) -> list[tuple[str, str]]:
    """The warnings' kinds and attributes, but that the model is deprecated."""
    return stage.told(request)
