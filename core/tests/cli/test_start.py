"""Starting: what is imported, and what works when plugins are broken."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "pydantic",
    "pluggy",
    "structlog",
    "rich",
    "jinja2",
    "asyncio",
    "importlib_metadata",
    "sqlite3",
    "jsonschema_rs",
)
BUDGET = """
import sys
from callsheet.cli import main
try:
    main([{flag!r}])
except SystemExit as ended:
    assert ended.code == 0, ended.code
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(flag):
    """The import budget of the cheapest commands."""
    code = BUDGET.format(flag=flag, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout.startswith("Usage: callsheet" if flag == "--help" else "callsheet 0.")


def test_python_dash_m():
    """`python -m callsheet` is the same program."""
    done = subprocess.run([sys.executable, "-m", "callsheet", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("callsheet ")


def test_no_command_is_a_usage_error(cli):
    """Without a command the help is shown, on stderr."""
    ended = cli()
    assert ended.code == 2
    assert ended.out == ""
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("typed", "meant"), [("modles", "models"), ("resmue", "resume"), ("plugin", "plugins"), ("greeet", "greet")]
)
def test_did_you_mean(cli, toy, typed, meant):
    """A misspelt command is answered with the nearest one, a plugin's too."""
    ended = cli(typed)
    assert ended.code == 2
    assert f"Did you mean {meant!r}?" in ended.err


def test_did_you_mean_in_a_group(cli, toy):
    """So are the commands of a group."""
    ended = cli("runs", "verifi")
    assert ended.code == 2
    assert "Did you mean 'verify'?" in ended.err


@pytest.fixture
def broken(site, monkeypatch, tmp_path):
    """Four ways to be broken: no manifest, bad TOML, an import that raises, one that exits."""
    good = 'api = 1\ncommands = ["boom"]\n[provider]\nname = "{}"\n'
    site.install("no-manifest", code="raise RuntimeError('imported')")
    site.install("bad-toml", toml="api = [", code="raise RuntimeError('imported')")
    site.install("raises", toml=good.format("raises"), code="raise RuntimeError('imported')")
    site.install("exits", toml='api = 1\n[provider]\nname = "exits"\n', code="raise SystemExit(7)")
    monkeypatch.setenv("CALLSHEET_PLUGINS", "no-manifest,bad-toml,raises,exits")
    monkeypatch.chdir(tmp_path)


def test_broken_plugins_break_nothing(cli, broken):
    """Help, version and the list of plugins work, and the list says what is wrong."""
    assert cli("--help").code == 0
    assert cli("--version").code == 0
    ended = cli("plugins", "list")
    assert ended.code == 0
    assert "wheel without plugin.toml" in ended.err
    listed = {row["name"]: row for row in cli("plugins", "list", "--json").document["plugins"]}
    assert listed["no-manifest"]["status"] == listed["bad-toml"]["status"] == "broken"
    assert listed["raises"]["status"] == "ok"  # nothing was imported, so nobody knows yet


def test_a_broken_plugins_command(cli, broken):
    """Only asking for the command of a broken plugin fails, with its name."""
    ended = cli("boom")
    assert ended.code == 3
    assert "'raises' (raises 1.0) cannot be loaded: RuntimeError: imported" in ended.err
    assert cli("boom", "--json").document["error"]["kind"] == "plugin"


def test_plugin_commands(cli, toy):
    """A plugin's command runs; one that it forgot to register is its fault; our own are never replaced."""
    assert cli("greet").out == "hello\n"
    assert "does not register it" in cli("forgotten").err
    assert cli("run", "--help").out.startswith("Usage: callsheet run")


def test_a_bug_in_a_plugins_command(cli, toy, monkeypatch):
    """A crash is one line that names the plugin, and a traceback only on request."""
    ended = cli("crash")
    assert ended.code == 1
    assert (
        ended.err == "error: a bug in the plugin callsheet-toy 1.0: RuntimeError: oh (CALLSHEET_DEBUG=1 shows where)\n"
    )
    assert cli("crash", "--json").document["error"]["kind"] == "internal"
    monkeypatch.setenv("CALLSHEET_DEBUG", "1")
    assert "Traceback" in cli("crash").err
