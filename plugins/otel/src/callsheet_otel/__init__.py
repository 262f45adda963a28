"""OpenTelemetry for commands: what the environment's `OTEL_…` variables ask for is exported, from their beginning to their end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from callsheet.plugin import hookimpl

__all__ = ["callsheet_register_observers"]


@hookimpl
def callsheet_register_observers() -> Iterable[AbstractContextManager[object]]:
    """The exporters; none, and nothing imported, when the environment names no collector."""
    from callsheet_otel.environment import Signals

    signals = Signals.read()
    if not signals:
        return []
    from callsheet_otel.exporting import exporting

    return [exporting(signals)]
