"""Attributes compiled and evaluated for one cell: templates, references, files, options and schemas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from callsheet.artifacts import Artifact, BlobArtifact, FileRef, JsonArtifact, TextArtifact
from callsheet.bindings import Scope, compile_producer, evaluate, values_for
from callsheet.errors import ConfigError
from callsheet.expansion import expand
from callsheet.sheet import CallSheet

PNG = FileRef("aa" * 32, "image/png", 3, "a.png")
OTHER = FileRef("bb" * 32, "image/png", 3, "b.png")
PHOTO = FileRef("cc" * 32, "image/png", 3, "photo.png")
RESULTS: dict[str, tuple[Artifact, ...]] = {
    "script": (JsonArtifact({"title": "T", "n": 2, "parts": ["x", "y"]}),),
    "text": (TextArtifact("some text"),),
    "still[0]": (BlobArtifact(PNG), BlobArtifact(OTHER)),
    "still[1]": (BlobArtifact(OTHER),),
}
SHEET = """
[inputs]
n = 3
photo = "photo.png"
photos = ["photo.png", "more.png"]
[producers.script]
operation = "text.generate"
models = ["m:x"]
prompt = "p"
output_schema = { type = "object" }
[producers.text]
operation = "text.generate"
models = ["m:x"]
prompt = "p"
[producers.still]
operation = "image.generate"
models = ["m:x"]
for_each = 2
prompt = "p"
[producers.it]
models = ["m:x"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with prompts, schemas and pictures."""
    (tmp_path / "prompt.md").write_text("\ufeffAbout {{ script.title }}\n", encoding="utf-8")
    (tmp_path / "schema.json").write_text('{"maxItems": "{{ inputs.n }}", "description": "{{ inputs.n }} items"}')
    for name in ("photo.png", "more.png"):
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, lines: str) -> CallSheet:
    """The sheet with the producer `it` under test."""
    operation = "" if "operation" in lines else 'operation = "video.generate"\n'
    (folder / "sheet.toml").write_text(SHEET + operation + lines, encoding="utf-8")
    return CallSheet.load(folder)


def values(
    folder: Path, lines: str, *, index: int | None = None, results: Mapping[str, tuple[Artifact, ...]] = RESULTS
) -> dict[str, object]:
    """The attribute values of `it` for one cell; options stand under `options`."""
    sheet = load(folder, lines)
    compiled = compile_producer(sheet, sheet.producers["it"], folder)
    sizes = {"script": None, "text": None, "still": 2, "it": None}
    files = {(folder / "photo.png").resolve(): PHOTO, (folder / "more.png").resolve(): OTHER}
    scope = Scope(sheet.inputs, index, sizes, results, files, sheet.folder, folder)
    choice = compiled.choices[0]
    options = {name: evaluate(binding, scope, f"it.options.{name}") for name, binding in choice.options.items()}
    return {
        **values_for(choice, scope, sheet.producers["it"].operation, "it"),
        **({"options": options} if options else {}),
    }


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('prompt = "prompt.md"', "About T"),
        ('prompt = "{{ text }}"', "some text"),
        ('prompt = "{{ script.parts }}"', '["x", "y"]'),
        ('prompt = "{{ script.n }}"', "2"),
        ('duration = "{{ script.n * 1.5 }}"', 3.0),
        ("duration = 4", 4),
        ('image = "still[index]"', OTHER),
        ('image = "still[0]"', PNG),
        ('image = "still[index-1]"', PNG),
        ('image = "photo.png"', PHOTO),
        ('image = "inputs.photo"', PHOTO),
        ('image = "inputs.photos[index]"', OTHER),
        ('image = "inputs.photos[0]"', PHOTO),
        ('images = "still"', (PNG, OTHER)),
        ('images = "still[0].all"', (PNG, OTHER)),
        ('images = "still.all"', (PNG, OTHER, OTHER)),
        ('images = ["still[1]", "photo.png", "inputs.photos"]', (OTHER, PHOTO, PHOTO, OTHER)),
    ],
)
def test_values(folder: Path, line: str, value: object) -> None:
    """Templates give text or numbers, file attributes files by reference, name or input."""
    name = line.partition(" ")[0]
    found = values(folder, line, index=1)[name]
    assert found == value
    assert type(found) is type(value)


def test_options_keep_their_types(folder: Path) -> None:
    """Options are JSON of any depth with templates in it; one expression keeps its type, lists are plain lists."""
    lines = """options = { n = "{{ inputs.n }}", text = "{{ inputs.n }} of {{ text }}", deep = [{ x = "{{ script.parts }}" }],
        flag = true, list = "{{ inputs.photos }}", index = "{{ index }}" }"""
    assert values(folder, lines.replace("\n", " "), index=1)["options"] == {
        "n": 3,
        "text": "3 of some text",
        "deep": [{"x": ["x", "y"]}],
        "flag": True,
        "list": ["photo.png", "more.png"],
        "index": 1,
    }


def test_schemas_use_inputs(folder: Path) -> None:
    """A schema's `{{ inputs.n }}` becomes the number."""
    found = values(folder, 'operation = "text.generate"\nprompt = "p"\noutput_schema = "schema.json"')
    assert found["output_schema"] == {"maxItems": 3, "description": "3 items"}


def test_templates_inside_of_messages(folder: Path) -> None:
    """A conversation's texts are templates too."""
    lines = (
        'operation = "text.generate"\nmessages = [{ role = "user", parts = [{ kind = "text", text = "{{ text }}!" }] }]'
    )
    assert values(folder, lines)["messages"] == [{"role": "user", "parts": [{"kind": "text", "text": "some text!"}]}]


def test_lists_of_texts(folder: Path) -> None:
    """A list of texts is given item by item, or by one expression that is a list."""
    lines = 'operation = "text.embed"\ntexts = ["{{ text }}", "b"]'
    assert values(folder, lines)["texts"] == ["some text", "b"]
    assert values(folder, 'operation = "text.embed"\ntexts = "{{ script.parts }}"')["texts"] == ["x", "y"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('image = "text"', "it.image: text is text, not a file"),
        ('image = "script"', "it.image: script is json, not a file"),
        ('image = "still"', "it.image: takes one file, got 2"),
        ('image = "still[index+5]"', r"it.image: still\[6\] has no result here"),
        ('image = "inputs.photos[7]"', "inputs.photos has no item 7"),
        ('prompt = "{{ still[0] }}"', r"still\[0\] is a image/png file: give it to a file attribute"),
        ('prompt = "{{ still }}"', "give it to a file attribute"),
        ('prompt = "{{ still | join }}"', "give it to a file attribute"),
        ('options = { x = "{{ still }}" }', "give it to a file attribute"),
        ('prompt = "{{ it }}"', "it has no result here"),
        (
            'operation = "text.generate"\nprompt = "p"\noutput_schema = { type = "nope" }',
            "output_schema: is no JSON Schema",
        ),
        (
            'operation = "text.generate"\nprompt = "p"\noutput_schema = { "$ref" = "https://example.com/x.json" }',
            "output_schema: is no JSON Schema",
        ),
    ],
)
def test_wrong_values(folder: Path, line: str, told: str) -> None:
    """What is missing, or of the wrong kind, is told before a request is made."""
    with pytest.raises(ConfigError, match=told):
        values(folder, line, index=1)


def test_index_outside_of_for_each(folder: Path) -> None:
    """`index` without for_each says what it is for."""
    with pytest.raises(ConfigError, match="`index` is for producers with for_each"):
        values(folder, 'prompt = "{{ index }}"')


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('prompt = "absent.md"', r"sheet.toml: producers.it.prompt: there is no file 'absent.md'"),
        ('prompt = "../x.md"', "outside of the project"),
        ('prompt = "{{ scrpt }}"', "producers.it.prompt: .*did you mean 'script'"),
        ('prompt = "{{ inputs.m }}"', "producers.it.prompt: .*inputs.m"),
        ('image = "stil[index]"', "'stil.index.' is neither a producer"),
        ("image = 1", "producers.it.image: wants a reference"),
        ('image = "inputs.nothing"', "there is no input 'nothing'"),
        ('image = "absent.png"', "there is no file 'absent.png'"),
        ('image = "../../x.png"', "outside of the project"),
        ('options = { a = { b = "{{ x" } }', "producers.it.options.a.b: line 1"),
        ('operation = "text.generate"\nprompt = "p"\noutput_schema = 1', "output_schema: wants a JSON Schema"),
        ('operation = "text.generate"\nprompt = "p"\noutput_schema = "absent.json"', "there is no file"),
        ('operation = "text.generate"\nprompt = "p"\noutput_schema = { a = "{{ script }}" }', "unknown name 'script'"),
    ],
)
def test_mistakes_are_found_when_the_sheet_is_read(folder: Path, line: str, told: str) -> None:
    """Names, files and syntax are checked before any job runs, with file and key."""
    with pytest.raises(ConfigError, match=told):
        expand(load(folder, line), folder)


def test_a_template_file_names_itself(folder: Path) -> None:
    """A mistake in a prompt's file is told with the file."""
    (folder / "bad.md").write_text("a\n{{ nothing }}")
    with pytest.raises(ConfigError, match=r"producers.it.prompt: bad.md: the template uses the unknown name 'nothing'"):
        expand(load(folder, 'prompt = "bad.md"'), folder)
