"""Doctor: each kind of trouble is named with a remedy, in one line, and nothing of it reaches this process."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from callsheet.catalog import Catalog
from callsheet.cli import main
from callsheet.doctor import Finding, diagnose, examine_distributions, look_alike
from callsheet.install_hints import known_distributions
from callsheet.plugin_trial import TrialRequest, try_plugins

TOML = 'api = 1\nprovides = ["models"]\n{top}[provider]\nname = "{name}"\n'
GOOD = """
from callsheet.plugin import HandlerSpec, hookimpl

@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec("*", object)]
"""
COMMANDS = """
import click
from callsheet.plugin import hookimpl

@hookimpl
def callsheet_register_commands(cli):
    cli.add_command(click.Command("here"))
"""


@pytest.fixture
def install(site):
    """Installs `callsheet-NAME` with this code; its name is the provider's."""

    def make(name: str, code: str = GOOD, top: str = "", **more: str) -> Path:
        more.setdefault("toml", TOML.format(name=name, top=top))
        return site.install(f"callsheet-{name}", entry_name=name, code=code, **more)

    return make


def record(site, name: str, *files: str, editable: bool = False) -> None:
    """Say what the distribution has installed; only what is there counts."""
    for file in files:
        if not file.startswith(".."):
            (site.folder / file).parent.mkdir(exist_ok=True)
            (site.folder / file).touch()
    info = site.folder / f"callsheet_{name}-1.0.dist-info"
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    if editable:
        (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')


@pytest.mark.parametrize(
    ("code", "trouble", "said"),
    [
        ("import not_there_at_all", "import", "No module named 'not_there_at_all'"),
        ("1 / 0", "import", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "import", "SystemExit: 3"),
        (GOOD.replace("handlers", "handler"), "import", "did you mean 'callsheet_register_handlers'"),
        (GOOD.replace("return", "raise ValueError  #"), "hook", "fails in callsheet_register_handlers: ValueError"),
        (GOOD.replace('"*"', '"other"'), "hook", "registers a handler for 'other'"),
        ("print('hello')" + GOOD, "stdout", "prints to stdout"),
        ("import os\nos.write(1, b'hello')" + GOOD, "stdout", "prints to stdout"),
        ("import threading\nthreading.Event().wait()", "hang", "did not end within 2 s"),
        ("import os\nos._exit(5)", "crash", "exit code 5"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "crash", "by SIGKILL"),
        ("import os\nos.close(1)\n" + GOOD, "", ""),
        (GOOD, "", ""),
    ],
    ids=range(13),
)
def test_each_trouble_is_told_and_the_next_plugin_is_tried(install, code: str, trouble: str, said: str) -> None:
    """In a process apart: this one imports nothing."""
    install("acme", code)
    install("good")
    outcomes = list(try_plugins(["acme", "good"], TrialRequest(seconds=2.0)))
    assert [(each.name, each.trouble) for each in outcomes] == ([("acme", trouble)] if trouble else [])
    assert all(said in each.text for each in outcomes)
    assert not {"callsheet_acme", "callsheet_good"} & set(sys.modules)


def test_commands_that_are_declared_must_be_registered(install) -> None:
    """The second is not."""
    install("acme", COMMANDS, 'commands = ["here", "gone"]\n')
    install("good", COMMANDS, 'commands = ["here"]\n')
    (outcome,) = try_plugins(["acme", "good"], TrialRequest())
    assert (outcome.trouble, "declares the command 'gone'" in outcome.text) == ("hook", True)


def test_the_trial_obeys_the_settings(install) -> None:
    """What is denied is not imported there either."""
    install("acme", "import os\nos._exit(5)")
    assert list(try_plugins(["acme"], TrialRequest(deny=frozenset({"acme"})))) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("calsheet-openai", "callsheet-openai"),
        ("callsheet-opnai", "callsheet-openai"),
        ("callsheet-oepnai", "callsheet-openai"),
        ("callsheet_open_ai", "callsheet-openai"),
        ("callsheets-gemini", "callsheet-gemini"),
        ("callsheet-mockk", "callsheet-mock"),
        ("callsheet-replciate", "callsheet-replicate"),
        ("Callsheet.OpenAI", ""),
        ("callsheet-mcp", ""),
        ("callsheet-otel", ""),
        ("callsheet-local", ""),
        ("callsheet-gemma", ""),
        ("callsheet", ""),
        ("openai", ""),
        ("anthropic", ""),
    ],
)
def test_names_that_look_like_known_ones(name: str, meant: str) -> None:
    """A slip or two of the keyboard; short names that are near by chance are not accused."""
    assert look_alike(name, known_distributions()) == meant


@pytest.mark.parametrize(
    ("files", "content", "editable", "kinds"),
    [
        (("callsheet_acme/__init__.py", "callsheet_acme-1.0.dist-info/RECORD"), "", False, []),
        (("acme.pth",), "import os; os.system('x')", False, ["pth"]),
        (("acme.pth",), "/somewhere", False, ["pth"]),
        (("acme.pth",), "/somewhere", True, []),
        (("acme.pth",), "/somewhere\nimport\tevil", True, ["pth"]),
        (("x.pth", "__editable___x_finder.py"), "import __editable___x; __editable___x.install()", True, []),
        (("callsheet_acme/x.pth",), "", False, []),
        (("callsheet_acme/a.py", "tests/__init__.py", "six.py", "fast.cpython-311.so"), "", False, ["modules"]),
        (("../bin/acme", "../share/man/acme.1", "__pycache__/x.pyc"), "", False, ["scripts"]),
    ],
)
def test_what_a_plugin_installs_beside_its_package(site, install, files, content, editable, kinds) -> None:  # noqa: PLR0917
    """Files that run by themselves, other modules, and commands."""
    install("acme")
    for file in ("bin/acme", "share/man/acme.1"):
        (site.folder.parent / file).parent.mkdir(parents=True)
        (site.folder.parent / file).touch()
    record(site, "acme", *files, editable=editable)
    for file in files:
        if file.endswith(".pth") and "/" not in file:
            (site.folder / file).write_text(content)
    findings = [each for each in examine_distributions([]) if each.distribution == "callsheet-acme"]
    assert [each.kind for each in findings] == kinds
    if kinds == ["modules"]:
        assert findings[0].problem.endswith("callsheet_acme: fast, six, tests")


def test_console_scripts_are_named(site, install) -> None:
    """A plugin brings commands by its manifest."""
    install("acme")
    with (site.folder / "callsheet_acme-1.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write("[console_scripts]\nacme-run = callsheet_acme:run\n")
    (finding,) = [each for each in examine_distributions([]) if each.distribution == "callsheet-acme"]
    assert (finding.kind, "acme-run" in finding.line) == ("scripts", True)


def test_a_pth_file_that_cannot_be_read_is_told(site, install) -> None:
    """Nobody knows what it does."""
    install("acme")
    record(site, "acme", "acme.pth")
    (site.folder / "acme.pth").unlink()
    (site.folder / "acme.pth").mkdir()
    assert [each.problem for each in examine_distributions([]) if each.kind == "pth"] == [
        "callsheet-acme 1.0 ships acme.pth, which cannot be read"
    ]


def test_everything_is_one_line_that_cannot_move_the_cursor(site, install) -> None:
    """Names, versions and messages come from outside."""
    install("acme", toml="api = 1\n'\x1b[2J' = 1\n")
    install("rows", toml=TOML.format(name="rows", top="") + '[[models]]\nmodel = "m"\noperation = "text.generat"\n')
    site.install("callsheet-\x1b[31mred", entry_name="red\x1b[2J", toml="api = 1", package="red")
    info = site.folder / "nameless-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Version: 1\n")
    (info / "entry_points.txt").write_text("[callsheet]\nx = y\n")
    discovery = site.discover()
    findings = diagnose(discovery, Catalog(discovery), [])
    assert {each.kind for each in findings} == {"metadata", "model", "plugin"}
    assert all(each.line.isprintable() and each.remedy for each in findings)
    assert Finding("import", "", "a\nb\x1b", "c\r").line == r"a\nb\x1b; c\r"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Carries out a command line; `callsheet-off` and the plugins that this workspace has installed are out."""
    installed = {found.dist.name for found in entry_points(group="callsheet") if found.dist}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLSHEET_PLUGINS_DISABLED", ",".join(sorted({"callsheet-off", *installed})))

    def carry_out(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(args)
        return ended.value.code, *capsys.readouterr()

    return carry_out


def test_the_command_when_all_is_well(install, command) -> None:
    """Exit code 0 and nothing on stdout; plugins that are skipped are noted."""
    install("good")
    install("off")
    code, out, err = command("plugins", "doctor")
    assert (code, out) == (0, "")
    assert "all is well: 1 plugin\n" in err
    assert "off is skipped: disabled by CALLSHEET_PLUGINS_DISABLED" in err
    code, out, _ = command("plugins", "doctor", "--json")
    assert (code, json.loads(out)["ok"], json.loads(out)["findings"]) == (0, True, [])


def test_the_command_when_something_is_wrong(install, command) -> None:
    """Exit code 1, a line a problem; the same as JSON."""
    install("good")
    install("bad", "1 / 0")
    install("none", toml=None)
    code, out, err = command("plugins", "doctor")
    assert code == 1
    assert err.endswith("2 problems\n")
    lines = out.splitlines()
    assert len(lines) == 2
    assert "wheel without plugin.toml" in lines[0]
    assert "cannot be loaded: ZeroDivisionError: division by zero; upgrade it, report it" in lines[1]
    code, out, _ = command("plugins", "doctor", "--json")
    document = json.loads(out)
    assert (code, document["ok"], document["plugins"]) == (1, False, len(entry_points(group="callsheet")))
    assert [each["kind"] for each in document["findings"]] == ["plugin", "import"]
    assert set(document["findings"][0]) == {"kind", "distribution", "problem", "remedy"}


def test_an_interpreter_that_does_not_start_is_an_error(install, command, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a blame on the plugins."""
    install("good")
    monkeypatch.setattr(sys, "executable", "/bin/false" if Path("/bin/false").exists() else "/usr/bin/false")
    code, _, err = command("plugins", "doctor")
    assert code == 3
    assert "plugins cannot be tried" in err
