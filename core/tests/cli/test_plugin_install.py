"""`plugins install` and `remove`, as real processes: uv and pip are programs that write down how they were called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

RECORDS = """#!{python}
import json, os, sys
variables = {{name: os.environ[name] for name in os.environ if name.startswith("UV_TOOL")}}
with open({journal!r}, "a") as journal:
    journal.write(json.dumps([sys.argv[1:], variables]) + "\\n")
print("as a tool speaks")
sys.exit({code})
"""
# as uv 0.13 writes it
RECEIPT = """
[tool]
requirements = [
    { name = "callsheet", specifier = ">=0.1" },
    { name = "callsheet-openai" },
    { name = "six", extras = ["a", "b"], specifier = ">=1,<2", marker = "python_version > '3'" },
    { name = "callsheet-own", editable = "/somewhere/own" },
    { name = "callsheet-there", url = "https://acme.example.com/there.whl" },
]
python = "3.12"
entrypoints = [
    { name = "callsheet", install-path = "/somewhere/bin/callsheet", from = "callsheet" },
]
"""
KEPT = [
    "--with", "callsheet-openai", "--with", "six[a,b]>=1,<2 ; python_version > '3'",
    "--with-editable", "/somewhere/own", "--with", "callsheet-there @ https://acme.example.com/there.whl",
]  # fmt: skip


@dataclass
class Machine:
    """An environment of its own, with what there is of uv and pip."""

    folder: Path
    prefix: Path

    @property
    def python(self) -> str:
        """The interpreter that callsheet runs in."""
        return str(self.prefix / "bin" / "python")

    @property
    def calls(self) -> list:
        """How the tools were called: their arguments, and uv's variables."""
        journal = self.folder / "journal"
        return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []

    def with_uv(self, code: int = 0) -> Machine:
        """A program uv is on the path."""
        self._program(self.folder / "bin" / "uv", code)
        return self

    def with_pip(self) -> Machine:
        """The interpreter has a module pip."""
        (self.folder / "modules" / "sitecustomize.py").unlink()
        (self.folder / "modules" / "pip").mkdir()
        (self.folder / "modules" / "pip" / "__init__.py").touch()
        self._program(self.folder / "modules" / "pip" / "__main__.py", 0)
        return self

    def with_receipt(self, text: str = RECEIPT) -> Machine:
        """The environment is one of `uv tool install`."""
        (self.prefix / "uv-receipt.toml").write_text(text)
        return self

    def _program(self, path: Path, code: int) -> None:
        text = RECORDS.format(python=sys.executable, journal=str(self.folder / "journal"), code=code)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """One command of callsheet."""
        seen = os.pathsep.join([str(self.folder / "modules"), *filter(None, sys.path)])
        environ = {**os.environ, "PATH": str(self.folder / "bin"), "PYTHONPATH": seen}
        command = [self.python, "-m", "callsheet", "plugins", *words]
        return subprocess.run(command, env=environ, cwd=self.folder, capture_output=True, text=True)


@pytest.fixture
def machine(tmp_path):
    """With neither uv nor pip."""
    for name in ("bin", "modules"):
        (tmp_path / name).mkdir()
    (tmp_path / "modules" / "sitecustomize.py").write_text("import sys\nsys.modules['pip'] = None\n")
    venv.create(tmp_path / "environment", symlinks=True)
    return Machine(tmp_path, tmp_path / "environment")


@pytest.fixture
def package(machine):
    """A package in a folder."""
    folder = machine.folder / "callsheet-acme"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "callsheet-acme"\nversion = "1"\n')
    return folder


def test_uv_installs_into_the_environment_that_callsheet_runs_in(machine, package):
    """Plugins by name, distributions as they are written, and a folder editable."""
    done = machine.with_uv().run("install", "openai", "callsheet-one[fast]>=1,<2", "acme", "./callsheet-acme")
    assert done.returncode == 0, done.stderr
    wanted = ["callsheet-openai", "callsheet-one[fast]>=1,<2", "callsheet-acme", "-e", str(package)]
    assert machine.calls == [[["pip", "install", "--python", machine.python, *wanted], {}]]
    assert (done.stdout, done.stderr.count("as a tool speaks")) == ("", 1)


def test_pip_does_where_uv_is_not(machine):
    """As a module of the same interpreter."""
    assert machine.with_pip().run("install", "openai").returncode == 0
    assert machine.calls == [[["install", "callsheet-openai"], {}]]
    assert machine.run("remove", "mock").returncode == 0
    assert machine.calls[1:] == [[["uninstall", "-y", "callsheet-mock"], {}]]


def test_without_either_the_command_is_printed(machine):
    """And nothing else happens: exit code 3."""
    done = machine.run("install", "openai", "callsheet-one>=1")
    command = f"uv pip install --python {machine.python} callsheet-openai 'callsheet-one>=1'"
    assert (done.returncode, done.stdout) == (3, "")
    assert f"neither uv nor pip is here; install one of them, then: {command}" in done.stderr


def test_a_tool_s_environment_is_installed_anew_with_all_that_it_has(machine, package):
    """So that uv's receipt names the plugin too, and an upgrade keeps it."""
    machine.with_uv().with_receipt()
    assert machine.run("install", "replicate", "./callsheet-acme").returncode == 0
    more = ["--with", "callsheet-replicate", "--with-editable", str(package), "--python", "3.12"]
    variables = {"UV_TOOL_DIR": str(machine.folder), "UV_TOOL_BIN_DIR": "/somewhere/bin"}
    assert machine.calls == [[["tool", "install", "callsheet>=0.1", *KEPT, *more], variables]]


def test_a_plugin_that_the_receipt_has_is_named_once(machine):
    """As it is asked for now."""
    machine.with_uv().with_receipt()
    assert machine.run("install", "callsheet-openai>=2").returncode == 0
    ((words, _),) = machine.calls
    assert [word for word in words if "openai" in word] == ["callsheet-openai>=2"]


def test_a_tool_loses_what_is_removed(machine):
    """The rest of the receipt stays."""
    machine.with_uv().with_receipt()
    assert machine.run("remove", "openai").returncode == 0
    ((words, _),) = machine.calls
    assert words == ["tool", "install", "callsheet>=0.1", *KEPT[2:], "--python", "3.12"]


def test_what_another_package_brought_is_not_removed_alone(machine):
    """The receipt does not name it."""
    done = machine.with_uv().with_receipt().run("remove", "mock")
    assert (done.returncode, machine.calls) == (2, [])
    assert "callsheet-mock was installed by another package" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("[tool]", "cannot be read"),
        ('[tool]\nrequirements = ["callsheet"]', "cannot be read"),
        ('[tool]\nrequirements = [{ name = "other" }]', "callsheet is not what it is for"),
        ('[tool]\nrequirements = [{ name = "callsheet", git = "https://x" }]', "it was installed with git"),
        ('[tool]\nrequirements = [{ name = "callsheet" }]\noptions = {}', "it was installed with options"),
    ],
)
def test_a_receipt_that_cannot_be_carried_over_is_left_alone(machine, text, said):
    """Nothing is run, and nothing is lost."""
    done = machine.with_uv().with_receipt(text).run("install", "openai")
    assert (done.returncode, machine.calls) == (2, [])
    assert said in done.stderr


def test_a_tool_keeps_extras_of_paths_and_what_is_required_twice(machine):
    """A comma in a path would be the end of it."""
    rows = """[tool]
requirements = [
    { name = "callsheet", extras = ["keyring"], editable = "/somewhere/core" },
    { name = "callsheet-own", extras = ["fast"], marker = "python_version > '3'", editable = "/somewhere/own, mine" },
    { name = "callsheet-there", extras = ["fast"], directory = "/somewhere/there" },
    { name = "six", marker = "python_version < '3.12'" },
    { name = "six", marker = "python_version >= '3.12'", specifier = ">=1" },
]
"""
    machine.with_uv().with_receipt(rows)
    assert machine.run("install", "openai").returncode == 0
    assert machine.run("remove", "mock").returncode == 2
    kept = [
        "--with-editable", "file:///somewhere/own%2C%20mine[fast] ; python_version > '3'",
        "--with", "/somewhere/there[fast]",
        "--with", "six ; python_version < '3.12'", "--with", "six>=1 ; python_version >= '3.12'",
    ]  # fmt: skip
    ((words, _),) = machine.calls
    core = ["tool", "install", "--editable", "/somewhere/core[keyring]"]
    assert words == [*core, *kept, "--with", "callsheet-openai"]


def test_a_password_is_handed_on_and_not_shown(machine):
    """A receipt keeps those of URLs."""
    url = "https://me:top-secret@acme.example.com/there.whl"
    rows = f'{{ name = "callsheet" }}, {{ name = "callsheet-there", url = "{url}" }}'
    machine.with_uv(code=1).with_receipt(f"[tool]\nrequirements = [{rows}]")
    done, dry = machine.run("install", "openai"), machine.run("install", "--dry-run", "openai")
    ((words, _),) = machine.calls
    assert f"callsheet-there @ {url}" in words
    shown = done.stdout + done.stderr + dry.stdout + dry.stderr
    assert "https://[redacted]@acme.example.com/there.whl" in shown
    assert "top-secret" not in shown


@pytest.mark.parametrize("name", ["callsheet-1.0-py3-none-any.whl", "callsheet-1.0.tar.gz", "core"])
def test_callsheet_itself_is_no_plugin_from_a_file_either(machine, package, name):
    """The tool's own row would be lost; a plugin's archive with an old name is one."""
    if name == "core":
        package.with_name(name).mkdir()
        (package.with_name(name) / "pyproject.toml").write_text('[project]\nname = "Callsheet"\n')
    else:
        package.with_name(name).touch()
    done = machine.with_uv().with_receipt().run("install", f"./{name}")
    assert (done.returncode, machine.calls) == (2, [])
    assert "callsheet itself is no plugin" in done.stderr
    archive = package.with_name("callsheet-openai-2.0.tar.gz")
    archive.touch()
    assert machine.run("install", "./callsheet-openai-2.0.tar.gz").returncode == 0
    ((words, _),) = machine.calls
    assert [word for word in words if "openai" in word] == [str(archive)]


def test_a_dry_run_prints_the_command(machine):
    """As one would type it, with the variables that it needs."""
    machine.with_uv()
    done = machine.run("install", "--dry-run", "openai")
    assert done.stdout == f"uv pip install --python {machine.python} callsheet-openai\n"
    machine.with_receipt('[tool]\nrequirements = [{ name = "callsheet" }]')
    done = machine.run("install", "--dry-run", "callsheet-one>=1")
    assert done.stdout == f"UV_TOOL_DIR={machine.folder} uv tool install callsheet --with 'callsheet-one>=1'\n"
    assert machine.calls == []


def test_a_tool_that_fails_is_told_of(machine):
    """With the command, to be tried by hand."""
    done = machine.with_uv(code=2).run("install", "openai")
    assert (done.returncode, len(machine.calls)) == (1, 1)
    assert "it ended with 2; the command was: uv pip install" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["install", "opneai"], "has a name like callsheet-openai and is not it"),
        (["install", "callsheet"], "callsheet itself is no plugin"),
        (["install", "x; rm -rf ~"], "is no plugin"),
        (["install", "git+https://acme.example.com/x"], "no file git+https"),
        (["install", "./nothing"], "no file ./nothing"),
        (["install", "./modules"], "no pyproject.toml"),
        (["install", "--", "--index-url=x"], "is no plugin"),
        (["remove", "callsheet"], "callsheet itself is no plugin"),
        (["remove", "mokc"], "no plugin 'mokc' is installed; did you mean 'mock'?"),
    ],
)
def test_what_is_no_plugin_is_refused(machine, words, said):
    """Before any tool is started."""
    done = machine.with_uv().run(*words)
    assert (done.returncode, machine.calls) == (2, []), done.stderr
    assert said in done.stderr


def test_removing_takes_the_name_the_provider_or_the_distribution(machine):
    """Each once."""
    assert machine.with_uv().run("remove", "mock", "callsheet-mock", "Callsheet_Mock").returncode == 0
    assert machine.calls == [[["pip", "uninstall", "--python", machine.python, "callsheet-mock"], {}]]
