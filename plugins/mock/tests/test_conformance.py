"""The checks that callsheet has for every plugin."""

from callsheet.testing import Conformance


class TestMock(Conformance, plugin="callsheet_mock"): ...
