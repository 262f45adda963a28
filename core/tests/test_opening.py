"""The sync edge: one call without a loop of one's own."""

from __future__ import annotations

import pytest

import callsheet

ASK = {"operation": "text.generate", "mode": "mock", "prompt": "lava"}


def test_call_sync_in_a_script(tmp_path):
    """The project of the folder is opened, and what is paid for there is found again."""
    pytest.importorskip("callsheet_mock")
    first = callsheet.call_sync("mock:text", folder=tmp_path, reuse=True, **ASK)
    assert callsheet.call_sync("mock:text", folder=tmp_path, reuse=True, **ASK) == first
    assert (tmp_path / ".callsheet" / "ledger.sqlite3").is_file()
    with pytest.raises(callsheet.ConfigError, match="promt"):
        callsheet.call_sync("mock:text", folder=tmp_path, mode="mock", promt="x")


async def test_call_sync_where_a_loop_runs(tmp_path):
    """As in a notebook."""
    pytest.importorskip("callsheet_mock")
    assert callsheet.call_sync("mock:text", folder=tmp_path, **ASK).meta["mocked"] is True


async def test_a_call_of_an_unknown_model_is_told_what_is_near(studio):
    """And how to call it all the same."""
    async with await studio.open() as client:
        with pytest.raises(
            callsheet.ConfigError, match=r"acme:texts is in no catalog here; did you mean acme:text.*operation='"
        ):
            await client.call("acme:texts", prompt="lava")
