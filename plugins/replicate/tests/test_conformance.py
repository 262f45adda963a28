"""The checks that callsheet has for every plugin."""

from __future__ import annotations

import pytest

from callsheet.testing import CHECKS, conformance


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check):
    """It does what it declares, and refuses what it does not."""
    report = conformance("callsheet_replicate", only=[check.id])
    report.assert_ok()
    assert [outcome.reason for outcome in report.outcomes] == [""]
