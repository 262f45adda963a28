"""Telemetry: runs, jobs and attempts as OpenTelemetry spans and metrics, and as fields of every log line.

Names are those of the GenAI semantic conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/) where they have one,
else `callsheet.…`. No prompt, no answer and no error message is among them. Nothing is configured, and the API is not even
imported: spans are made once the application, or a plugin, has imported it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from callsheet.artifacts import BlobArtifact
from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.jobs import Job, JobResult, Usage
from callsheet.models import Mode, Operation
from callsheet.money import Cost
from callsheet.registry import BoundHandler

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Span, Tracer

__all__ = ["Telemetry", "Trace"]

# An operation without a name in the conventions keeps ours.
_OPERATIONS = {
    Operation.TEXT_GENERATE: "chat",
    Operation.TEXT_EMBED: "embeddings",
    Operation.IMAGE_GENERATE: "generate_content",
    Operation.VIDEO_GENERATE: "generate_content",
    Operation.SPEECH_GENERATE: "generate_content",
    Operation.MUSIC_GENERATE: "generate_content",
    Operation.SOUND_GENERATE: "generate_content",
}
# The conventions' buckets of seconds end where a video begins.
_SECONDS = [0.01 * 2**n for n in range(18)]
_TOKENS = [4.0**n for n in range(14)]
_CLIENT = "gen_ai.client"
_PERHAPS_BILLED = (Sent.FINISHED, Sent.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Instruments:
    tracer: Tracer
    duration: Histogram
    first_chunk: Histogram
    tokens: Histogram
    cost: Counter
    unpriced: Counter


class Trace:
    """What is observed of one piece of work, entered and left as a block; this one only keeps the fields of log lines."""

    def __init__(self, fields: Mapping[str, object] | None = None) -> None:
        self._fields = fields or {}
        self._bound: Mapping[str, Token[Any]] = {}

    def __enter__(self) -> Trace:
        from structlog.contextvars import bind_contextvars

        self._bound = bind_contextvars(**self._fields)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from structlog.contextvars import reset_contextvars

        reset_contextvars(**self._bound)

    def hold(self) -> None:
        """The work goes on after the block: `over` ends it."""

    def tell(self, **about: Any) -> None:
        """More of it, as `callsheet.…`."""

    def piece(self) -> None:
        """The first piece of a streamed answer has come."""

    def gave(self, result: JobResult, cost: Cost) -> None:
        """What an attempt gave, and what that cost."""

    def over(self, error: BaseException | None = None) -> None:
        """The end, when it is not the end of the block. Only the first one counts."""

    @contextmanager
    def spanning(self) -> Iterator[None]:
        """Ends it with this block, in which it is not the current one: a generator shares its context with its reader."""
        self.hold()
        try:
            yield
        except BaseException as error:
            self.over(error)
            raise
        self.over()


class _Observed(Trace):
    """A span, and with `marks` (the metrics' attributes) the metrics of an attempt that somebody pays for."""

    def __init__(
        self, fields: Mapping[str, object], tools: _Instruments, span: Span, marks: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(fields)
        self._tools = tools
        self._span = span
        self._marks = marks
        self._started = time.perf_counter()
        self._attached: Token[Context] | None = None
        self._held = False
        self._gave = False
        self._ended = False

    def __enter__(self) -> Trace:
        from opentelemetry import context, trace

        self._attached = context.attach(trace.set_span_in_context(self._span))
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry import context

        super().__exit__(kind, error, trace)
        if self._attached is not None:
            context.detach(self._attached)
        if error is not None or not self._held:
            self.over(error)

    def hold(self) -> None:
        self._held = True

    def tell(self, **about: Any) -> None:
        with _harmless():
            self._span.set_attributes({f"callsheet.{name}": value for name, value in about.items()})

    def piece(self) -> None:
        seconds = time.perf_counter() - self._started
        with _harmless():
            self._span.set_attributes({"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": seconds})
            if self._marks is not None:
                self._tools.first_chunk.record(seconds, self._marks)

    def gave(self, result: JobResult, cost: Cost) -> None:
        self._gave = True
        with _harmless():
            self._span.set_attributes(_of_result(result))
            if self._marks is not None:
                self._span.set_attributes(_of_usage(result.usage))
                self._paid(result.usage, cost, self._marks)

    def _paid(self, usage: Usage, cost: Cost, marks: Mapping[str, str]) -> None:
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count is not None:
                self._tools.tokens.record(count, {**marks, "gen_ai.token.type": kind})
        if cost.known and cost.low is not None:
            self._span.set_attribute("callsheet.cost.usd", float(cost.low))
            self._tools.cost.add(float(cost.low), marks)
        else:
            self._tools.unpriced.add(1, marks)

    def over(self, error: BaseException | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        why = {} if error is None else _of_error(error)
        with _harmless():
            if error is not None:
                from opentelemetry.trace import StatusCode

                self._span.set_attributes(why)
                self._span.set_status(StatusCode.ERROR)  # without its message: that may quote the prompt
            if self._marks is not None:
                marks = {**self._marks, **({"error.type": why["error.type"]} if why else {})}
                self._tools.duration.record(time.perf_counter() - self._started, marks)
                if not self._gave and why.get("callsheet.sent") in _PERHAPS_BILLED:
                    self._tools.unpriced.add(1, self._marks)
        with _harmless():
            self._span.end()


class Telemetry:
    """Makes traces, with the providers that the application has configured, or will."""

    def run(self, run: str, sheet: str, mode: str) -> Trace:
        """A run of a sheet."""
        about = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": sheet,
            "callsheet.run.id": run,
            "callsheet.mode": mode,
        }
        return self._trace({"run": run}, f"invoke_workflow {sheet}", about)

    def job(self, job: Job) -> Trace:
        """A job with all its attempts. It is no inference of its own: no tokens are counted twice."""
        about = {"callsheet.job.id": job.id, "callsheet.operation": job.operation.value}
        return self._trace({"job": job.id}, f"job {job.operation}", about)

    def attempt(self, bound: BoundHandler, job: Job, number: int) -> Trace:
        """One attempt of one call: what the conventions call an inference."""
        fields = {"ref": str(job.ref), "attempt": number}
        if not _configured():
            return Trace(fields)
        operation = _OPERATIONS.get(job.operation, job.operation.value)
        marks = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": job.ref.provider,
            "gen_ai.request.model": job.ref.model,
            "callsheet.operation": job.operation.value,
        }
        about: dict[str, str | int] = {**marks, **_of_call(bound, job), "callsheet.attempt": number}
        paid = None if bound.simulated else marks
        return self._trace(fields, f"{operation} {job.ref.model}", about, "CLIENT", paid)

    def _trace(
        self,
        fields: Mapping[str, object],
        name: str,
        about: Mapping[str, str | int],
        kind: str = "INTERNAL",
        marks: Mapping[str, str] | None = None,
    ) -> Trace:
        if _configured():
            with _harmless():
                from opentelemetry.trace import SpanKind

                span = self._instruments.tracer.start_span(name, kind=SpanKind[kind], attributes=about)
                return _Observed(fields, self._instruments, span, marks)
        return Trace(fields)

    @cached_property
    def _instruments(self) -> _Instruments:
        from importlib.metadata import version

        from opentelemetry import metrics, trace

        scope = ("callsheet", version("callsheet"))
        meter = metrics.get_meter_provider().get_meter(*scope)

        def histogram(name: str, unit: str, what: str, bounds: list[float]) -> Histogram:
            return meter.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=bounds)

        return _Instruments(
            tracer=trace.get_tracer_provider().get_tracer(*scope),
            duration=histogram(f"{_CLIENT}.operation.duration", "s", "Of an attempt, with its wait.", _SECONDS),
            first_chunk=histogram(f"{_CLIENT}.operation.time_to_first_chunk", "s", "Of a streamed answer.", _SECONDS),
            # the conventions are about to rename this one
            tokens=histogram(f"{_CLIENT}.token.usage", "{token}", "As the provider counted them.", _TOKENS),
            cost=meter.create_counter("callsheet.cost", "{USD}", "Of the calls whose cost is known."),
            unpriced=meter.create_counter("callsheet.cost.unknown", "{call}", "Paid calls whose cost is not known."),
        )


def _configured() -> bool:
    """Whether the program records anything. One that has not imported the API cannot, and to import it would take 0.1 s."""
    trace, metrics = sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.metrics")
    return bool(
        (trace and not _is_idle(trace.get_tracer_provider()))
        or (metrics and not _is_idle(metrics.get_meter_provider()))
    )


def _is_idle(provider: object) -> bool:
    """The API's own providers record nothing: they stand for what is not configured (yet)."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


@contextmanager
def _harmless() -> Iterator[None]:
    """What an exporter or a processor raises is logged: it must not cost a result that was paid for."""
    try:
        yield
    except Exception:
        logging.getLogger("callsheet").exception("telemetry fails")


def _of_call(bound: BoundHandler, job: Job) -> dict[str, str]:
    mode = Mode.MOCK if bound.simulated else Mode.LIVE
    about = {"callsheet.job.id": job.id, "callsheet.mode": mode.value, "callsheet.environment": job.ref.environment}
    if made := _output_of(job):
        about["gen_ai.output.type"] = made
    host = "" if bound.simulated else urlsplit(bound.origin).hostname
    return {**about, "server.address": host} if host else about


def _output_of(job: Job) -> str:
    medium, _, verb = job.operation.value.partition(".")
    if verb == "generate":
        return "json" if getattr(job.inputs, "output_schema", None) else medium
    return "text" if job.operation is Operation.AUDIO_TRANSCRIBE else ""


def _of_result(result: JobResult) -> dict[str, Any]:
    files = [each.file for each in result.artifacts if isinstance(each, BlobArtifact)]
    about: dict[str, Any] = {
        "gen_ai.response.finish_reasons": (result.finish,),
        "callsheet.artifacts": len(result.artifacts),
    }
    if files:
        about["callsheet.artifacts.bytes"] = sum(file.bytes for file in files)
    for name in ("id", "model"):
        if isinstance(said := result.meta.get(name), str):
            about[f"gen_ai.response.{name}"] = said
    return about


def _of_usage(usage: Usage) -> dict[str, int]:
    counted = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read.input_tokens": usage.cached_tokens,
        "reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {f"gen_ai.usage.{name}": count for name, count in counted.items() if count is not None}


def _of_error(error: BaseException) -> dict[str, Any]:
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return {"error.type": ErrorKind.CANCELLED.value}
    if not isinstance(error, ProviderError):
        return {"error.type": type(error).__name__}
    about: dict[str, Any] = {"error.type": error.kind.value, "callsheet.sent": error.sent.value}
    return about if error.status_code is None else {**about, "http.response.status_code": error.status_code}
