"""Call sheets: every wrong key or type is told with file, key and a near name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.expansion import expand
from callsheet.models import Operation
from callsheet.sheet import CallSheet

GOOD = """
title = "T"
[inputs]
topic = "lava"
n = 3
ratio = 0.5
on = false
list = ["a", "b"]
numbers = [1, 2]
table = { a = 1 }
[producers.script]
operation = "text.generate"
models = [{ ref = "openai:gpt-5", options = { effort = "low" }, inputs = { seed = 1 } }, "alias"]
prompt = "p"
options = { web_search = true }
[producers.still]
operation = "image.generate"
models = "mock:image"
for_each = 3
prompt = "{{ script }}"
pin = ["a.png", "b.png", "c.png"]
"""
ONE = '[producers.a]\noperation = "image.generate"\nmodels = ["mock:image"]\nprompt = "p"\n'


def load(folder: Path, text: str) -> CallSheet:
    """The sheet with this text."""
    (folder / "sheet.toml").write_text(text, encoding="utf-8")
    return CallSheet.load(folder)


def test_a_good_sheet(tmp_path: Path) -> None:
    """Everything a sheet may say ends up typed."""
    sheet = load(tmp_path, GOOD)
    script, still = sheet.producers["script"], sheet.producers["still"]
    assert (sheet.title, sheet.folder, sheet.inputs["n"]) == ("T", tmp_path.resolve(), 3)
    assert script.operation is Operation.TEXT_GENERATE
    assert [m.name for m in script.models] == ["openai:gpt-5", "alias"]
    assert (script.models[0].options, script.models[0].inputs) == ({"effort": "low"}, {"seed": 1})
    assert (script.inputs, script.options, script.for_each) == ({"prompt": "p"}, {"web_search": True}, "")
    assert (still.for_each, still.pin, still.models[0].name) == ("3", ("a.png", "b.png", "c.png"), "mock:image")


def test_json_says_the_same(tmp_path: Path) -> None:
    """A sheet in JSON equals the same sheet in TOML, and a file may be named directly."""
    import tomllib

    toml = load(tmp_path, GOOD)
    (tmp_path / "other.json").write_text(json.dumps(tomllib.loads(GOOD)), encoding="utf-8")
    other = CallSheet.load(tmp_path / "other.json")
    assert (other.title, other.inputs, other.producers) == (toml.title, toml.inputs, toml.producers)
    (tmp_path / "sheet.toml").unlink()
    (tmp_path / "other.json").rename(tmp_path / "sheet.json")
    assert CallSheet.load(tmp_path).producers == toml.producers


def test_where_there_is_no_sheet(tmp_path: Path) -> None:
    """An empty folder, no file, and a name that no file can have."""
    for path in (tmp_path, tmp_path / "absent.toml", Path("x\0y")):
        with pytest.raises(ConfigError, match=r"no sheet\.toml|no such call sheet"):
            CallSheet.load(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "sheet.toml: has no producers"),
        ("producers = 1", "sheet.toml: producers: wants a table, got int"),
        ("[producer.a]", "unknown key 'producer'; did you mean 'producers'"),
        ("title = 1\n" + ONE, "title: wants a text, got int"),
        ("inputs = []\n" + ONE, "inputs: wants a table"),
        ("producers.a = 1", "producers.a: wants a table"),
        ("[producers.a]", "producers.a.operation: is missing: one of text.generate"),
        (
            '[producers.a]\noperation = "image.generat"',
            "'image.generat' is no operation; did you mean 'image.generate'",
        ),
        ("[producers.a]\noperation = {}", "producers.a.operation: "),
        ('[producers.a]\noperation = "text.generate"', "producers.a.models: wants at least one model"),
        ('[producers.a]\noperation = "text.generate"\nmodels = []', "models: wants at least one"),
        ('[producers.a]\noperation = "text.generate"\nmodels = [1]', r"models\[0\]: wants a table"),
        ('[producers.a]\noperation = "text.generate"\nmodels = [" "]', r"models\[0\]: wants a model reference"),
        ('[producers.a]\noperation = "text.generate"\nmodels = ["m:"]', r"models\[0\]: 'm:' is not a model reference"),
        ('[producers.a]\noperation = "text.generate"\nmodels = [{ reff = "m:x" }]', "did you mean 'ref'"),
        ('[producers.a]\noperation = "text.generate"\nmodels = [{ ref = 1 }]', r"models\[0\].ref: wants a text"),
        (
            '[producers.a]\noperation = "text.generate"\nmodels = [{ ref = "m:x", inputs = { sed = 1 } }]',
            "did you mean 'seed'",
        ),
        ('[producers.a]\noperation = "text.generate"\nmodels = [{ ref = "m:x", options = 1 }]', r"models\[0\].options"),
        (ONE + "promt = 1", "producers.a: unknown key 'promt'; did you mean 'prompt'"),
        (ONE + "options = 1", "producers.a.options: wants a table"),
        (ONE + "for_each = 1.5", "producers.a.for_each: wants a text, got float"),
        (ONE + "for_each = true", "producers.a.for_each: wants a text, got bool"),
        (ONE + "pin = 1", "producers.a.pin: wants a file name"),
        (ONE + "pin = [1]", "producers.a.pin: wants a file name"),
        (ONE + ONE.replace(".a]", ".A]"), "'a' and 'A' differ only in case"),
        (ONE.replace(".a]", ".inputs]"), "'inputs' is no name for a producer"),
        (ONE.replace(".a]", ".Index]"), "'Index' is no name"),
        (ONE.replace(".a]", ".nul]"), "'nul' is no name"),
        (ONE.replace(".a]", ".not]"), "'not' is no name"),
        (ONE.replace(".a]", '."../a"]'), "is no name for a producer"),
        (ONE.replace(".a]", '.""]'), "is no name for a producer"),
        (ONE.replace(".a]", '."é"]'), "is no name for a producer"),
        (ONE.replace(".a]", f".{'a' * 65}]"), "is no name for a producer"),
        (ONE + "temperature = nan", "nan is no number"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, told: str) -> None:
    """Each mistake has its file, its key, and a way out."""
    with pytest.raises(ConfigError, match=told) as caught:
        load(tmp_path, text)
    assert "sheet.toml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """A name with an escape sequence is shown escaped."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, ONE.replace(".a]", '."\\u001b[2J"]'))
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n", "5", 5),
        ("ratio", "2", 2.0),
        ("on", "True", True),
        ("topic", "7", "7"),
        ("list", " x, y ,", ["x", "y"]),
        ("list", "", []),
        ("list", '["x, y"]', ["x, y"]),
        ("numbers", "3,4", [3, 4]),
        ("table", '{"a": 2}', {"a": 2}),
        ("n", 9, 9),
    ],
)
def test_other_inputs(tmp_path: Path, name: str, text: object, value: object) -> None:
    """A command line's text becomes what the sheet's own value is; the sheet itself stays."""
    sheet = load(tmp_path, GOOD)
    before = dict(sheet.inputs)
    changed = sheet.with_inputs({name: text}).inputs[name]
    assert changed == value
    assert type(changed) is type(value)
    assert sheet.inputs == before


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("topik", "x", "no input 'topik'; did you mean 'topic'"),
        ("n", "many", "inputs.n: wants int, got 'many'"),
        ("n", "9" * 5000, "inputs.n: wants int"),
        ("ratio", "nan", "inputs.ratio: nan is no number"),
        ("on", "perhaps", "inputs.on: wants bool"),
        ("numbers", "1,x", "inputs.numbers: wants int"),
        ("table", "x", "inputs.table: wants a table"),
        ("table", "{", "inputs.table: line 1"),
    ],
)
def test_wrong_inputs(tmp_path: Path, name: str, text: str, told: str) -> None:
    """An unknown input has a near name, and a wrong value names the input."""
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, GOOD).with_inputs({name: text})


def test_other_models(tmp_path: Path) -> None:
    """The chosen model stands alone, with its own options if the sheet lists it."""
    sheet = load(tmp_path, GOOD)
    assert [m.name for m in sheet.with_models({"script": "x:y"}).producers["script"].models] == ["x:y"]
    chosen = sheet.with_models({"script": "openai:gpt-5"}).producers["script"]
    assert chosen.models == sheet.producers["script"].models[:1]
    with pytest.raises(ConfigError, match="no producer 'scrip'; did you mean 'script'"):
        sheet.with_models({"scrip": "x:y"})


KEYS = st.sampled_from(
    ["operation", "models", "prompt", "for_each", "pin", "options", "image", "images", "output_schema", "ref", "x"]
)
TEXTS = st.sampled_from(
    [
        "image.generate",
        "text.generate",
        "mock:x",
        "a",
        "a[index]",
        "b[index-1]",
        "{{ a }}",
        "{{ inputs.n",
        "inputs.n",
        "x.md",
        "../x.md",
    ]
) | st.text(max_size=5)
SCALARS = TEXTS | st.integers() | st.booleans() | st.floats() | st.none() | st.text("9", min_size=39, max_size=400)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS | TEXTS, v, max_size=3), max_leaves=6
)
PRODUCER = st.fixed_dictionaries(
    {"operation": st.sampled_from(["image.generate", "text.generate", "video.generate"]), "models": st.just(["m:x"])},
    optional={
        "prompt": SCALARS, "for_each": VALUES, "image": VALUES, "images": VALUES, "options": VALUES, "pin": VALUES,
        "output_schema": VALUES, "messages": VALUES,
    },
)  # fmt: skip
SHEETS = st.fixed_dictionaries(
    {"producers": st.dictionaries(st.sampled_from(["a", "b", "c"]), PRODUCER, min_size=1)},
    optional={"inputs": st.dictionaries(st.sampled_from(["n", "l"]), VALUES), "title": SCALARS},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a test."""
    return tmp_path_factory.mktemp("sheets")


@settings(max_examples=300, deadline=None)
@given(data=SHEETS | VALUES)
def test_any_data_is_a_sheet_or_a_config_error(folder: Path, data: object) -> None:
    """Whatever stands in the file, loading and expanding it raises ConfigError at most."""
    path = folder / "any.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    try:
        expansion = expand(CallSheet.load(path), folder)
    except ConfigError as error:
        told = str(error)
        assert "any.json" in told
    else:
        assert set(expansion.producers) == set(data["producers"])  # type: ignore[index]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=80) | st.text("[]{}=.'\"#ab1\n", max_size=40).map(str.encode))
def test_any_bytes_are_a_sheet_or_a_config_error(folder: Path, data: bytes) -> None:
    """Not even bytes that are no text get through as another error."""
    path = folder / "any.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"any\.toml"):
        CallSheet.load(path)


@pytest.mark.parametrize("refusal", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_sheet_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: OSError) -> None:
    """Missing permission or a broken disk is told as such (root may read everything, so it is played)."""
    (tmp_path / "sheet.toml").write_text(ONE)

    def refuse(self: Path, *_: object, **__: object) -> str:
        raise refusal

    for reader in ("open", "read_text", "read_bytes"):
        monkeypatch.setattr(Path, reader, refuse)
    with pytest.raises(ConfigError, match=f"cannot be read: {refusal.strerror}"):
        CallSheet.load(tmp_path)
