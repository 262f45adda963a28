"""The kit catches planted defects: a plugin that passes, with one change of its text, fails the check that is there for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from callsheet.testing import CHECKS

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = Path(__file__).parent / "mutants"
SUBJECTS = {"template": ROOT / "plugins" / "_template", "studio": MUTANTS / "studio"}
FEWEST = 25
AT_A_TIME = 2


@dataclass(frozen=True)
class Mutant:
    """One change: `old` stands once in `file` of the plugin, and becomes `new`; `caught` are the checks that have to fail.

    Each with words that stand in what it finds: it is this defect that it sees, and not another.
    """

    plugin: str
    id: str
    file: str
    old: str
    new: str
    caught: dict[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.plugin}-{self.id}"

    def plant(self, project: Path) -> None:
        """Change the copy of the plugin. Raises AssertionError when the place is not there, or not the only one."""
        path = project / self.file
        text = path.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.old!r} stands {text.count(self.old)} times in {self.file}"
        changed = text.replace(self.old, self.new)
        if path.suffix == ".py":
            compile(changed, self.file, "exec")  # a file that cannot be read would fail any check
        path.write_text(changed, encoding="utf-8")


def planted() -> list[Mutant]:
    """The mutants of all files in the folder `planted`, whose names begin with that of the plugin."""
    found = []
    for path in sorted((MUTANTS / "planted").glob("*.toml")):
        plugin = path.stem.partition("_")[0]
        source = f"src/callsheet_{plugin}/"
        for each in tomllib.loads(path.read_text(encoding="utf-8"))["mutants"]:
            file = each["file"] if each["file"] == "pyproject.toml" else source + each["file"]
            found.append(Mutant(plugin, **{**each, "file": file}))
    return found


PLANTED = planted()


class Checker:
    """The process of mutants/checker.py."""

    def __init__(self) -> None:
        environ = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "1",
        }  # the kit's own child has another
        command = [sys.executable, str(MUTANTS / "checker.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)

    def report(self, project: Path, mutant: Mutant) -> dict[str, Any]:
        """What those checks of the kit say of a project that have to fail."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"project": str(project), "plugin": f"callsheet_{mutant.plugin}", "only": list(mutant.caught)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer.strip(), "the kit itself breaks: see what it wrote to stderr"
        return json.loads(answer)

    def close(self) -> None:
        """It ends when nobody asks any more."""
        self._process.communicate()


@pytest.fixture(scope="module")
def reports(request, tmp_path_factory) -> Iterator[dict[Mutant, Future[dict[str, Any]]]]:
    """The report on each mutant whose test was asked for, made by several processes at a time."""
    checkers = [Checker() for _ in range(AT_A_TIME)]
    idle: SimpleQueue[Checker] = SimpleQueue()
    for each in checkers:
        idle.put(each)

    def made(mutant: Mutant) -> dict[str, Any]:
        project = copy(mutant.plugin, tmp_path_factory.mktemp(mutant.id), mutant)
        checker = idle.get()
        try:
            return checker.report(project, mutant)
        finally:
            idle.put(checker)

    tests = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {params["mutant"]: pool.submit(made, params["mutant"]) for params in tests if "mutant" in params}
    for each in checkers:
        each.close()


def copy(plugin: str, folder: Path, mutant: Mutant | None) -> Path:
    """The plugin in this folder, with its defect."""
    project = folder / plugin
    shutil.copytree(SUBJECTS[plugin], project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    if mutant is not None:
        mutant.plant(project)
    return project


@pytest.mark.usefixtures("reports")  # they are made meanwhile
@pytest.mark.parametrize(
    ("plugin", "defect", "code"), [("template", "", 0), ("studio", "", 0), ("template", "retries-inside", 1)]
)
def test_the_command_says_so(plugin, defect, code, site, tmp_path):
    """Without a defect a plugin passes every check: what the kit finds in a mutant is there because of its defect."""
    mutant = next((each for each in PLANTED if str(each) == f"{plugin}-{defect}"), None)
    project = copy(plugin, tmp_path, mutant)
    site.install(project)
    environ = {**os.environ, "PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "callsheet", "plugins", "check", plugin, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environ)
    report = json.loads(done.stdout)
    failed = {each["id"]: each["findings"] for each in report["checks"] if each["status"] == "failed"}
    assert set(mutant.caught if mutant else ()) <= set(failed), failed
    assert mutant or not failed, failed
    assert (done.returncode, report["tier"]) == (code, "failing" if mutant else "verified"), report["why"]


@pytest.mark.parametrize("mutant", PLANTED, ids=str)
def test_a_defect_is_caught(mutant, reports):
    """By the checks that are there for it, with words that are about it."""
    report = reports[mutant].result()
    assert report["tier"] == "failing"
    for check in report["checks"]:
        told = "\n".join(f"{each['where']}: {each['problem']}" for each in check["findings"])
        assert check["status"] == "failed", (check["id"], check["reason"])
        assert mutant.caught[check["id"]] in told, (check["id"], told)
        assert "the check itself breaks" not in told, told


def test_each_defect_has_a_name_and_a_change_of_its_own():
    """Many defects that are one would say nothing."""
    assert len(PLANTED) >= FEWEST
    assert len({(each.plugin, each.id) for each in PLANTED}) == len(PLANTED)
    assert len({(each.plugin, each.file, each.old, each.new) for each in PLANTED}) == len(PLANTED)
    assert all(each.caught and all(words.strip() for words in each.caught.values()) for each in PLANTED)


def test_each_check_catches_a_defect():
    """A check that nothing can fail is none: who adds one plants what it is there for."""
    assert {check.id for check in CHECKS} == {check for each in PLANTED for check in each.caught}
