"""For authors of plugins: checks that a plugin does what it declares, and a server that plays its vendor; all offline."""

from __future__ import annotations

from callsheet.testing.artifacts import SeenMedia, assert_audio, assert_image, assert_video
from callsheet.testing.cassette import CassetteError
from callsheet.testing.conformance import CHECKS, Conformance, conformance
from callsheet.testing.doubles import EventLog, FakeClock, FakeSecrets
from callsheet.testing.exchange import Exchange, Fault, Part, Pieces, Reply, event_stream, file_reply
from callsheet.testing.plugin_stage import PluginStage, loose_file, told
from callsheet.testing.recorder import Recording, recorded
from callsheet.testing.report import Check, Finding, Outcome, Report
from callsheet.testing.server import Judge, LoopbackServer

__all__ = [
    "CHECKS",
    "CassetteError",
    "Check",
    "Conformance",
    "EventLog",
    "Exchange",
    "FakeClock",
    "FakeSecrets",
    "Fault",
    "Finding",
    "Judge",
    "LoopbackServer",
    "Outcome",
    "Part",
    "Pieces",
    "PluginStage",
    "Recording",
    "Reply",
    "Report",
    "SeenMedia",
    "assert_audio",
    "assert_image",
    "assert_video",
    "conformance",
    "event_stream",
    "file_reply",
    "loose_file",
    "recorded",
    "told",
]
