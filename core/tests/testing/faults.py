"""What is the same for all tables of broken plugins: each row is found, and each check has a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from callsheet.testing.report import Check

__all__ = ["BrokenPlugins"]


class BrokenPlugins:
    """`table` are checks, `broken` plugins for them: (check, file, old text, new text, what is said); `given` as to `conformance`."""

    table: Sequence[tuple[object, Check]]
    broken: Sequence[tuple[str, ...]]
    given: Mapping[str, object] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each row."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.broken, ids=[f"{case[0]}-{n}" for n, case in enumerate(self.broken)])

    def test_a_broken_plugin_is_found(self, find_fault, case: tuple[str, ...]) -> None:
        """By the check that is for it, in words that say what is wrong and how to repair it."""
        find_fault(case, **self.given)

    def test_every_check_is_known_to_fail(self) -> None:
        """No check without a plugin that it finds fault with."""
        assert {case[0] for case in self.broken} == {check.id for _, check in self.table}
