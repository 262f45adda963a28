"""What the package is made of: light to import, only the standard library, and a manifest that fits the code."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import callsheet_mock
from callsheet.inputs import inputs_type
from callsheet.models import Operation
from callsheet.plugin_manifest import PluginManifest

SOURCE = Path(callsheet_mock.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MANIFEST = SOURCE / "plugin.toml"

LIGHT = """
import sys
before = set(sys.modules)
import callsheet_mock
specs = list(callsheet_mock.callsheet_register_handlers())
print(*sorted(name for name in set(sys.modules) - before if name.startswith("callsheet_mock")))
specs[0].factory()
print("callsheet_mock.handlers" in sys.modules)
"""


def imported(tree: ast.AST, file: Path):
    """The absolute names of the modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "callsheet_mock"
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports(file):
    """Only the standard library, callsheet.plugin and the package itself are imported."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for name in imported(tree, file):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or top == "callsheet_mock" or name == "callsheet.plugin"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_content_knows_nothing_of_callsheet(file):
    """The content folder stands alone, and nothing there reads a clock or true randomness."""
    if file.parent.name != "content":
        return
    names = set(imported(ast.parse(file.read_text(encoding="utf-8")), file))
    assert not names & {"random", "secrets", "time", "datetime", "uuid", "os", "zlib.compress"}
    assert not any(name.startswith("callsheet.") for name in names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_modules_are_short(file):
    """No module of 400 lines, no function of 50."""
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 50, node.name


def test_entry_module_is_light():
    """Importing the plugin and asking for its handlers loads neither handlers nor content; a factory does."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["callsheet_mock", "True"]


def test_manifest_is_valid():
    """The manifest is read without a complaint, and says what the handlers are."""
    data = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    manifest = PluginManifest.parse(data, "callsheet_mock/plugin.toml", "callsheet-mock")
    assert manifest.provider.name == "mock"
    assert data["simulates"] is True
    assert {Operation(row["operation"]) for row in data["models"]} == set(Operation)
    assert {row["wire"] for row in data["models"]} == {"answer", "job"}
    assert len({row["model"] for row in data["models"]}) == len(data["models"])


@pytest.mark.parametrize("row", tomllib.loads(MANIFEST.read_text())["models"], ids=lambda row: row["model"])
def test_rows_fit_what_is_made(stage, row):
    """The output that a row names is what its model promises; several where the operation takes a count."""
    operation = Operation(row["operation"])
    files = {"audio": "a", "clips": "c"}
    required = inputs_type(operation).required[0][0]
    value = stage_file() if required in files else "x"
    request = stage.answers.prepare(stage.job(f"mock:{row['model']}", operation, **{required: value}))
    assert request.expects[0].media_type == row["output"].removesuffix("[]")
    counts = "count" in inputs_type(operation).__dataclass_fields__
    assert row["output"].endswith("[]") is counts is ("count" in row.get("capabilities", []))


def stage_file():
    """Any file."""
    from callsheet.plugin import FileRef

    return FileRef("a" * 64, "audio/wav", 1)


def test_specs_cover_everything():
    """Own models by wire, everybody else's by operation: each operation has exactly one stand-in."""
    specs = list(callsheet_mock.callsheet_register_handlers())
    assert all(spec.simulates and spec.environment == "*" for spec in specs)
    assert {spec.wire for spec in specs if spec.provider == "mock"} == {"answer", "job"}
    foreign = [operation for spec in specs if spec.provider == "*" for operation in spec.operations]
    assert sorted(foreign) == sorted(Operation)
