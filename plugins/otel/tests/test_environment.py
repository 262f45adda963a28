"""What the environment asks for: only what it names is exported, and what cannot be is said."""

from __future__ import annotations

import pytest

from callsheet_otel.environment import Signals

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, (), ()),
        ({"OTEL_SERVICE_NAME": "films"}, (), ()),
        (ENDPOINT, ("otlp",), ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, ("otlp",), ()),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:4318/v1/metrics"}, (), ("otlp",)),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, ("otlp",), ()),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": " otlp, console,otlp "}, ("otlp", "console"), ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("console",), ()),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, (), ()),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ("otlp",), ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, (), ()),
    ],
)
def test_what_is_exported(environ, traces, metrics):
    """An endpoint or an exporter's name turns a signal on, `none` and OTEL_SDK_DISABLED turn it off."""
    signals = Signals.read(environ)
    assert (signals.traces, signals.metrics) == (traces, metrics)
    assert bool(signals) is bool(traces or metrics)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin': known here are console, none, otlp"),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "OTEL_METRICS_EXPORTER is 'prometheus'"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, "METRICS_PROTOCOL is 'grpc'"),
    ],
)
def test_what_there_is_not_is_named(environ, said):
    """An exporter that is not there is no reason to be silent."""
    with pytest.raises(ValueError, match=said):
        Signals.read(environ)
