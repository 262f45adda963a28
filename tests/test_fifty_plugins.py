"""Fifty installed plugins, ten of them broken, each in another way: everything works but those ten, and they are named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

HEAD = 'api = 1\nprovides = ["models"]\n[provider]\nname = "{name}"\n'
ROW = """
[[models]]
model = "owner/model-{number}"
operation = "text.generate"
wire = "write"
title = "Model {number} of {name}"
inputs = {{ prompt = "text" }}
aliases = ["{name}-{number}"]
price = [{{ per = "run", usd = 0.01, as_of = "2026-08-01", source = "{name}.example" }}]
"""
GOOD = """
import base64  # stands for an SDK: nobody else here imports what it marks
import sys

from callsheet.plugin import Expected, HandlerSpec, JobResult, ProviderRequest, TextArtifact, hookimpl

sys.modules["sdk_of_" + __name__] = base64


class Write:
    def prepare(self, job):
        expects = (Expected("text", "text/plain"),)
        return ProviderRequest(job.ref, job.operation, {"text": job.inputs.prompt}, expects, {"run": 1.0})

    async def invoke(self, request, context):
        return JobResult((TextArtifact("written live: " + request.body["text"]),))


@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec(__name__.removeprefix("callsheet_"), Write, wire="write")]
"""
HANGS = GOOD.replace("    def prepare", "    def warm_start(self, start):\n        Event().wait()\n\n    def prepare")
BROKEN = {
    "metadata": ("", "unreadable metadata"),
    "manifest": (GOOD, "wheel without plugin.toml"),
    "api": (GOOD, "plugin api 7"),
    "imports": ("import not_there_at_all", "No module named 'not_there_at_all'; install what it needs"),
    "exits": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "raises": (GOOD.replace("return [H", "raise ValueError('oh \\x1b[31m') #"), "ValueError: oh \\x1b[31m"),
    "misspelt": (GOOD.replace("register_handlers", "register_handler"), "did you mean 'callsheet_register_handlers'"),
    "clash": (GOOD, "the provider 'p39' is claimed by"),
    "prints": ("print('hello from prints')\n" + GOOD, "prints to stdout"),
    "hangs": ("from threading import Event\nEvent().wait()", "did not end within 3 s"),
}
"""Name: code, and what doctor says."""

SHEET = """
[producers.words]
operation = "text.generate"
models = ["{ref}"]
prompt = "a headline"
"""


def install(site: Path, name: str, code: str) -> None:
    """A distribution with ten rows, as pip would leave it there."""
    package = site / f"callsheet_{name}"
    package.mkdir()
    (package / "__init__.py").write_text(code, encoding="utf-8")
    provider = "p39" if name == "clash" else name
    toml = HEAD.format(name=provider) + "".join(ROW.format(name=name, number=number) for number in range(10))
    if name != "manifest":
        toml = toml.replace("api = 1", "api = 7") if name == "api" else toml
        (package / "plugin.toml").write_text(toml, encoding="utf-8")
    info = site / f"callsheet_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: callsheet-{name}\nVersion: 1.0\n", encoding="utf-8")
    entry = f"[callsheet]\n{name} = callsheet_{name}\n".encode()
    (info / "entry_points.txt").write_bytes(entry + (b"\xff\n" if name == "metadata" else b""))
    (info / "RECORD").write_text(f"callsheet_{name}/__init__.py,,\n", encoding="utf-8")


@dataclass(frozen=True)
class Machine:
    """A machine with fifty plugins, and command lines on it."""

    folder: Path
    environ: dict[str, str]

    def python(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A Python process in an empty working folder."""
        command = [sys.executable, *args]
        return subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=100)

    def callsheet(self, *args: str) -> subprocess.CompletedProcess[str]:
        """One command line."""
        return self.python("-P", "-m", "callsheet", *args)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Forty healthy plugins, one of which hangs only when it warms up, and the ten."""
    root = tmp_path_factory.mktemp("fifty")
    site, work = root / "site", root / "work"
    site.mkdir()
    work.mkdir()
    for number in range(40):
        install(site, f"p{number:02}", "from threading import Event\n" + HANGS if number == 38 else GOOD)
    for name, (code, _) in BROKEN.items():
        install(site, name, code)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")}
    path = os.pathsep.join(filter(None, [str(site), environ.get("PYTHONPATH", "")]))
    places = {name: str(root / name) for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME")}
    return Machine(work, {**environ, **places, "PYTHONPATH": path})


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["models"], ["plugins", "list"], ["plugins", "--help"]])
def test_commands_work_and_import_no_plugin(machine: Machine, args: list[str]) -> None:
    """With and without a cache; no plugin, no SDK and nothing heavy is imported."""
    program = (
        "import json, sys\n"
        "from callsheet.cli.entry import execute\n"
        f"code = execute({args!r})\n"
        "heavy = {'pydantic', 'pluggy', 'structlog', 'jinja2', 'httpx', 'httpx2', 'asyncio', 'jsonschema_rs'}\n"
        "found = [m for m in sys.modules if m in heavy or m.startswith(('callsheet_', 'sdk_of_'))]\n"
        "print(json.dumps([code, found]), file=sys.stderr)\n"
    )
    outputs = set()
    for _ in range(2):
        done = machine.python("-P", "-c", program)
        assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_the_models_of_the_healthy_are_listed(machine: Machine) -> None:
    """Also of those whose code is broken, for nobody has imported it; a line for each that cannot be read."""
    done = machine.callsheet("models", "--json")
    document = json.loads(done.stdout)
    providers = {row["ref"].partition(":")[0] for row in document["models"]}
    usable = {f"p{number:02}" for number in range(39)} | {"imports", "exits", "raises", "misspelt", "prints", "hangs"}
    elsewhere = {found.name for found in entry_points(group="callsheet")}
    assert providers - elsewhere == usable
    assert len([row for row in document["models"] if row["ref"].startswith("p07:")]) == 10
    assert len(document["problems"]) == 5  # metadata, manifest, api, and the two that claim p39
    listed = machine.callsheet("plugins", "list")
    assert listed.returncode == 0
    for said in ("unreadable metadata", "wheel without plugin.toml", "plugin api 7", "'p39' is claimed by"):
        assert said in listed.stderr


def test_doctor_names_all_ten(machine: Machine) -> None:
    """Each with what is wrong, in one line with a remedy; the healthy are not mentioned."""
    done = machine.callsheet("plugins", "doctor", "--timeout", "3")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    for name, (_, said) in BROKEN.items():
        about = [line for line in lines if said in line and (name in line or name == "metadata")]
        assert about, (name, done.stdout)
        assert all("; " in line and line.isprintable() for line in about)
    assert len(lines) == len(BROKEN) + 1  # both that claim p39
    assert not any(f"callsheet-p{number:02}" in line for line in lines for number in range(39))
    assert "hello from prints" not in done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["live", "mock"])
def test_a_run_with_a_healthy_plugin_succeeds(machine: Machine, mode: str) -> None:
    """The others are not imported for it."""
    film = machine.folder / f"film-{mode}"
    film.mkdir()
    (film / "sheet.toml").write_text(SHEET.format(ref="p07:owner/model-3"), encoding="utf-8")
    done = machine.callsheet("run", str(film), "--mode", mode, "--json", "-o", str(film / "out"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded"
    text = (film / "out" / "words.txt").read_text(encoding="utf-8")
    assert (text.strip() == "written live: a headline") is (mode == "live")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("imports:owner/model-1", "'imports' (callsheet-imports 1.0) cannot be loaded: ModuleNotFoundError"),
        ("exits:owner/model-1", "'exits' (callsheet-exits 1.0) cannot be loaded: SystemExit: 3"),
        ("raises:owner/model-1", "fails in callsheet_register_handlers: ValueError"),
        ("misspelt:owner/model-1", "did you mean 'callsheet_register_handlers'"),
        ("p39:owner/model-1", "the provider 'p39' is claimed by"),
        ("manifest:owner/model-1", "wheel without plugin.toml"),
        ("api:owner/model-1", "plugin api 7"),
    ],
)
def test_a_model_of_a_broken_plugin_fails_with_the_cause(machine: Machine, ref: str, said: str) -> None:
    """Exit code 3: something about this installation has to change."""
    done = machine.callsheet("call", ref, "-p", "prompt=x")
    assert (done.returncode, said in done.stderr) == (3, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_plugin_that_prints_does_not_spoil_data(machine: Machine) -> None:
    """Its greeting goes to stderr."""
    done = machine.callsheet("call", "prints:owner/model-1", "-p", "prompt=x", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert "hello from prints" in done.stderr


def test_a_warm_start_that_blocks_ends_at_its_deadline(machine: Machine) -> None:
    """The run does not hang, and the process ends though the thread is still there."""
    program = (
        "import sys, callsheet.runtime\n"
        "callsheet.runtime.WARM_START_SECONDS = 0.2\n"
        "from callsheet.cli.entry import execute\n"
        "sys.exit(execute(['call', 'p38:owner/model-1', '-p', 'prompt=x']))\n"
    )
    done = machine.python("-P", "-c", program)
    assert done.returncode not in (0, None)
    assert "callsheet-p38 1.0 was not ready for p38:owner/model-1 within 0.2 s" in done.stderr
