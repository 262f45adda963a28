"""`callsheet config show`: what holds here, and where it comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from callsheet.config import load_settings, user_config

PROJECT = """
[run]
salt = "zweite Fassung"
[limits.toy]
requests_per_minute = 90
[retry."toy/text"]
attempts = 2
[money]
max_run = 5.10
[deadlines]
attempt = "none"
[providers.toy]
base_url = "https://toy.example/v1"
"""
USERS = """
[aliases]
hero = "toy:text"
[retry]
seconds = 12.5
"""


@pytest.fixture
def files(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The project's file and the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CALLSHEET_PLUGINS")
    users, project = user_config(), Path("callsheet.toml").absolute()
    users.parent.mkdir(parents=True)
    users.write_text(USERS)
    project.write_text(PROJECT)
    return project, users


def test_what_is_shown_reads_back_as_the_same_settings(cli, files, tmp_path):
    """Every line is TOML, also of a default; nothing is left out."""
    project, users = files
    before = load_settings(project.parent)
    shown = cli("config", "show")
    assert shown.code == 0
    users.unlink()
    project.write_text(shown.out)
    after = load_settings(project.parent)
    assert after.policies.retry("toy/text") == before.policies.retry("toy/text")
    assert after.policies.limits == before.policies.limits
    assert (after.policies.money, after.policies.deadlines) == (before.policies.money, before.policies.deadlines)
    assert (after.salt, after.aliases, after.providers) == (before.salt, before.aliases, before.providers)
    assert cli("config", "show").out == shown.out


def test_every_line_says_where_it_comes_from(cli, files):
    """The project's file, the user's, or nowhere."""
    project, users = files
    lines = cli("config", "show", "--origin").out.splitlines()
    origins = {line.partition(" = ")[0]: line.rpartition("# ")[2] for line in lines}
    assert origins["limits.toy.requests_per_second"] == origins['retry."toy/text".attempts'] == str(project)
    assert origins["retry.seconds"] == origins["aliases.hero"] == str(users)
    assert origins["retry.attempts"] == origins["plugins.deny"] == origins["breaker.cooldown"] == "default"
    assert tomllib.loads("\n".join(lines))["retry"] == {
        "attempts": 4, "seconds": 12.5, "longest_wait": 60, "first_wait": 0.5, "toy/text": {"attempts": 2},
    }  # fmt: skip


def test_json_has_values_and_origins(cli, files):
    """No bound is null; amounts are exact text."""
    project, users = files
    document = cli("config", "show", "--json").document
    assert document["files"] == {"project": str(project), "user": str(users)}
    shown = {row["key"]: (row["value"], row["origin"]) for row in document["settings"]}
    assert shown["money.max_run"] == ("5.1", str(project))
    assert shown["deadlines.attempt"] == (None, str(project))
    assert shown["limits.toy.requests_per_second"] == (1.5, str(project))
    assert shown["run.concurrency"] == (8, "default")


def test_no_secret_is_shown(cli, files):
    """Of a command that prints one, its first word."""
    files[1].write_text('[secrets]\nkeyring = true\ncommands = { TOY_KEY = ["echo", "sk-123456"], B = ["pass"] }\n')
    for flag in ("--origin", "--json"):
        shown = cli("config", "show", flag)
        assert "sk-123456" not in shown.out + shown.err
    rows = {row["key"]: row["value"] for row in shown.document["settings"]}
    assert (rows["secrets.commands.TOY_KEY"], rows["secrets.commands.B"]) == (["echo", "…"], ["pass"])


def test_the_environment_wins_and_is_named(cli, files, site, monkeypatch):
    """The variable of a plugin's own base URL; those that narrow the plugins are told."""
    toml = 'api = 1\n[provider]\nname = "sea"\norigin = "https://sea.example"\norigin_env = "SEA_URL"\n'
    site.install("callsheet-sea", toml=toml, entry_name="sea")
    monkeypatch.setenv("SEA_URL", "http://127.0.0.1:9/v1/")
    monkeypatch.setenv("CALLSHEET_PLUGINS_DISABLED", "other")
    document = cli("config", "show", "--json").document
    row = next(row for row in document["settings"] if row["key"] == "providers.sea.base_url")
    assert (row["value"], row["origin"]) == ("http://127.0.0.1:9/v1", "SEA_URL")
    assert any("CALLSHEET_PLUGINS_DISABLED narrows the plugins" in note for note in document["notes"])
    monkeypatch.setenv("SEA_URL", "http://me:sk-123456@127.0.0.1")
    wrong = cli("config", "show")
    assert (wrong.code, "SEA_URL must be a URL without user name" in wrong.err) == (2, True)
    assert "sk-123456" not in wrong.err


def test_what_is_without_effect_is_told(cli, files):
    """A rate key that no plugin counts by, and a provider that nobody has."""
    files[0].write_text(
        '[limits.toi]\nconcurrency = 1\n[breaker."toy/text"]\nfailures = 1\n[retry.toy]\nattempts = 1\n'
    )
    told = cli("config", "show").err.splitlines()
    assert [line for line in told if "without effect" in line] == [
        "note: [limits.toi] is without effect: no plugin here has 'toi'; did you mean 'toy'?",
        'note: [breaker."toy/text"] is without effect: all calls to toy count together, as [breaker.toy]',
    ]


def test_where_there_is_no_file(cli, toy, tmp_path, monkeypatch):
    """The defaults."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    document = cli("config", "show", "--json").document
    assert document["files"] == {"project": None, "user": None}
    assert {row["origin"] for row in document["settings"]} == {"default"}


def test_a_wrong_file_is_an_error_with_its_place(cli, files):
    """As for every command."""
    files[1].write_text("[retry]\natempts = 1\n")
    ended = cli("config", "show")
    assert (ended.code, ended.out) == (2, "")
    assert f"{files[1]}: [retry]: unknown key 'atempts'; did you mean 'attempts'?" in ended.err
