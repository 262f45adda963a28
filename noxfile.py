"""Sessions: `nox -l` lists them. `.ci/run` uses the quick ones; `nox -s full` is the long rest."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/[!_]*/pyproject.toml"))
RESOLUTIONS = ["lowest-direct", "highest"]

nox.needs_version = ">=2026.4.10"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "typing", "contracts"]


def test_requirements() -> list[str]:
    """The test group, as the root pyproject.toml has it."""
    return [str(each) for each in PYPROJECT["dependency-groups"]["test"]]


def check_requirements() -> list[str]:
    """The check group without the test group inside it."""
    return [str(each) for each in PYPROJECT["dependency-groups"]["check"] if isinstance(each, str)]


def constraints(session: nox.Session) -> str:
    """The pinned versions as a constraints file for uv."""
    path = Path(session.create_tmp()) / "constraints.txt"
    path.write_text("\n".join(PYPROJECT["tool"]["uv"]["constraint-dependencies"]) + "\n")
    return str(path)


def wheels(session: nox.Session) -> Path:
    """Build every wheel of the workspace and return their folder."""
    folder = Path(session.create_tmp()) / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    session.run_install(
        "uv", "build", "--all-packages", "--wheel", "-q", "--out-dir", str(folder), external=True, silent=True
    )
    return folder


def wheel_of(folder: Path, distribution: str) -> str:
    """The wheel file of one distribution."""
    return str(next(folder.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl")))


def install_workspace(session: nox.Session, *more: str) -> None:
    """Install core and plugins, editable, with pinned versions."""
    editable = ["-e", "core", *(arg for name in PLUGINS for arg in ("-e", f"plugins/{name}"))]
    session.install("-q", "-c", constraints(session), *editable, *test_requirements(), *more)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, with coverage."""
    install_workspace(session)
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session(python="3.11")
@nox.parametrize("plugin", PLUGINS)
def plugin_alone(session: nox.Session, plugin: str) -> None:
    """A plugin's tests with only the wheels of core and of this plugin installed."""
    folder = wheels(session)
    mine = [wheel_of(folder, "callsheet"), wheel_of(folder, f"callsheet-{plugin}")]
    session.install("-q", "-c", constraints(session), *mine, *test_requirements())
    session.run("pytest", "-q", f"plugins/{plugin}/tests", *session.posargs)


def direct_dependencies(*plugins: str) -> list[str]:
    """What core and these plugins declare themselves, so that uv counts it as direct and takes the lowest of it."""
    declared: list[str] = []
    for path in (ROOT / "core", *(ROOT / "plugins" / name for name in plugins)):
        declared += nox.project.load_toml(path / "pyproject.toml")["project"]["dependencies"]
    return sorted({each for each in declared if not each.startswith("callsheet")})


def _on_wheels(session: nox.Session, resolution: str, plugins: list[str], *tests: str) -> None:
    folder = wheels(session)
    mine = [wheel_of(folder, name) for name in ["callsheet", *(f"callsheet-{plugin}" for plugin in plugins)]]
    session.install("-q", "--no-config", "--resolution", resolution, *mine, *direct_dependencies(*plugins))
    session.install("-q", "--no-config", *test_requirements())
    session.run("uv", "pip", "list", external=True)
    session.run("pytest", "-q", *tests, *session.posargs)


@nox.session(python="3.11", reuse_venv=False)
def minimums(session: nox.Session) -> None:
    """Everything against the lowest versions that the distributions declare."""
    _on_wheels(session, "lowest-direct", PLUGINS)


@nox.session(python="3.13", reuse_venv=False)
def newest(session: nox.Session) -> None:
    """Everything against the newest versions there are."""
    _on_wheels(session, "highest", PLUGINS)


@nox.session(python=PYTHONS, reuse_venv=False)
@nox.parametrize("plugin", PLUGINS)
@nox.parametrize("resolution", RESOLUTIONS)
def plugin_range(session: nox.Session, plugin: str, resolution: str) -> None:
    """A plugin's tests alone with core, at both ends of the versions that they declare."""
    _on_wheels(session, resolution, [plugin], f"plugins/{plugin}/tests")


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Ruff: lint and format."""
    session.install("-q", "-c", constraints(session), *check_requirements())
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python="3.11")
def typing(session: nox.Session) -> None:
    """Mypy, strict."""
    install_workspace(session, *check_requirements())
    session.run("mypy")


@nox.session(python="3.11")
def contracts(session: nox.Session) -> None:
    """Import-linter: arrows point down, and every module has its floor."""
    install_workspace(session, *check_requirements())
    session.run("lint-imports")


@nox.session(python="3.11", reuse_venv=False)
def dist(session: nox.Session) -> None:
    """Install the built wheels into a clean environment; run the example there, and a plugin that `plugins new` began."""
    folder = wheels(session)
    mine = [wheel_of(folder, name) for name in ["callsheet", *(f"callsheet-{p}" for p in PLUGINS)]]
    session.install("-q", "-c", constraints(session), *mine)
    example = Path(session.create_tmp()) / "volcano"
    shutil.rmtree(example, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "volcano", example, ignore=shutil.ignore_patterns(".callsheet", "output*"))
    session.run("callsheet", "plugins", "list")
    session.run("callsheet", "run", str(example), "--mode", "mock", "--json")
    for style in ("answer", "job", ""):
        _begin_plugin(session, f"dist-{style or 'trial'}", *(["--api-style", style] if style else []))
    _publish_plugin(session, folder, "dist-trial")


def _begin_plugin(session: nox.Session, name: str, *options: str) -> None:
    """A package as its author gets it, with nothing for its linter and its type checker to say."""
    package = Path(session.create_tmp()) / name
    shutil.rmtree(package, ignore_errors=True)
    session.run("callsheet", "plugins", "new", name, "--into", str(package), *options)
    session.install("-q", *nox.project.load_toml(package / "pyproject.toml")["dependency-groups"]["dev"])
    with session.chdir(package):
        session.run("ruff", "check", "-q")
        session.run("ruff", "format", "-q", "--check")
        session.run("mypy")


def _publish_plugin(session: nox.Session, folder: Path, name: str) -> None:
    """Its wheel, built and installed as a user does, passes its own tests and the checks; then it is removed."""
    package = Path(session.create_tmp()) / name
    session.run_install("uv", "build", "--wheel", "-q", "--out-dir", str(folder), str(package), external=True)
    session.run("callsheet", "plugins", "install", wheel_of(folder, f"callsheet-{name}"))
    with session.chdir(package):
        session.run("pytest", "-q")
    session.run("callsheet", "plugins", "check", name, "--report", str(folder / "report.json"))
    session.run("callsheet", "plugins", "remove", name)


@nox.session(python="3.11", default=False)
def references(session: nox.Session) -> None:
    """Write what is generated: JSON Schemas, the page of the command line, the drawings of the floors."""
    install_workspace(session)
    session.run("python", "-m", "references", env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """The docs site; a warning, a link that leads nowhere or a public name without an entry fails it."""
    session.install("-q", "-c", constraints(session), *PYPROJECT["dependency-groups"]["docs"])
    folder = Path(session.create_tmp()) / "docs"
    staging = ("python", "-m", "references.staging", str(folder))
    session.run(*staging, env={"PYTHONPATH": "tests"})
    session.run("zensical", "build", "--strict", "--config-file", str(folder / "zensical.toml"))
    session.run(*staging, "--built", env={"PYTHONPATH": "tests"})


@nox.session(venv_backend="none", default=False)
def pins(session: nox.Session) -> None:
    """Write the versions of a fresh resolution into `constraint-dependencies` (names and versions only)."""
    path = ROOT / "pyproject.toml"
    text = path.read_text()
    empty = re.sub(r"(?s)constraint-dependencies = \[.*?\n?\]", "constraint-dependencies = []", text, count=1)
    path.write_text(empty)
    listed = session.run(
        "uv", "export", "--all-packages", "--group", "check", "--group", "docs", "--no-hashes", "--no-annotate", "--no-header",
        "--no-emit-workspace", "--upgrade", "--format", "requirements.txt", silent=True, external=True,
    )  # fmt: skip
    names = sorted(line.split(";")[0].strip() for line in str(listed).splitlines() if "==" in line)
    block = "".join(f'  "{name}",\n' for name in dict.fromkeys(names))
    path.write_text(empty.replace("constraint-dependencies = []", f"constraint-dependencies = [\n{block}]", 1))


@nox.session(python="3.11", default=False)
def changelog(session: nox.Session) -> None:
    """The next section of CHANGELOG.md as it would be; `-- --version 0.2.0` writes it, and removes the fragments."""
    session.install("-q", "towncrier>=25.8")
    session.run("towncrier", "build", *(session.posargs or ["--draft", "--version", "next"]))


@nox.session(python="3.11", default=False)
def bench(session: nox.Session) -> None:
    """What callsheet costs, as one Markdown table. `nox -s bench -- --quick engine` measures one part."""
    install_workspace(session, "openai>=3")  # only to be compared with
    session.run("python", "-m", "benchmarks", *session.posargs, env={"PYTHONDONTWRITEBYTECODE": None})


@nox.session(python="3.11", default=False)
def live(session: nox.Session) -> None:
    """Checks against the real vendor, where its key is set; CALLSHEET_LIVE_BUDGET_USD caps what they may cost."""
    if not os.environ.get("OPENAI_API_KEY"):
        session.skip("OPENAI_API_KEY is not set")
    install_workspace(session)
    session.run("pytest", "-q", "tests/live", *session.posargs)


@nox.session(python="3.11", default=False)
def corpus(session: nox.Session) -> None:
    """Rows of real models, from the descriptions in a folder (see tests/corpus/documents.py), each called mocked."""
    install_workspace(session)
    session.run("python", "tests/corpus", *session.posargs)


@nox.session(venv_backend="none", default=False)
def full(session: nox.Session) -> None:
    """Everything, on every Python."""
    # Each one by its whole name: a name that several share stands for the first of them alone.
    for name in (
        *(f"tests-{python}" for python in PYTHONS),
        *(f"plugin_alone(plugin={name!r})" for name in PLUGINS),
        *(
            f"plugin_range-{python}(resolution={end!r}, plugin={name!r})"
            for python in PYTHONS
            for name in PLUGINS
            for end in RESOLUTIONS
        ),
        "minimums",
        "newest",
        "lint",
        "typing",
        "contracts",
        "docs",
        "dist",
    ):
        session.notify(name)
