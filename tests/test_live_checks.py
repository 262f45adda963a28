"""The checks against the real vendor, tried on its counterpart: they are opt-in, they work, and they keep to a budget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def checks(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, without this one's keys and options."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CALLSHEET_", "PYTEST_"))
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=ROOT, env=kept | more, capture_output=True, text=True, timeout=100)


@pytest.fixture
def counterpart(aimock) -> dict[str, str]:
    """An environment in which the vendor is aimock."""
    return {"OPENAI_API_KEY": "sk-test-live-4fZq9XbN7w", "OPENAI_BASE_URL": aimock.origin}


def test_nobody_runs_them_by_accident():
    """They are not among the tests that pytest collects by itself."""
    listed = checks("--collect-only", "tests")
    assert listed.returncode == 0, listed.stdout
    assert "tests/live" not in listed.stdout
    assert "test_live_checks" in listed.stdout


def test_they_pass_where_the_vendor_answers(counterpart):
    """Each check but the one for a wrong key, which the counterpart takes like any other."""
    done = checks("tests/live", "-k", "not wrong_key", CALLSHEET_LIVE_BUDGET_USD="0.10", **counterpart)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_nothing_is_sent_over_the_budget(counterpart, aimock):
    """A check that the purse cannot pay for fails before its request."""
    before = len(aimock.journal())
    done = checks("tests/live", "-k", "text or stream", CALLSHEET_LIVE_BUDGET_USD="0", **counterpart)
    assert done.returncode == 1
    assert "raise CALLSHEET_LIVE_BUDGET_USD" in done.stdout
    assert len(aimock.journal()) == before
