"""`nox -s full` runs every session there is, and `.ci/run` names only such."""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
APART = {
    "changelog": "writes CHANGELOG.md, at a release",
    "bench": "measures, on a quiet machine",
    "corpus": "needs a folder of descriptions",
    "full": "is the one that runs the others",
    "live": "needs keys and costs money",
    "pins": "changes pyproject.toml",
    "references": "writes pages and schemas",
}
"""Sessions that `full` does not run, and why."""


class Sessions:
    """Stands for nox, which the environment of the tests lacks: remembers what the decorators are told."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.functions: dict[str, Callable[..., None]] = {}

    def parametrize(self, name: str, values: list[str]) -> Callable[[Any], Any]:
        """The decorator nearest to the function comes first in a session's name."""

        def decorate(function: Any) -> Any:
            function.parameters = [*getattr(function, "parameters", ()), (name, values)]
            return function

        return decorate

    def session(self, *, python: str | list[str] = "", **_: object) -> Callable[[Any], Any]:
        """Keep a session with all the names it is run under."""

        def decorate(function: Any) -> Any:
            stem = function.__name__
            pythons = [f"{stem}-{each}" for each in python] if isinstance(python, list) else [stem]
            parameters = getattr(function, "parameters", [])
            choices = itertools.product(*([f"{name}={each!r}" for each in values] for name, values in parameters))
            told = [f"({', '.join(choice)})" if choice else "" for choice in choices]
            self.names[stem] = [head + tail for head in pythons for tail in told]
            self.functions[stem] = function
            return function

        return decorate


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """The sessions of the noxfile."""
    found = Sessions()
    nox = ModuleType("nox")
    project = SimpleNamespace(load_toml=lambda path: tomllib.loads(Path(path).read_text(encoding="utf-8")))
    vars(nox).update(
        session=found.session, parametrize=found.parametrize, project=project, options=SimpleNamespace(), Session=object
    )
    monkeypatch.setitem(sys.modules, "nox", nox)
    path = ROOT / "noxfile.py"
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), {"__name__": "noxfile", "__file__": str(path)})
    return found


def test_full_runs_every_session(sessions):
    """Each by its whole name: of a name that several share, nox runs the first alone."""
    told: list[str] = []
    sessions.functions["full"](SimpleNamespace(notify=told.append))
    wanted = [name for stem, names in sessions.names.items() if stem not in APART for name in names]
    assert sorted(told) == sorted(wanted)
    assert set(APART) <= set(sessions.names)
    assert "plugin_range-3.12(resolution='highest', plugin='mock')" in told


def test_sessions_that_are_named_anywhere_exist(sessions):
    """In CI's script, in the docs for contributors and in the pages."""
    pages = [ROOT / ".ci/run", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    named = {name for page in pages for name in re.findall(r"nox -s ([a-z_]+)", page.read_text(encoding="utf-8"))}
    assert {"plugin_alone", "minimums", "full"} <= named
    assert named <= set(sessions.names)
