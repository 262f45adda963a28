"""The page of the conformance checks: each with what it makes sure of and how a plugin is repaired, as the kit has them."""

from __future__ import annotations

from collections.abc import Iterator

from callsheet.testing.conformance import CHECK_TABLES
from callsheet.testing.report import Check

__all__ = ["checks"]

_HEAD = """\
# The conformance checks

Every check of [a plugin](../how-to/test-a-plugin.md), in the order in which they are carried out. The ids are public names: they
stand in reports and in refusals, and `TestAcme::test_no_retry` is the test of `no-retry`. This page is written by
`nox -s references`, and a test compares it with the code.
"""


def checks() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_theme(title, [check for _, check in table]) for title, table in CHECK_TABLES.items())])


def _theme(title: str, listed: list[Check]) -> str:
    return "\n".join([f"## {title}", "", "| id | holds | repair |", "| --- | --- | --- |", *_rows(listed), ""])


def _rows(listed: list[Check]) -> Iterator[str]:
    for check in listed:
        cells = (f"`{check.id}`", check.holds, check.repair)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
