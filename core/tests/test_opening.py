"""The sync edge: one call without a loop of one's own."""

from __future__ import annotations

import pytest

import callsheet
from callsheet.settings import Settings

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


async def test_policies_of_a_program_hold_where_the_files_say_nothing(tmp_path):
    """Somebody who writes a key into a file means it; settings take the place of the files altogether."""
    (tmp_path / "callsheet.toml").write_text("[retry.acme]\nattempts = 2\n")
    once = callsheet.Policies.once()
    async with callsheet.open(tmp_path, policies=once) as client:
        policies = client.runtime.settings.policies
        assert (policies.retry("acme").attempts, policies.retry("other").attempts) == (2, 1)
    async with callsheet.open(tmp_path, settings=Settings(policies=once)) as client:
        assert client.runtime.settings.policies.retry("acme").attempts == 1
    with pytest.raises(TypeError, match="settings or policies"):
        async with callsheet.open(tmp_path, settings=Settings(), policies=once):
            pass
