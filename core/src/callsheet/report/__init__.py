"""The report of a run: one page of HTML beside the artifacts, derived from the manifest and nothing else."""

from __future__ import annotations

from callsheet.report.page import MAX_TEXT, REPORT, is_report, render_report, shows_text

__all__ = ["MAX_TEXT", "REPORT", "is_report", "render_report", "shows_text"]
