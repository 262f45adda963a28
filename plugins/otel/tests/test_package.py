"""What the package is made of: a manifest that fits the code, and imports of what it declares alone."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

import callsheet_otel
from callsheet.plugin_manifest import PluginManifest

SOURCE = Path(callsheet_otel.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_imports(file):
    """Of callsheet only `callsheet.plugin`, and in the entry module nothing of OpenTelemetry."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    allowed = {"callsheet_otel"} | ({"opentelemetry"} if file.name == "exporting.py" else set())
    for name in names:
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or top in allowed or name == "callsheet.plugin"


def test_the_manifest_is_valid_and_the_hook_is_one():
    """It provides events: that is when its observers are asked for."""
    data = tomllib.loads((SOURCE / "plugin.toml").read_text(encoding="utf-8"))
    manifest = PluginManifest.parse(data, "callsheet_otel/plugin.toml", "callsheet-otel")
    assert manifest.provides == ("events",)
    assert manifest.provider is None
    assert hasattr(callsheet_otel.callsheet_register_observers, "callsheet_impl")
