"""The checks that callsheet has for every plugin."""

from callsheet.testing import Conformance


class TestOtel(Conformance, plugin="callsheet_otel"): ...
