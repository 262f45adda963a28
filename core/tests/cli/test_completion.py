"""Shell completion: the scripts, and what they are told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from callsheet.cli.completion import VARIABLE


@pytest.fixture
def complete(cli, monkeypatch):
    """What a shell is told about these words, the last of which is being typed."""

    def ask(*words: str, shell: str = "bash") -> list[str]:
        monkeypatch.setenv(VARIABLE, f"{shell}_complete")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["callsheet", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        ended = cli()
        monkeypatch.delenv(VARIABLE)
        assert (ended.code, ended.err) == (0, "")
        return ended.out.split()

    return ask


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(cli, shell):
    """Each shell gets its own, which asks through our variable; where the shell is here, it can read it."""
    ended = cli("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in ended.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=ended.out, text=True, check=True)


def test_other_shells_are_refused(cli):
    """With those there are."""
    assert cli("completion", "tcsh").code == 2


def test_commands(complete):
    """Commands and their subcommands."""
    assert complete("ru") == ["plain,run", "plain,runs"]
    assert "plain,cancel" in complete("runs", "")


def test_models_in_spite_of_bash(complete, toy):
    """Bash ends words at the colon and the sign: only what it replaces is told."""
    assert complete("call", "to") == ["plain,toy:image", "plain,toy:text", "plain,toy:video", "plain,toytext"]
    assert complete("call", "toy", ":") == ["plain,image", "plain,text", "plain,video"]
    assert complete("call", "toy", ":", "vi") == ["plain,video"]
    assert complete("run", "x", "--model", "clip", "=", "toy", ":", "vi") == ["plain,video"]
    assert complete("model", "show", "toyt") == ["plain,toytext"]


def test_models_in_other_shells(complete, toy):
    """They take the whole word."""
    assert complete("run", "x", "--model", "clip=toy:vi", shell="zsh") == ["plain", "clip=toy:video", "_"]


def test_sheets(complete, toy):
    """Folders with a sheet, two levels deep; else the shell completes files."""
    for name in ("film", "more/one", "more/two", "empty"):
        Path(name).mkdir(parents=True)
        if name != "empty":
            (Path(name) / "sheet.toml").touch()
    assert complete("run", "") == ["plain,film", "plain,more/one", "plain,more/two"]
    assert complete("plan", "more/t") == ["plain,more/two"]
    assert complete("run", "e") == ["file,e"]
    assert complete("run", "nowhere/e") == ["file,nowhere/e"]


def test_a_broken_configuration_is_no_error_while_typing(complete, toy):
    """Nothing is offered, nothing is said."""
    Path("callsheet.toml").write_text("= broken")
    assert complete("call", "to") == []
