"""For authors of plugins: checks that a plugin does what it declares, offline and without a key."""

from __future__ import annotations

from callsheet.testing.conformance import CHECKS, conformance
from callsheet.testing.report import Check, Finding, Outcome, Report

__all__ = ["CHECKS", "Check", "Finding", "Outcome", "Report", "conformance"]
