"""For authors of plugins: checks that a plugin does what it declares, and a server that plays its vendor; all offline."""

from __future__ import annotations

from callsheet.testing.conformance import CHECKS, conformance
from callsheet.testing.exchange import Exchange, Fault, Part, Pieces, Reply, event_stream, file_reply
from callsheet.testing.plugin_stage import PluginStage, loose_file, told
from callsheet.testing.report import Check, Finding, Outcome, Report
from callsheet.testing.server import Judge, LoopbackServer

__all__ = [
    "CHECKS",
    "Check",
    "Exchange",
    "Fault",
    "Finding",
    "Judge",
    "LoopbackServer",
    "Outcome",
    "Part",
    "Pieces",
    "PluginStage",
    "Reply",
    "Report",
    "conformance",
    "event_stream",
    "file_reply",
    "loose_file",
    "told",
]
