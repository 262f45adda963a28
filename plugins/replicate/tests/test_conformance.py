"""The checks that callsheet has for every plugin."""

from callsheet.testing import Conformance


class TestReplicate(Conformance, plugin="callsheet_replicate"): ...
