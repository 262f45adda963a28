"""The package that `plugins new` begins with, for any name and style of API."""

from __future__ import annotations

import re
import tomllib

import pytest

from callsheet.errors import ConfigError
from callsheet.plugin_manifest import PluginManifest
from callsheet.template_plugin import STYLES, check_name, template_files

NAMES = ["acme", "acme-labs", "x1", "a-name-as-long-as-can-be"]


@pytest.mark.parametrize("style", ["", *STYLES])
@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_exchanged(name, style):
    """In paths and texts; no mark and no word of the template is left."""
    files = template_files(name, style)
    module = f"callsheet_{name.replace('-', '_')}"
    for path, text in files.items():
        assert "template" not in f"{path} {text}".lower()
        assert not re.search(r"\[/?(answer|job)\]", text)
        assert text == "" or (text.endswith("\n") and not text.endswith("\n\n"))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert (project["name"], project["entry-points"]["callsheet"]) == (f"callsheet-{name}", {name: module})
    manifest = PluginManifest.parse(tomllib.loads(files[f"src/{module}/plugin.toml"]))
    assert manifest.provider.name == name
    assert manifest.provider.secrets == (f"{name.replace('-', '_').upper()}_API_KEY",)


def test_a_style_has_its_own_wire_alone():
    """Without a word about the other; both are there for nobody's style."""
    wires = {"answer": "answers.py", "job": "jobs.py"}
    for style, file in wires.items():
        files = template_files("acme", style)
        other = next(each for each in wires.values() if each != file)
        assert f"src/callsheet_acme/{file}" in files
        assert f"src/callsheet_acme/{other}" not in files
        assert not re.search(rf"\b{other.removesuffix('.py')}\b", files["src/callsheet_acme/plugin.toml"])
    both = template_files("acme")
    assert {f"src/callsheet_acme/{file}" for file in wires.values()} <= both.keys()


def test_the_author_s_test_file_is_short():
    """Five lines at most, without what is empty."""
    lines = template_files("acme")["tests/test_conformance.py"].splitlines()
    assert len([line for line in lines if line.strip()]) <= 5


def test_a_job_wire_is_short():
    """All that is written by hand for one: prepare, submit, poll, collect, abort, find, and what errors mean."""
    files = template_files("acme", "job")
    code = [files[f"src/callsheet_acme/{name}.py"] for name in ("jobs", "api")]
    assert sum(len([line for line in text.splitlines() if line.strip()]) for text in code) <= 120


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme", "lower-case letters"),
        ("1acme", "a letter first"),
        ("acme_labs", "single dashes"),
        ("acme--labs", "single dashes"),
        ("acme-", "single dashes"),
        ("../acme", "lower-case letters"),
        ("a" * 25, "at most 24"),
        ("", "for example acme"),
        ("auto", "has a meaning"),
        ("callsheet", "has a meaning"),
        ("callsheet-acme", "give the vendor's name"),
        ("template", "has a meaning"),
        ("lambda", "a word of Python"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said):
    """With what it has to be."""
    with pytest.raises(ConfigError, match=said):
        check_name(name)
