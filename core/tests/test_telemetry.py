"""Telemetry: what spans, metrics and log lines say of runs, jobs and attempts, and what they never say."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.contextvars import get_contextvars

from callsheet.artifacts import TextArtifact
from callsheet.errors import (
    ConnectionFailedError,
    ContentRejectedError,
    JobFailedError,
    RateLimitedError,
    Sent,
)
from callsheet.jobs import Expected, JobResult, Receipt, Usage
from callsheet.models import ModelRef, Operation
from callsheet.policies import Policies
from callsheet.runs import RunRequest
from callsheet.sheet import CallSheet
from callsheet.streams import StreamFinished, TextDelta

SECRETIVE = "the recipe of the lava cake"
RUN = """
[producers.a]
operation = "text.generate"
models = ["acme:text"]
prompt = "first"
[producers.b]
operation = "text.generate"
models = ["acme:job"]
prompt = "second: {{ a }}"
"""


class Watch:
    """The SDK's providers, and what they were told."""

    def __init__(self) -> None:
        self.exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self._reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self):
        """Those that ended, in order of their beginning."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)

    def points(self):
        """Each metric's points: attributes, and the sum (or count) of each."""
        data = self._reader.get_metrics_data()
        scopes = [] if data is None else [s for each in data.resource_metrics for s in each.scope_metrics]
        return {
            metric.name: [
                (dict(point.attributes), getattr(point, "sum", None) or getattr(point, "value", None))
                for point in metric.data.data_points
            ]
            for scope in scopes
            for metric in scope.metrics
        }


@pytest.fixture
def watch(monkeypatch):
    """An application that has configured OpenTelemetry."""
    made = Watch()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: made.meters)
    return made


def usual(**usage):
    """An answer of which the provider tells id, model and tokens."""
    return JobResult((TextArtifact("hot"),), Usage(**usage), meta={"id": "r-1", "model": "text-2", "other": "x"})


async def test_a_call_is_a_job_with_an_attempt_in_it(studio, watch):
    """The attempt has the names of the conventions, the job has none of their tokens."""
    studio.acme.script["call"] = [usual(input_tokens=3, output_tokens=5, cached_tokens=2, reasoning_tokens=4)]
    async with await studio.open() as client:
        await client.call("acme:priced", prompt=SECRETIVE)
    job, attempt = watch.spans
    assert (job.name, job.kind) == ("job text.generate", SpanKind.INTERNAL)
    assert dict(job.attributes) == {
        "callsheet.job.id": "call",
        "callsheet.operation": "text.generate",
        "callsheet.ref": "acme:priced",
        "callsheet.reused": False,
    }
    assert (attempt.name, attempt.kind) == ("chat priced", SpanKind.CLIENT)
    assert attempt.parent.span_id == job.context.span_id
    assert attempt.status.status_code is StatusCode.UNSET
    assert dict(attempt.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.model": "priced",
        "gen_ai.output.type": "text",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": "r-1",
        "gen_ai.response.model": "text-2",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 4,
        "callsheet.operation": "text.generate",
        "callsheet.job.id": "call",
        "callsheet.mode": "live",
        "callsheet.environment": "local",
        "callsheet.attempt": 1,
        "callsheet.artifacts": 1,
        "callsheet.cost.usd": 0.25,
    }


async def test_metrics_count_seconds_tokens_and_dollars(studio, watch):
    """One point each, by model; an unknown price is counted as that and never as nothing."""
    studio.acme.script["call"] = [usual(input_tokens=3, output_tokens=5), usual()]
    async with await studio.open() as client:
        await client.call("acme:priced", prompt="lava")
        await client.call("acme:text", prompt="lava")
    points = watch.points()
    marks = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "callsheet.operation": "text.generate"}
    priced, text = {**marks, "gen_ai.request.model": "priced"}, {**marks, "gen_ai.request.model": "text"}
    assert points["callsheet.cost"] == [(priced, 0.25)]
    assert points["callsheet.cost.unknown"] == [(text, 1)]
    kind = "gen_ai.token.type"
    assert points["gen_ai.client.token.usage"] == [({**priced, kind: "input"}, 3), ({**priced, kind: "output"}, 5)]
    assert [about for about, _ in points["gen_ai.client.operation.duration"]] == [priced, text]
    assert all(seconds > 0 for _, seconds in points["gen_ai.client.operation.duration"])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ContentRejectedError(SECRETIVE, prompt=SECRETIVE, raw=SECRETIVE, status_code=400),
            {"error.type": "content_rejected", "callsheet.sent": "rejected", "http.response.status_code": 400},
        ),
        (JobFailedError(SECRETIVE), {"error.type": "job_failed", "callsheet.sent": "finished"}),
        (
            ConnectionFailedError("no", sent=Sent.NOT_SENT),
            {"error.type": "connection_failed", "callsheet.sent": "not_sent"},
        ),
    ],
    ids=["rejected", "finished", "not_sent"],
)
async def test_a_failure_is_told_by_its_kind_alone(studio, watch, error, told):
    """No message, no stack and no prompt; what may have been billed is counted as of unknown cost."""
    studio.acme.script["call"] = [error]
    async with await studio.open() as client:
        with pytest.raises(type(error)):
            await client.call("acme:priced", prompt=SECRETIVE)
    for span in watch.spans:
        assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
        assert told.items() <= dict(span.attributes).items()
        assert SECRETIVE not in span.to_json()
    points = watch.points()
    assert points["gen_ai.client.operation.duration"][0][0]["error.type"] == told["error.type"]
    counted = {"callsheet.cost.unknown"} if told["callsheet.sent"] == "finished" else set()
    assert set(points) == {"gen_ai.client.operation.duration", *counted}


async def test_an_error_that_is_none_of_ours_is_told_by_its_class(studio, watch):
    """A bug of a plugin has a name; its message may say anything."""
    studio.acme.script["call"] = [ZeroDivisionError(SECRETIVE)]
    async with await studio.open() as client:
        with pytest.raises(Exception, match="broke off"):
            await client.call("acme:picture", prompt="lava")
    assert {span.attributes["error.type"] for span in watch.spans} == {"job_lost"}
    assert SECRETIVE not in "".join(span.to_json() for span in watch.spans)


async def test_retries_are_attempts_of_one_job(studio, watch):
    """Each attempt is a span of its own, without the wait between them."""
    studio.policies = Policies()
    studio.acme.script["call"] = [RateLimitedError("slow down", retry_after=1.0), usual()]
    async with await studio.open() as client:
        await client.call("acme:text", prompt="lava")
    job, *attempts = watch.spans
    assert [span.attributes["callsheet.attempt"] for span in attempts] == [1, 2]
    assert [span.attributes.get("error.type") for span in attempts] == ["rate_limited", None]
    assert {span.parent.span_id for span in attempts} == {job.context.span_id}
    assert job.status.status_code is StatusCode.UNSET


async def test_what_is_paid_for_already_is_a_job_without_an_attempt(studio, watch):
    """Nothing was sent, so nothing is counted."""
    async with await studio.open() as client:
        await client.call("acme:priced", prompt="lava", reuse=True)
        watch.exporter.clear()
        await client.call("acme:priced", prompt="lava", reuse=True)
    assert [(span.name, span.attributes["callsheet.reused"]) for span in watch.spans] == [("job text.generate", True)]
    assert watch.points()["callsheet.cost"][0][1] == 0.25


async def test_a_run_is_one_trace(studio, watch):
    """The jobs are inside of it, a remote job's wait inside of its attempt."""
    folder = studio.sheet(RUN)
    async with await studio.open() as client:
        done = await client.run(CallSheet.load(folder), RunRequest())
    run, *_ = watch.spans
    names = {span.context.span_id: span.name for span in watch.spans}
    assert [(span.name, names[span.parent.span_id]) for span in watch.spans if span.parent] == [
        ("job text.generate", run.name),
        ("chat text", "job text.generate"),
        ("job text.generate", run.name),
        ("chat job", "job text.generate"),
    ]
    assert run.name == "invoke_workflow sheet.toml"
    assert dict(run.attributes) == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "sheet.toml",
        "callsheet.run.id": done.id,
        "callsheet.mode": "live",
        "callsheet.status": "succeeded",
    }


async def test_a_job_that_is_collected_by_its_receipt_is_an_attempt(studio, watch):
    """What was paid for on another machine is counted where its result is taken in."""
    ref, expects = ModelRef.parse("acme:job"), (Expected("text", "text/plain"),)
    receipt = Receipt(ref, Operation.TEXT_GENERATE, "far", "a" * 64, "b" * 64, expects, 0.0, state={"text": "hot"})
    async with await studio.open() as client:
        await client.collect(receipt)
    (attempt,) = watch.spans
    assert (attempt.name, attempt.attributes["callsheet.artifacts"]) == ("chat job", 1)
    assert set(watch.points()) == {"gen_ai.client.operation.duration", "callsheet.cost.unknown"}


async def test_a_stream_is_observed_to_its_end(studio, watch):
    """Its span ends with its last event; between events, its reader's own span is the current one."""
    async with await studio.open() as client:
        seen = [
            (event.type, trace.get_current_span().is_recording(), len(watch.spans), get_contextvars())
            async for event in client.stream("acme:live", prompt="lava")
        ]
    assert seen == [("text.delta", False, 0, {}), ("finished", False, 1, {})]
    job, attempt = watch.spans
    assert attempt.parent.span_id == job.context.span_id
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert attempt.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert attempt.attributes["callsheet.artifacts"] == 1
    assert len(watch.points()["gen_ai.client.operation.time_to_first_chunk"]) == 1
    assert len(watch.points()["gen_ai.client.operation.duration"]) == 1


async def test_a_stream_that_breaks_ends_its_spans_with_the_error(studio, watch):
    """Once, with what the reader hears."""
    studio.acme.script["call"] = [lambda *_: cut(TextDelta("ho"), ConnectionFailedError("cut", sent=Sent.UNKNOWN))]
    async with await studio.open() as client:
        with pytest.raises(ConnectionFailedError):
            async for _ in client.stream("acme:live", prompt="lava", on_unknown="fail"):
                pass
    assert [span.attributes["error.type"] for span in watch.spans] == ["connection_failed"] * 2


async def test_a_stream_that_is_left_was_cancelled(studio, watch):
    """The reader's leaving is no failure of the provider."""
    studio.acme.script["call"] = [lambda *_: cut(TextDelta("ho"), TextDelta("t"), StreamFinished(usual()))]
    async with await studio.open() as client:
        events = client.stream("acme:live", prompt="lava")
        await anext(events)
        await events.aclose()
    assert [span.attributes["error.type"] for span in watch.spans] == ["cancelled"] * 2


async def cut(*events):
    """The scripted events of a stream."""
    return list(events)


async def test_a_cancelled_call_ends_its_spans(studio, watch):
    """Whoever cancels finds the job in its trace, as cancelled."""

    async def never(*_):
        await asyncio.Event().wait()

    studio.acme.script["call"] = [never]
    async with await studio.open() as client:
        task = asyncio.create_task(client.call("acme:text", prompt="lava"))
        while not studio.acme.sent:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [span.attributes["error.type"] for span in watch.spans] == ["cancelled"] * 2


async def test_log_lines_know_run_job_and_attempt(studio):
    """Also those of other libraries in a handler, with OpenTelemetry and without it."""
    seen = []

    async def look(request, context):
        seen.append(get_contextvars())
        return usual()

    studio.acme.script["a"] = [look]
    folder = studio.sheet(RUN)
    async with await studio.open() as client:
        done = await client.run(CallSheet.load(folder), RunRequest())
    assert seen == [{"run": done.id, "job": "a", "ref": "acme:text", "attempt": 1}]
    assert get_contextvars() == {}


class Broken(SpanProcessor):
    """An exporter that fails whenever it can."""

    def on_start(self, span, parent_context=None):
        if span.name.startswith("job"):
            raise OSError("on_start")

    def on_end(self, span):
        raise OSError("on_end")


async def test_a_broken_exporter_costs_no_result(studio, watch, caplog):
    """What was paid for is given; the log says what failed."""
    watch.tracers.add_span_processor(Broken())
    with caplog.at_level(logging.ERROR, "callsheet"):
        async with await studio.open() as client:
            result = await client.call("acme:text", prompt="lava")
    assert result.artifacts[0].text == "re: lava #0"
    assert [record.getMessage() for record in caplog.records] == ["telemetry fails"] * 2


async def test_a_provider_of_the_api_itself_is_not_asked(studio, monkeypatch):
    """Before anybody has configured the SDK, no span is made."""
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    monkeypatch.setattr(metrics, "get_meter_provider", metrics.NoOpMeterProvider)
    async with await studio.open() as client:
        await client.call("acme:text", prompt="lava")
        assert "_instruments" not in vars(client.runtime.services.telemetry)


def test_opentelemetry_is_never_imported_by_the_library():
    """A program that does not use it does not pay for its import."""
    code = (
        "import asyncio, sys, tempfile, callsheet, callsheet.telemetry as t\n"
        "telemetry = t.Telemetry()\n"
        "with telemetry.run('r', 's', 'live') as trace: trace.tell(status='x')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
