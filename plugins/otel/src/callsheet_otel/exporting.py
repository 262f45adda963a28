"""Exporting: the SDK's providers, and what is left in them at the end. The SDK reads the rest of the variables itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from callsheet_otel.environment import Signals

__all__ = ["exporting"]


@contextmanager
def exporting(signals: Signals) -> Iterator[None]:
    """While it is entered, spans and metrics are sent; at its end, what is left of them.

    The providers stay: a process has them once. Those that somebody else has set are left alone.
    """
    resource = _resource()
    if signals.traces and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        for name in signals.traces:
            tracers.add_span_processor(BatchSpanProcessor(_span_exporter(name)))
        trace.set_tracer_provider(tracers)
    if signals.metrics and not isinstance(metrics.get_meter_provider(), MeterProvider):
        readers = [PeriodicExportingMetricReader(_metric_exporter(name)) for name in signals.metrics]
        metrics.set_meter_provider(MeterProvider(readers, resource, shutdown_on_exit=False))
    try:
        yield
    finally:
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
            if isinstance(provider, (TracerProvider, MeterProvider)):
                provider.force_flush()


def _resource() -> Resource:
    """The environment's, with a service name when it has none."""
    given = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if given else {"service.name": "callsheet"})


def _span_exporter(name: str) -> SpanExporter:
    # stdout is for data
    return OTLPSpanExporter() if name == "otlp" else ConsoleSpanExporter(out=sys.stderr)


def _metric_exporter(name: str) -> MetricExporter:
    return OTLPMetricExporter() if name == "otlp" else ConsoleMetricExporter(out=sys.stderr)
