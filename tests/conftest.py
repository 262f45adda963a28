"""What tests across packages share: a working folder of their own, and plugins installed for one test."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

# Test modules are loaded one by one and know no neighbours: this package is found under a name of its own.
if "references" not in sys.modules:
    _package = ModuleType("references")
    _package.__path__ = [str(Path(__file__).parent / "references")]
    sys.modules["references"] = _package


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; the user's state lies apart, and whatever the test does to the environment is undone."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("CALLSHEET_")]:
            del os.environ[name]
        os.environ["XDG_STATE_HOME"] = str(tmp_path / "state")
        yield work


@dataclass
class Site:
    """Installs packages in source form, as an editable install would."""

    monkeypatch: pytest.MonkeyPatch
    sources: list[Path]

    def install(self, project: Path) -> None:
        """Make the package under `project`/src importable, and write the metadata that its pyproject.toml asks for."""
        source = project / "src"
        if source in self.sources:
            return
        table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        name, version = table["name"], table["version"]
        info = source / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        head += "".join(f"Requires-Dist: {each}\n" for each in table.get("dependencies", ()))
        (info / "METADATA").write_text(head, encoding="utf-8")
        groups = table.get("entry-points", {})
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in each.items()) for group, each in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        self.monkeypatch.syspath_prepend(str(source))
        self.sources.append(source)
        importlib.invalidate_caches()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Packages for one test; what was imported from them is forgotten afterwards."""
    made = Site(monkeypatch, [])
    yield made
    packages = {path.name for source in made.sources for path in source.iterdir()}
    for module in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[module]
    importlib.invalidate_caches()


@pytest.fixture(scope="session")
def stages() -> ModuleType:
    """The module crash/stage.py: real processes on a project (test modules cannot import each other)."""
    if "callsheet_stage" not in sys.modules:
        path = Path(__file__).parent / "crash" / "stage.py"
        spec = importlib.util.spec_from_file_location("callsheet_stage", path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["callsheet_stage"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["callsheet_stage"]


@pytest.fixture
def stage(stages: ModuleType, tmp_path: Path) -> Any:
    """A project with eight jobs: text and pictures in one answer; clips, posters and music with receipts."""
    return stages.Stage.build(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(stages: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, object]:
    """The manifest of a run that nothing happened to."""
    calm = stages.Stage.build(tmp_path_factory.mktemp("calm"))
    ended = calm.run("run", ".")
    assert ended.returncode == 0, ended.stderr
    assert calm.accepted() == {"mock:text": [1], "mock:image": [1, 1], **stages.ONCE}
    assert len(calm.manifest()["jobs"]) == stages.JOBS
    return calm.manifest()


@pytest.fixture(scope="session")
def aimock() -> Iterator[Any]:
    """A mock of OpenAI's API that others wrote, running on this machine; where it cannot run, tests fail."""
    path = Path(__file__).parent / "aimock" / "service.py"
    spec = importlib.util.spec_from_file_location("callsheet_aimock", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["callsheet_aimock"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.running() as server:
        yield server
