"""Each thing that can go wrong, with each kind of call: it ends as the page says, nothing is paid twice, nothing is left running."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

# Test modules are loaded one by one and know no neighbours: these find each other under a name of their own.
if "fault_matrix" not in sys.modules:
    package = ModuleType("fault_matrix")
    package.__path__ = [str(Path(__file__).parent / "fault_matrix")]
    sys.modules["fault_matrix"] = package

from fault_matrix.columns import COLUMNS
from fault_matrix.page import NOTHING, expected, named
from fault_matrix.rows import ROWS
from fault_matrix.trial import tried

from callsheet.errors import ErrorKind, Sent
from callsheet.policies import RetryPolicy

SPARED = {
    ErrorKind.AUTHENTICATION,
    ErrorKind.QUOTA_EXCEEDED,
    ErrorKind.MODEL_NOT_FOUND,
    ErrorKind.ACCESS_DENIED,
    ErrorKind.CONNECTION_FAILED,
}
"""Of these, nothing more is sent for a while where it was `not_sent` or `rejected`."""
UNKNOWN = Sent.UNKNOWN.value
columns = pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)


@pytest.fixture
def anyio_backend():
    """Tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No key and no base URL of the user's own reaches a test."""
    for name in ("OPENAI", "REPLICATE", "ELEVENLABS"):
        for end in ("API_KEY", "API_TOKEN", "BASE_URL"):
            monkeypatch.delenv(f"{name}_{end}", raising=False)


def test_the_page_has_every_row():
    """In the order of the matrix."""
    assert named() == [row.name for row in ROWS]


def after(trial) -> tuple[str, int]:
    """How an equal call ends that is made next, and what it sends."""
    first = trial.first
    if first.end != "fails":
        return ("asks" if first.end == "asks" else "result"), 0
    if first.error.sent is not Sent.UNKNOWN and first.error.kind in SPARED:
        return "spared", 0
    refused = first.error.retry_after is not None  # the vendor wants nothing for a while
    return ("fails", 0) if refused else ("result", 1)


@columns
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_it_ends_as_documented(row, column, tmp_path):
    """Kind, what is known of the request, and what comes of it; then once more by hand. One request at most is paid for."""
    trial = await tried(column, row, tmp_path / "project")
    kind, cell = expected(row.name, column.name)
    if trial is None:
        assert cell == NOTHING
        return
    assert trial.cell == cell, "PYTHONPATH=tests python -m fault_matrix writes the table anew"
    assert trial.kind in ("", kind)
    assert trial.first.requests == (0 if row.nowhere else 2 if "again" in cell else 1)
    assert (trial.second.end, trial.second.requests) == after(trial)
    if trial.first.end == "fails":
        assert trial.first.error.needs_user is ErrorKind(kind).needs_user
    if trial.first.end == "asks":
        assert "if it is not there, call again without reuse" in str(trial.first.error)
    if row.nowhere:
        assert trial.failures == ((kind, cell),) * RetryPolicy().attempts * column.calls
    if row.wait:
        assert max(trial.first.waits) >= row.wait
    # each request but one was surely over before the next one, or was sent again in doubt
    over = sum(sent in (Sent.REJECTED, Sent.FINISHED) for _, sent in trial.all_failures) / column.calls
    assert trial.first.requests + trial.second.requests - over <= 1 + trial.twice
    assert trial.twice <= column.operation.cheap
    assert not trial.running
    assert trial.open_calls <= (trial.second.end == "asks")


@columns
@pytest.mark.parametrize("name", ["429", "529", "500", "reset, the answer lost"])
async def test_what_does_not_pass_is_given_up(name, column, tmp_path):
    """What is surely refused is sent as often as the policy says; in doubt text is sent twice, and all else once."""
    row = replace(next(row for row in ROWS if row.name == name), times=9)
    trial = await tried(column, row, tmp_path / "project")
    kind, cell = expected(name, column.name)
    if cell == "rejected, again":
        assert (trial.first.end, trial.first.requests) == ("fails", RetryPolicy().attempts)
        assert (trial.first.error.kind, trial.first.error.sent) == (kind, Sent.REJECTED)
    elif cell == "unknown, again":
        assert (trial.first.end, trial.first.requests, trial.second.requests) == ("asks", 2, 0)
    else:
        assert trial.first.requests == 1
    assert not trial.running
