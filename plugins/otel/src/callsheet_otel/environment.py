"""What the environment asks for (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Signals"]

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_HTTP = "http/protobuf"
_KNOWN = {"otlp", "console", "none"}


@dataclass(frozen=True, slots=True)
class Signals:
    """Where spans (`traces`) and metrics go: `otlp`, `console`, or nowhere."""

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Signals:
        """From the variables. Without any that names a collector or an exporter, nothing is exported.

        Raises ValueError for an exporter or a protocol that there is none of here.
        """
        if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return cls()
        return cls(_exporters("TRACES", environ), _exporters("METRICS", environ))

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics)


def _exporters(signal: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    variable = f"OTEL_{signal}_EXPORTER"
    own = f"OTEL_EXPORTER_OTLP_{signal}"
    named = bool(environ.get(_ENDPOINT) or environ.get(f"{own}_ENDPOINT"))
    asked = [each.strip() for each in environ.get(variable, "").split(",")]
    wanted = [each for each in asked if each] or (["otlp"] if named else [])
    for each in wanted:
        if each not in _KNOWN:
            raise ValueError(f"{variable} is {each!r}: known here are {', '.join(sorted(_KNOWN))}")
    said = next((name for name in (f"{own}_PROTOCOL", _PROTOCOL) if environ.get(name)), "")
    if "otlp" in wanted and said and environ[said] != _HTTP:
        raise ValueError(f"{said} is {environ[said]!r}: this plugin speaks {_HTTP} (port 4318 of a collector)")
    return tuple(dict.fromkeys(each for each in wanted if each != "none"))
