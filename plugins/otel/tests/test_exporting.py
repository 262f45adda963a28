"""Exporting, in processes of its own: what arrives at a collector, and what is left alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from callsheet.testing import Fault

OBSERVED = """
import sys
from opentelemetry import metrics, trace
import callsheet_otel

for round in range({rounds}):
    for observer in callsheet_otel.callsheet_register_observers():
        with observer:
            trace.get_tracer("film").start_span(f"scene {{round}}").end()
            metrics.get_meter("film").create_counter("takes").add(1)
print(type(trace.get_tracer_provider()).__name__, type(metrics.get_meter_provider()).__name__)
"""
LIGHT = """
import sys
import callsheet_otel
assert list(callsheet_otel.callsheet_register_observers()) == []
print([name for name in sys.modules if name.startswith(("opentelemetry", "requests"))])
"""


def process(code, environ, **variables):
    """What a process of this code prints on stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environ, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip(), done.stderr


def spans(collector):
    """The names of the spans that have arrived, with their service."""
    named = []
    for each in collector.asked("traces"):
        for resource in ExportTraceServiceRequest.FromString(each.body).resource_spans:
            service = [item.value.string_value for item in resource.resource.attributes if item.key == "service.name"]
            named += [(service[0], span.name) for scope in resource.scope_spans for span in scope.spans]
    return named


def test_spans_and_metrics_have_arrived_when_it_ends(collector, environ):
    """The last ones too, although the process ends right after."""
    told, said = process(OBSERVED.format(rounds=1), environ, OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin)
    assert (told, said) == ("TracerProvider MeterProvider", "")
    assert spans(collector) == [("callsheet", "scene 0")]
    (arrived,) = collector.asked("metrics")
    (resource,) = ExportMetricsServiceRequest.FromString(arrived.body).resource_metrics
    assert [metric.name for scope in resource.scope_metrics for metric in scope.metrics] == ["takes"]


def test_a_process_may_observe_twice(collector, environ):
    """The providers are made once, and what is in them leaves at each end."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin, "OTEL_METRICS_EXPORTER": "none"}
    told, said = process(OBSERVED.format(rounds=2), environ, **variables)
    assert said == ""
    assert told.startswith("TracerProvider ")
    assert spans(collector) == [("callsheet", "scene 0"), ("callsheet", "scene 1")]
    assert collector.asked("metrics") == []


@pytest.mark.parametrize(
    "named",
    [{"OTEL_SERVICE_NAME": "films"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=films"}],
    ids=lambda each: next(iter(each)),
)
def test_the_sdk_reads_its_own_variables(collector, environ, named):
    """The service's name and headers for the collector, among others."""
    more = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=lava", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin}
    process(OBSERVED.format(rounds=1), environ, **named, **more)
    assert spans(collector) == [("films", "scene 0")]
    assert {each.headers["x-team"] for each in collector.journal} == {"lava"}


def test_what_the_program_has_configured_is_left_alone(collector, environ):
    """No second provider, and no warning about one."""
    own = (
        "from opentelemetry.sdk.trace import TracerProvider\nfrom opentelemetry import trace\nmine = TracerProvider()\n"
    )
    own += "trace.set_tracer_provider(mine)\n"
    code = f"{own}{OBSERVED.format(rounds=1)}\nassert trace.get_tracer_provider() is mine"
    _, said = process(code, environ, OTEL_EXPORTER_OTLP_ENDPOINT=collector.origin)
    assert said == ""
    assert spans(collector) == []
    assert len(collector.asked("metrics")) == 1


def test_a_console_exporter_writes_to_stderr(environ):
    """Stdout is for data."""
    told, said = process(
        OBSERVED.format(rounds=1), environ, OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="console"
    )
    assert told == "TracerProvider MeterProvider"
    assert '"name": "scene 0"' in said
    assert '"takes"' in said


def test_nothing_is_imported_without_a_variable(environ):
    """An installed plugin that nobody uses costs the import of two small modules."""
    assert process(LIGHT, environ)[0] == "[]"


def test_a_command_ends_with_its_own_result_whatever_the_collector_does(collector, environ, tmp_path):
    """A refusal of the collector is told on stderr, and is no failure of the command."""
    collector.fail(*[Fault(status=400)] * 9)
    done = subprocess.run(
        [sys.executable, "-m", "callsheet", "runs", "list", "--json"],
        env={**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.strip().startswith(("[", "{"))
