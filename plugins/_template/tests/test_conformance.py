from callsheet.testing import Conformance


class TestTemplate(Conformance, plugin="callsheet_template"):
    """It does what it declares, and refuses what it does not."""
