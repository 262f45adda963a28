"""The checks that callsheet has for every plugin."""

from callsheet.testing import Conformance


class TestElevenLabs(Conformance, plugin="callsheet_elevenlabs"): ...
