"""The JSON Schemas for editors say what the parsers say: the same keys, the same types, and nothing that is refused later."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from references.pages import ROOT, read

from callsheet import config_tables, own_models, plugin_manifest, sheet
from callsheet.cli.schema import KINDS
from callsheet.config import Configuration, settings_of
from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.inputs import _adapter, file_attributes, list_attributes
from callsheet.toml_tables import Table

SHIPPED = {name: json.loads((ROOT / f"core/src/callsheet/schemas/{name}.json").read_text()) for name in KINDS}
VALIDATORS = {name: jsonschema_rs.validator_for(schema) for name, schema in SHIPPED.items()}
KNOWN = re.compile(r"unknown key '([^']*)'; known are (.*)")


def parse_plugin(document: Mapping) -> None:
    """As a package's `plugin.toml` is read."""
    manifest = plugin_manifest.PluginManifest.parse(document)
    if "models" in document and manifest.provider is None:  # no rows at all would do, which nobody writes
        raise PluginError("rows without a provider")
    for row in manifest.rows:
        plugin_manifest.model_row(row.values, manifest.provider.name, "the-plugin")


def parse_config(document: Mapping) -> None:
    """As `callsheet.toml` is read, or one's own file; each model row by itself, so that two may have one name."""
    top, file = Table(document, "callsheet.toml", ConfigError), Path("/nowhere/callsheet.toml")
    top.only((*config_tables.TABLES, "models"))
    settings_of(Configuration(config_tables.file_values(top, file, of_user=True)), file.parent)
    for row in top.tables("models"):
        own_models.checked_row(own_models.own_row(row, file), {})


def parse_sheet(document: Mapping) -> None:
    """As a sheet is read, and then the types of its attributes, as far as they stand there already."""
    read = sheet._Reader(Path("/nowhere/sheet.toml")).sheet(document)
    for producer in read.producers.values():
        for values in (producer.inputs, *(choice.inputs for choice in producer.models)):
            _check_attributes(producer.operation, values)


def _check_attributes(operation, values) -> None:
    given = {}
    for name, value in values.items():
        many = value if isinstance(value, list) else [value]
        if name in file_attributes(operation):
            if not all(isinstance(each, str) for each in many):
                raise ConfigError(f"{name} is no file")
        elif not (isinstance(value, str) and ("{{" in value or "{%" in value or name == "output_schema")):
            given[name] = many if name in list_attributes(operation) else value
    from pydantic import ValidationError

    try:
        _adapter(operation).validate_python(given)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors() if each["loc"]} & given.keys() - {"messages"}
        if wrong:
            raise ConfigError(f"{wrong}: {error}") from None


PARSERS = {"plugin": parse_plugin, "config": parse_config, "sheet": parse_sheet}


def accepted(kind: str, document: Mapping) -> bool:
    """Whether the parser takes it."""
    try:
        PARSERS[kind](document)
    except CallsheetError:
        return False
    return True


def tables(schema: Mapping, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    """The keys of every table that the schema closes, by the way to it."""
    found = {}
    if schema.get("type") == "array":
        return tables(schema["items"], (*path, "[]"))
    for each in schema.get("anyOf", []):
        found |= tables(each, path)
    if schema.get("properties") and (path or "$schema" in schema):
        found[path] = set(schema["properties"])
        for name, inner in schema["properties"].items():
            found |= tables(inner, (*path, name))
    if isinstance(schema.get("additionalProperties"), dict):
        found |= tables(schema["additionalProperties"], (*path, "acme"))
    return found


LEAST = {
    "plugin": {"api": 1, "provider": {"name": "acme"}},
    "config": {},
    "sheet": {"producers": {"acme": {"operation": "video.generate", "models": ["a:b"]}}},
}
"""Documents to put a wrong key into."""
ROWS = {"provider": "acme", "model": "m", "operation": "text.generate"}
NEEDED = {
    ("plugin", ("models", "[]")): {"model": "m", "operation": "text.generate"},
    ("plugin", ("models", "[]", "price", "[]")): {},
    ("plugin", ("provider",)): {"name": "acme"},
    ("config", ("models", "[]")): ROWS,
    ("sheet", ("producers", "acme")): {"operation": "video.generate", "models": ["a:b"]},
}
CLOSED = [(kind, path) for kind, schema in SHIPPED.items() for path in tables(schema)]


@pytest.mark.parametrize(
    ("kind", "path"), CLOSED, ids=lambda value: value if isinstance(value, str) else ".".join(value)
)
def test_each_table_has_the_keys_that_its_parser_knows(kind, path):
    """The parser's complaint about an unknown key lists them all."""
    keys = tables(SHIPPED[kind])[path]
    around: object = {**NEEDED.get((kind, path), {}), "zzzzzz": 1}
    for length in range(len(path), 0, -1):
        name = path[length - 1]
        around = [around] if name == "[]" else {**NEEDED.get((kind, path[: length - 1]), {}), name: around}
    document = {**LEAST[kind], **around}
    assert not VALIDATORS[kind].is_valid(document)
    with pytest.raises(CallsheetError) as caught:
        PARSERS[kind](document)
    found = KNOWN.search(str(caught.value))
    assert found, caught.value
    known = set(found[2].partition(";")[0].split(", "))
    if (kind, path) == ("sheet", ("producers", "acme")):
        known |= {name for operation in sheet.Operation for name in sheet.attribute_names(operation)}
    if (kind, path) == ("config", ("models", "[]")):
        known |= {"provider"}
    assert known == keys


GOOD = {
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": ("2026-08-01",),
    "^(https": ("https://api.example.com", "http://127.0.0.1:1/v1"),
    r"\S": ("mock:text",),
    "\\{[{%]": ("{{ inputs.n }}",),
}
"""Texts of forms that say less than the parser asks for."""
TEXTS = st.sampled_from(["x", "mock:text", "prompts/a.md", "16:9"])
WRONG = [True, 3, -1, 0.5, "some text", ["a"], [1], [{}]]


def texts(pattern: str) -> st.SearchStrategy[str]:
    """Texts of a form."""
    for beginning, values in GOOD.items():
        if pattern.startswith(beginning):
            return st.sampled_from(values)
    there = re.sub(r"\)\?\$$", ")$", pattern)  # an empty text is one that is not there
    return st.from_regex(there, fullmatch=True, alphabet=st.characters(codec="ascii")).filter(str.isprintable)


def values(schema: Mapping) -> st.SearchStrategy[object]:
    """What the schema takes; now and then, what it does not."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema and "type" not in schema:
        return st.one_of(*map(values, schema["anyOf"]))
    match schema.get("type"):
        case "object":
            return objects(schema)
        case "array":
            return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=2)
        case "string":
            return texts(schema["pattern"]) if "pattern" in schema else TEXTS
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", 1), min(schema.get("maximum", 9), 99))
        case "number":
            return st.floats(schema.get("minimum", 0), min(schema.get("maximum", 9), 99))
    return st.sampled_from(["x", 1])


@st.composite
def objects(draw, schema: Mapping) -> dict[str, object]:
    """A table: what must be in it, some of what may, and seldom a wrong key or value."""
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    names = sorted(required | draw(st.sets(st.sampled_from(sorted(properties)), max_size=3))) if properties else []
    drawn = {name: draw(values(properties[name])) for name in names}
    more = schema.get("additionalProperties")
    if isinstance(more, dict) or (schema.get("minProperties") and more is not False):
        for name in draw(st.sets(st.sampled_from(["acme", "other"]), min_size=1)):
            drawn[name] = draw(values(more))
    spoilt = draw(st.integers(0, 24))
    if spoilt == 1:
        drawn["zzzzzz"] = 1
    elif spoilt == 2 and names:
        drawn[draw(st.sampled_from(names))] = draw(st.sampled_from(WRONG))
    elif spoilt == 3 and names:
        del drawn[draw(st.sampled_from(names))]
    return drawn


many = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(data=st.data())
@pytest.mark.parametrize("kind", ["plugin", "config"])
def test_the_schema_and_the_parser_agree(kind, data):
    """Whatever stands in the file, both take it or both refuse it."""
    document = data.draw(objects(SHIPPED[kind]))
    assert VALIDATORS[kind].is_valid(document) == accepted(kind, document), list(VALIDATORS[kind].iter_errors(document))


@many
@given(data=st.data())
def test_what_the_schema_of_a_sheet_takes_the_parser_takes(data):
    """Keys and types; references, templates and files are looked at later, with the sheet's folder at hand."""
    document = data.draw(objects(SHIPPED["sheet"]))
    event("taken" if VALIDATORS["sheet"].is_valid(document) else "refused")
    if VALIDATORS["sheet"].is_valid(document):
        PARSERS["sheet"](document)


def documents() -> dict[str, tuple[str, str]]:
    """Every file of the repository and every block of its pages that is one of the three, with its kind."""
    found = {}
    for path in [*ROOT.glob("plugins/*/src/*/plugin.toml"), *ROOT.glob("examples/**/sheet.toml")]:
        found[path.relative_to(ROOT).as_posix()] = (path.stem, path.read_text())
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/docs.md")]:
        for number, text in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)):
            first = text.partition("\n")[0]
            named = "config" if first.startswith("# callsheet.toml") else "plugin" if "plugin.toml" in first else ""
            kind = "sheet" if "producers" in tomllib.loads(text) else named
            if kind:
                found[f"{page.relative_to(ROOT).as_posix()}:{number}"] = (kind, text)
    return found


@pytest.mark.parametrize(("kind", "text"), documents().values(), ids=list(documents()))
def test_all_files_of_the_repository_are_valid(kind, text):
    """An editor finds nothing wrong with what the pages, the examples and the plugins have."""
    document = json.loads(json.dumps(tomllib.loads(text), default=str))
    assert [error.message for error in VALIDATORS[kind].iter_errors(document)] == []


def neighbour(path: str) -> ModuleType:
    """Another test module, for its examples."""
    name = f"examples_of_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


REFUSED = re.compile("unknown key|is missing|is no operation|no producers")
BAD_SHEETS = neighbour("tests/test_bad_inputs.py").SHEETS


@pytest.mark.parametrize("text", [text for text, _ in BAD_SHEETS.values()], ids=list(BAD_SHEETS))
def test_keys_that_are_refused_are_marked(text):
    """Of all wrong sheets of the tests: where the parser misses a key or does not know one, so does the schema."""
    complaint = ""
    try:
        document = tomllib.loads(text)
        json.dumps(document, allow_nan=False)
        parse_sheet(document)
    except (ValueError, RecursionError, CallsheetError) as error:
        complaint = str(error)
    if not complaint or REFUSED.search(complaint):
        assert VALIDATORS["sheet"].is_valid(document) == (not complaint), complaint


PAGE = read("how-to/complete-in-an-editor.md")


@pytest.fixture
def workspace(folder):
    """A folder set up as the page says."""
    (folder / ".schemas").mkdir()
    for kind, file in re.findall(r"callsheet schema (\w+) > (\S+)", PAGE):
        shutil.copy(ROOT / f"core/src/callsheet/schemas/{kind}.json", folder / file)
    rules = next(text for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("# .taplo.toml"))
    (folder / ".taplo.toml").write_text(rules)
    return folder


def lint(file: str) -> str:
    """What the editors' own checker says of a file."""
    taplo = shutil.which("taplo", path=str(Path(sys.executable).parent))
    assert taplo, "taplo is a part of the test requirements"
    done = subprocess.run([taplo, "lint", "--colors", "never", file], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


GOOD_FILES = {
    "sheet.toml": ROOT / "examples/volcano/sheet.toml",
    "plugin.toml": ROOT / "plugins/openai/src/callsheet_openai/plugin.toml",
    "callsheet.toml": '[run]\nconcurrency = 4\n[retry.openai]\nseconds = 3\n[money]\nmax_day = "none"\n',
}


def test_the_editors_own_checker_takes_what_is_right(workspace):
    """Of each kind a file, found by its name."""
    for name, content in GOOD_FILES.items():
        (workspace / name).write_text(content if isinstance(content, str) else content.read_text())
        assert lint(name) == ""


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("callsheet.toml", "[run]\nconcurency = 4\n", "'concurency' was unexpected"),
        ("callsheet.toml", "[retry.openai]\nseconds = -1\n", "-1 is less than the minimum of 0.001"),
        ("plugin.toml", 'api = 1\nprovides = ["model"]\n', '"model" is not one of'),
        ("sheet.toml", '[producers.a]\noperation = "text.generate"\nmodels = ["a:b"]\nimage = "x.png"\n', "image"),
        ("sheet.toml", '[producers.a]\noperation = "text.generate"\n', '"models" is a required property'),
        ("own.toml", '#:schema ./.schemas/sheet.json\ntitle = 1\n[producers]\n', '1 is not of type "string"'),
    ],
)  # fmt: skip
def test_the_editors_own_checker_marks_what_is_wrong(workspace, name, text, told):
    """With a message that says what; also in a file that names its schema itself."""
    (workspace / name).write_text(text)
    assert told in lint(name)
