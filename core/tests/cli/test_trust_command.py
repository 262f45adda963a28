"""`callsheet trust`: what a project's file sends where, and the user's word for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PROJECT = '[providers.toy]\nbase_url = "https://toy.example/v1"\n'


@pytest.fixture(autouse=True)
def home(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own folders, and a project that sends a key elsewhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TOY_KEY", "toy-key-0123456789")
    Path("callsheet.toml").write_text(PROJECT)


def test_a_call_waits_for_it(cli):
    """Refused before anything is sent, made after the word, and refused again without it."""
    refused = cli("call", "toy:text", "-p", "prompt=x")
    assert refused.code != 0
    assert "callsheet trust" in refused.err
    assert cli("trust", "--yes").code == 0
    assert cli("call", "toy:text", "-p", "prompt=x").code == 0
    assert cli("trust").code == 0
    assert cli("trust", "--forget").code == 0
    assert "callsheet trust" in cli("call", "toy:text", "-p", "prompt=x").err


def test_without_a_word_nothing_is_trusted(cli):
    """Nobody can be asked here; the places are shown."""
    shown = cli("trust")
    assert shown.code == 1
    assert "https://toy.example/v1" in shown.out
    document = json.loads(cli("trust", "--json").out)
    assert [(each["provider"], each["trusted"]) for each in document["places"]] == [("toy", False)]
    assert json.loads(cli("trust", "--yes", "--json").out)["places"][0]["trusted"] is True


def test_there_may_be_nothing_to_trust(cli):
    """A project that sends nothing anywhere."""
    Path("callsheet.toml").write_text("")
    shown = cli("trust")
    assert (shown.code, "sends nothing" in shown.out) == (0, True)
