"""`callsheet plugins new`: what it makes passes its own tests, in a process that knows nothing of this repository's plugins."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from callsheet.cli import main
from callsheet.template_plugin import template_files

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "plugins" / "_template"


@dataclass
class Bench:
    """A place where packages are installed for one test, by their metadata and a path."""

    folder: Path

    def install(self, package: Path) -> None:
        """As an editable install would."""
        table = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = self.folder / f"{table['name'].replace('-', '_')}-{table['version']}.dist-info"
        info.mkdir()
        head = ["Metadata-Version: 2.1", f"Name: {table['name']}", f"Version: {table['version']}"]
        needs = [f"Requires-Dist: {each}" for each in table["dependencies"]]
        (info / "METADATA").write_text("\n".join([*head, *needs, ""]), encoding="utf-8")
        ((name, module),) = table["entry-points"]["callsheet"].items()
        (info / "entry_points.txt").write_text(f"[callsheet]\n{name} = {module}\n", encoding="utf-8")
        (self.folder / module).symlink_to(package / "src" / module, target_is_directory=True)

    def run(self, package: Path, *words: str) -> subprocess.CompletedProcess:
        """A module of Python in a package's folder; nothing is left behind there."""
        seen = os.pathsep.join([str(self.folder), *filter(None, sys.path)])
        environ = {**os.environ, "PYTHONPATH": seen, "PYTHONDONTWRITEBYTECODE": "1", "CALLSHEET_NO_CACHE": "1"}
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=package, env=environ, capture_output=True, text=True)


@pytest.fixture
def bench(tmp_path):
    """An empty one."""
    (tmp_path / "site").mkdir()
    return Bench(tmp_path / "site")


def new(*words):
    """The exit code of `callsheet plugins new`."""
    with pytest.raises(SystemExit) as ended:
        main(["plugins", "new", *words])
    return ended.value.code


def test_the_data_file_is_the_package_in_this_repository():
    """`python tests/pack_template.py` writes it."""
    path = ROOT / "tests" / "pack_template.py"
    spec = importlib.util.spec_from_file_location("callsheet_pack_template", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.DATA.read_text(encoding="utf-8") == module.packed(), "run: python tests/pack_template.py"


def test_the_living_package_passes_its_own_tests(bench):
    """The one that others are made of, with both wires."""
    bench.install(TEMPLATE)
    done = bench.run(TEMPLATE, "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(("name", "style"), [("acme-labs", "job"), ("b1", "answer")])
def test_what_is_made_passes_its_own_tests(bench, folder, name, style, capsys):
    """Any name, any style: created, installed, tested, checked, with every check applied to what the vendor's counterpart has."""
    assert new(name, "--api-style", style) == 0
    package = folder / f"callsheet-{name}"
    assert capsys.readouterr().out.splitlines() == [
        f"cd callsheet-{name}",
        "callsheet plugins install .",
        f"callsheet plugins check {name}",
    ]
    bench.install(package)
    done = bench.run(package, "pytest", "-q")
    assert done.returncode == 0, done.stdout
    checked = bench.run(package, "callsheet", "plugins", "check", name, "--json")
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["failed"], report["refused"], report["tier"]) == (0, 0, 0, "verified")


def test_its_model_is_called_like_any_other(bench, folder):
    """Mocked, and listed without an import of its code."""
    assert new("acme", "--into", "here") == 0
    bench.install(folder / "here")
    listed = bench.run(folder, "callsheet", "models", "--provider", "acme", "--json")
    assert [row["ref"] for row in json.loads(listed.stdout)["models"]] == ["acme:answer-1", "acme:sound-1"]
    called = bench.run(folder, "callsheet", "call", "acme:sound-1", "-p", "prompt=a gong", "--mode", "mock", "--json")
    assert called.returncode == 0, called.stderr


def test_the_answer_in_json(folder, capsys):
    """The files, the folder, and what to do next."""
    assert new("acme", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == sorted(template_files("acme"))
    assert document["folder"] == str(folder / "callsheet-acme")
    assert document["next"][2] == "callsheet plugins check acme"
    assert all((folder / "callsheet-acme" / path).is_file() for path in document["files"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mock"], "the provider 'mock' is installed (callsheet-mock"),
        (["gemini"], "there is a plugin for 'gemini': callsheet plugins install gemini"),
        (["Acme"], "lower-case letters"),
        (["acme", "--into", "full"], "full is not empty: give another folder with --into"),
        (["acme", "--into", "full/file"], "file"),
    ],
)
def test_what_cannot_be_made_leaves_everything_as_it_was(folder, words, said, capsys):
    """Exit code 2, and what to do."""
    (folder / "full").mkdir()
    (folder / "full" / "file").touch()
    assert new(*words) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in folder.rglob("*")] == ["full", "file"]


def test_a_folder_that_cannot_be_made_is_told_of(folder, capsys):
    """A file stands in its way."""
    (folder / "file").touch()
    assert new("acme", "--into", "file/acme") == 2
    assert "file/acme cannot be written: Not a directory" in capsys.readouterr().err
