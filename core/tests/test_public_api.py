"""What `import callsheet` gives, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import callsheet
import callsheet.plugin

SOURCE = Path(callsheet.__file__).parent


@pytest.mark.parametrize("name", callsheet.__all__)
def test_every_public_name_is_there(name):
    """Lazy names resolve, and to something of that name."""
    value = getattr(callsheet, name)
    assert getattr(value, "__name__", name) in (name, "Union", "Artifact")


def test_the_version_is_there():
    """And completion in a shell knows all names (the names themselves are in tests/public_api.txt)."""
    assert callsheet.__version__.count(".") == 2
    assert dir(callsheet) == sorted([*callsheet.__all__, "__version__"])


def test_an_unknown_name_is_an_attribute_error():
    """As for any module."""
    with pytest.raises(AttributeError, match="callsheat"):
        _ = callsheet.callsheat


def test_the_author_s_names_are_exported_and_sorted():
    """`callsheet.plugin` is all that a plugin imports."""
    assert list(callsheet.plugin.__all__) == sorted(callsheet.plugin.__all__)
    assert all(hasattr(callsheet.plugin, name) for name in callsheet.plugin.__all__)


def loaded_by(statement):
    """The modules that a statement loads in a fresh interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; print('\\n'.join(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {line.partition(".")[0] for line in run.stdout.split()}


HEAVY = {
    "pydantic", "pluggy", "structlog", "rich", "jinja2", "click", "jsonschema_rs", "rfc8785", "importlib_metadata",
    "platformdirs", "filelock", "sqlite3",
}  # fmt: skip


def test_importing_callsheet_loads_nothing_third_party():
    """Nor asyncio: an application pays for what it uses."""
    assert not loaded_by("import callsheet") & (HEAVY | {"asyncio"})


def test_importing_the_author_s_facade_loads_pluggy_at_most():
    """A plugin's entry module stays light."""
    assert loaded_by("import callsheet.plugin") & HEAVY <= {"pluggy"}


def modules():
    """Every module of the core."""
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_no_module_and_no_function_holds_two_ideas(path):
    """At most 400 lines a module, 50 a function; names say what a module is."""
    text = path.read_text()
    assert text.count("\n") <= 400
    assert path.stem not in {"utils", "helpers", "common", "base", "manager"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno + 1 <= 50, node.name


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_the_core_names_no_provider(path):
    """In no text of the code: the install hints are a data file."""
    providers = ("openai", "replicate", "elevenlabs", "anthropic", "gemini")
    tree = ast.parse(path.read_text())
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    texts = [
        n.value.lower()
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docs
    ]
    assert not [text for text in texts if any(name in text for name in providers) and path.name != "secrets.py"]
