"""`callsheet plugins check`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOML = 'api = 1\nprovides = ["events"]\n'
CODE = '''
from callsheet.plugin import hookimpl


@hookimpl
def callsheet_job_event(event):
    """Listens."""
'''


@pytest.fixture
def listener(site):
    """A plugin without models, which has nothing wrong with it."""
    root = site.install("callsheet-listener", toml=TOML, code=CODE, entry_name="listener")
    with (site.folder / "callsheet_listener-1.0.dist-info" / "METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: callsheet>=0.1\n")
    return root


@pytest.mark.parametrize("name", ["listener", "callsheet_listener", "callsheet-listener"])
def test_a_good_plugin(cli, listener, name: str) -> None:
    """By entry point, package or distribution: what is worth a look, the tier at the end, exit code 0."""
    ended = cli("plugins", "check", name)
    assert ended.code == 0, ended.out
    *reasons, numbers, last = ended.out.splitlines()
    assert "not applicable, because it adds no commands: commands" in reasons
    assert re.fullmatch(r"\d+ checks: \d+ passed, 0 failed, 0 refused, \d+ not applicable", numbers)
    assert last == f"{name}: compatible, there is no counterpart of the vendor to call"


def test_a_failing_plugin_and_its_report(cli, listener: Path, tmp_path: Path) -> None:
    """Exit code 1; the document on stdout and that in the file are the same."""
    (listener / "plugin.toml").write_text(TOML.replace('"events"', '"events", "middleware"'))
    ended = cli("plugins", "check", "listener", "--json", "--report", tmp_path / "report.json")
    assert ended.code == 1
    assert ended.document == json.loads((tmp_path / "report.json").read_text())
    assert (ended.document["tier"], ended.document["failed"], ended.document["version"]) == ("failing", 1, "1.0")
    (failed,) = [check for check in ended.document["checks"] if check["status"] == "failed"]
    assert failed["id"] == "provides"
    assert failed["findings"] == [
        {"where": "plugin.toml", "problem": "provides middleware, and there is no callsheet_register_middleware"}
    ]


def test_a_plugin_that_is_broken(cli, listener: Path) -> None:
    """What it prints is kept from the document; it fails, and the rest waits for that."""
    (listener / "__init__.py").write_text("print('hello')\nraise SystemExit(5)\n")
    ended = cli("plugins", "check", "listener", "--json")
    assert (ended.code, ended.document["tier"]) == (1, "failing")
    failed = {check["id"]: check["findings"] for check in ended.document["checks"] if check["status"] == "failed"}
    assert failed["import-light"][0]["problem"] == "cannot be imported: SystemExit: 5"


def test_a_plugin_that_is_not_there(cli, listener, tmp_path: Path) -> None:
    """The error names the nearest one; no report is written in vain, and a file that cannot be written is told at once."""
    ended = cli("plugins", "check", "listner")
    assert (ended.code, ended.err) == (2, "error: no plugin 'listner' is installed; did you mean 'listener'?\n")
    ended = cli("plugins", "check", "listener", "--report", tmp_path / "none" / "report.json")
    assert ended.code == 2
    assert "No such file or directory" in ended.err


def test_it_needs_no_pytest(listener, site) -> None:
    """A user checks what is installed with what is installed."""
    code = "import sys; sys.modules['pytest'] = None; from callsheet.cli import main; main(['plugins', 'check', 'listener'])"
    path = os.pathsep.join([str(site.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "listener: compatible" in done.stdout
