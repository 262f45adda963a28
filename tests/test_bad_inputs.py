"""Bad input gets one clear message: what is wrong, where, and what to do. Nothing is sent, nothing is written elsewhere."""

from __future__ import annotations

import json

import pytest

from callsheet.cli import main

GOOD = """
[inputs]
n = 2
topic = "lava"
photo = "photo.png"
[producers.a]
operation = "text.generate"
models = ["mock:text"]
prompt = "about {{ inputs.topic }}"
[producers.p]
operation = "image.generate"
models = ["mock:image"]
for_each = "inputs.n"
prompt = "{{ a }} {{ index }}"
[producers.v]
operation = "video.generate"
models = ["mock:video"]
for_each = "p"
image = "p[index]"
duration = 2
"""
DEEP = "[" * 200 + "]" * 200


def changed(old, new):
    """The good sheet with one change."""
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


SHEETS = {
    # the document
    "no toml": ("x = = 1", ["sheet.toml", "line 1"]),
    "unclosed table": ("[producers.a\n", ["sheet.toml", "line 1"]),
    "empty": ("", ["sheet.toml", "[producers.NAME]"]),
    "no producers": ('title = "x"', ["sheet.toml", "[producers.NAME]"]),
    "duplicate key": (GOOD + 'prompt = "1"\nprompt = "2"', ["sheet.toml"]),
    "deep": (GOOD + f"\n[producers.v.options]\nx = {DEEP}", ["sheet.toml", "deep"]),
    "long number": (changed("n = 2", "n = " + "9" * 5000), ["sheet.toml", "digits"]),
    "nan": (changed("duration = 2", "duration = nan"), ["sheet.toml"]),
    "infinity": (changed("duration = 2", "duration = inf"), ["sheet.toml"]),
    "unknown top key": ("titel = 1\n" + GOOD, ["sheet.toml", "titel", "did you mean 'title'"]),
    "title is a number": ("title = 1\n" + GOOD, ["title", "text"]),
    "inputs is a list": ("inputs = [1]\n" + GOOD.replace("[inputs]\n", "[x]\n"), ["sheet.toml"]),
    "producers is a text": ('producers = "x"', ["producers", "table"]),
    # producers
    "name with a space": (changed("[producers.a]", '[producers."a b"]'), ["a b", "letters"]),
    "name with a path": (changed("[producers.a]", '[producers."../a"]'), ["../a", "letters"]),
    "reserved name": (changed("[producers.a]", "[producers.index]"), ["index", "reserved"]),
    "names that differ in case": (
        GOOD + GOOD[GOOD.index("[producers.a]") : GOOD.index("[producers.p]")].replace("producers.a", "producers.A"),
        ["differ only in case"],
    ),
    "unknown key": (changed('prompt = "about', 'promt = "about'), ["producers.a", "promt", "did you mean 'prompt'"]),
    "no operation": (changed('operation = "text.generate"\n', ""), ["producers.a.operation", "missing"]),
    "wrong operation": (changed("text.generate", "text.genrate"), ["text.genrate", "did you mean 'text.generate'"]),
    "operation is a list": (changed('"text.generate"', '["text.generate"]'), ["producers.a.operation"]),
    # models
    "no models": (changed('models = ["mock:text"]\n', ""), ["producers.a.models", "at least one"]),
    "empty models": (changed('["mock:text"]', "[]"), ["producers.a.models", "at least one"]),
    "model is a number": (changed('["mock:text"]', "[1]"), ["producers.a.models[0]"]),
    "model without provider": (changed("mock:text", ":text"), ["producers.a.models[0]", "provider:model"]),
    "unknown alias": (changed("mock:text", "mocktext"), ["producers.a.models[0]", "mocktext"]),
    "unknown model": (changed("mock:text", "mock:txet"), ["producers.a.models[0]", "mock:text"]),
    "unknown provider": (changed("mock:text", "nobody:x"), ["producers.a.models[0]", "nobody"]),
    "not installed": (changed("mock:text", "gemini:flash"), ["producers.a.models[0]", "pip install callsheet-gemini"]),
    "model of another operation": (changed("mock:text", "mock:image"), ["producers.a.models[0]", "image.generate"]),
    "unknown key of a model": (changed('"mock:text"', '{ ref = "mock:text", option = {} }'), ["option", "options"]),
    "model options are a list": (changed('"mock:text"', '{ ref = "mock:text", options = [] }'), ["options", "table"]),
    "no environment yet": (changed("mock:text", "openai:gpt-5@cloud"), ["producers.a.models[0]"]),
    "control character in a model": (changed("mock:text", "mock:te\\u001bxt"), ["producers.a.models[0]"]),
    # for_each
    "for_each of nothing": (changed("inputs.n", "inputs.m"), ["producers.p.for_each", "inputs.n"]),
    "for_each of a text": (changed("inputs.n", "inputs.topic"), ["producers.p.for_each", "whole number"]),
    "for_each below zero": (changed("n = 2", "n = -1"), ["producers.p.for_each"]),
    "for_each of a single one": (changed('for_each = "p"', 'for_each = "a"'), ["producers.v.for_each", "made once"]),
    "for_each in a circle": (changed("inputs.n", "v"), ["circle"]),
    "far too many": (changed("n = 2", "n = 2000000"), ["1,000,000"]),
    # references and templates
    "unknown reference": (changed("p[index]", "q[index]"), ["producers.v.image", "q[index]"]),
    "index out of range": (changed("p[index]", "p[7]"), ["p[7]", "0 to 1"]),
    "text as a file": (changed("p[index]", "a"), ["v"]),
    "many files for one": (changed('"p[index]"', '"p"'), ["producers.v"]),
    "missing file": (changed('"p[index]"', '"pictures/x.png"'), ["producers.v.image", "pictures/x.png"]),
    "file outside": (changed('"p[index]"', '"../../secret.png"'), ["producers.v.image", "outside"]),
    "absolute file": (changed('"p[index]"', '"/etc/passwd"'), ["producers.v.image", "outside"]),
    "missing prompt file": (changed('"about {{ inputs.topic }}"', '"prompts/a.md"'), ["prompts/a.md"]),
    "unknown name": (changed("inputs.topic", "topics"), ["topics", "inputs"]),
    "unknown input": (changed("inputs.topic", "inputs.topci"), ["topci"]),
    "broken template": (changed("{{ inputs.topic }}", "{{ inputs.topic"), ["producers.a.prompt"]),
    "include": (changed("{{ inputs.topic }}", "{% include 'x' %}"), ["producers.a.prompt"]),
    "unknown filter": (changed("inputs.topic", "inputs.topic | shout"), ["shout"]),
    "circle": (changed("{{ inputs.topic }}", "{{ v[0] }}"), ["circle"]),
    "index in a single one": (changed("{{ inputs.topic }}", "{{ p[index] }}"), ["index"]),
    # attributes
    "wrong duration": (changed("duration = 2", 'duration = "long"'), ["duration"]),
    "duration of zero": (changed("duration = 2", "duration = 0"), ["duration", "above 0"]),
    "wrong size": (changed("duration = 2", 'size = "large"'), ["size", "WIDTHxHEIGHT"]),
    "wrong ratio": (changed("duration = 2", 'aspect_ratio = "wide"'), ["aspect_ratio", "W:H"]),
    "option the model does not know": (GOOD + "[producers.v.options]\nlatncy = 1\n", ["latncy"]),
    "schema that is no schema": (
        changed('prompt = "about', 'output_schema = { type = 7 }\nprompt = "about'),
        ["schema"],
    ),
    "schema file missing": (changed('prompt = "about', 'output_schema = "s.json"\nprompt = "about'), ["s.json"]),
    # pins
    "pin missing": (changed('prompt = "about', 'pin = "a.txt"\nprompt = "about'), ["producers.a.pin", "a.txt"]),
    "one pin for many": (
        changed('for_each = "inputs.n"', 'for_each = "inputs.n"\npin = "x.png"'),
        ["producers.p.pin", "2 files"],
    ),
    "pin is a number": (changed('prompt = "about', 'pin = 1\nprompt = "about'), ["producers.a.pin"]),
}
CONFIGS = {
    "config no toml": ("[run\n", ["callsheet.toml", "line 1"]),
    "config unknown table": ("[runs]\n", ["callsheet.toml", "runs", "run"]),
    "config unknown key": ("[run]\nconcurency = 1\n", ["callsheet.toml", "concurrency"]),
    "config wrong number": ("[run]\nconcurrency = 0\n", ["callsheet.toml", "concurrency", "1 to 1000"]),
    "config secret": ('[providers.x]\napi_key = "sk-123"\n', ["callsheet.toml", "environment"]),
    "config url": ('[providers.x]\nbase_url = "ftp://x"\n', ["callsheet.toml", "base_url"]),
    "config alias": ('[aliases]\n"he:ro" = "mock:text"\n', ["callsheet.toml", "he:ro"]),
    "config model": ('[[models]]\nmodel = "x"\n', ["callsheet.toml", "provider"]),
}
COMMANDS = {
    "no such sheet": (["run", "elsewhere"], ["elsewhere"]),
    "input without a value": (["run", ".", "--input", "n"], ["--input"]),
    "unknown input": (["run", ".", "--input", "m=1"], ["m"]),
    "input of a wrong type": (["run", ".", "--input", "n=many"], ["inputs.n"]),
    "model without a value": (["run", ".", "--model", "a"], ["--model"]),
    "model of an unknown producer": (["run", ".", "--model", "b=mock:text"], ["b"]),
    "unknown model chosen": (["run", ".", "--model", "a=mock:txet"], ["mock:text"]),
    "unknown producer mocked": (["run", ".", "--mock", "b"], ["b"]),
    "unknown mode": (["run", ".", "--mode", "moc"], ["--mode"]),
    "output is a file": (["run", ".", "-o", "sheet.toml"], ["sheet.toml", "folder"]),
    "output is somebody's": (["run", ".", "-o", "mine"], ["mine", "empty or new folder"]),
    "unknown run": (["resume", "ffff"], ["project", "--project"]),
    "broken receipt": (["resume", "broken.json"], ["broken.json"]),
    "unknown option": (["run", ".", "--max-costs", "1"], ["--max-costs"]),
    "call of nothing": (["call", "mock:txet", "-p", "prompt=x"], ["mock:text"]),
    "call without a prompt": (["call", "mock:text"], ["prompt"]),
    "call with a wrong attribute": (["call", "mock:image", "-p", "prompt=x", "-p", "sise=1x1"], ["sise", "size"]),
    "call with a missing file": (["call", "mock:video", "-p", "image=no.png"], ["no.png"]),
}


@pytest.fixture
def project(folder):
    """A good sheet in the working folder, a photo, and a folder of somebody else's."""
    (folder / "callsheet.toml").write_text("")
    (folder / "sheet.toml").write_text(GOOD)
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (folder / "broken.json").write_text('{"version": ')
    (folder / "mine").mkdir()
    (folder / "mine/thesis.txt").write_text("years of work")
    return folder


def files_below(folder):
    """Everything but callsheet's own state, with its content."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".callsheet" not in p.parts}


def refused(capfd, project, arguments, said):
    """Run the command: one message with all of `said`, exit code 2 or 3, no traceback, nothing sent or written."""
    before = files_below(project)
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    assert ended.value.code in (2, 3), err
    assert "Traceback" not in out + err
    assert out == ""
    assert len(err) < 1500
    for word in said:
        assert word in err, err
    assert all(c.isprintable() or c == "\n" for c in err)
    assert files_below(project) == before
    assert not list(project.rglob("journal.jsonl"))


@pytest.mark.parametrize("name", SHEETS)
def test_a_bad_sheet(name, project, capfd):
    """Wrong documents, producers, models, references, templates, attributes and pins."""
    text, said = SHEETS[name]
    (project / "sheet.toml").write_text(text)
    refused(capfd, project, ["run", "."], said)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_configuration(name, project, capfd):
    """`callsheet.toml`, by file, key and remedy."""
    text, said = CONFIGS[name]
    (project / "callsheet.toml").write_text(text)
    refused(capfd, project, ["run", "."], said)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_command_line(name, project, capfd):
    """Wrong arguments, inputs, files and folders."""
    arguments, said = COMMANDS[name]
    refused(capfd, project, arguments, said)


def test_a_huge_sheet_is_refused_by_its_size(project, capfd):
    """Before it is parsed."""
    (project / "sheet.toml").write_text("# " + "x" * (5 << 20) + GOOD)
    refused(capfd, project, ["run", "."], ["sheet.toml", "4 MiB"])


@pytest.mark.parametrize("data", [b"\xff\xfe\x00x", b"\x00" * 20, "prompt = 'é".encode("latin-1")])
def test_a_sheet_that_is_no_text(data, project, capfd):
    """Binary files and other encodings."""
    (project / "sheet.toml").write_bytes(data)
    refused(capfd, project, ["run", "."], ["sheet.toml"])


def test_a_link_out_of_the_project(project, tmp_path, capfd):
    """A link does not make a file one of the project's."""
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (project / "link.png").symlink_to(tmp_path / "secret.png")
    (project / "sheet.toml").write_text(changed('"p[index]"', '"link.png"'))
    refused(capfd, project, ["run", "."], ["producers.v.image", "outside"])


def test_with_json_the_error_is_one_document(project, capfd):
    """For programs: on stdout, with kind, producer and message."""
    (project / "sheet.toml").write_text(changed("mock:text", "mock:txet"))
    with pytest.raises(SystemExit) as ended:
        main(["run", ".", "--json"])
    error = json.loads(capfd.readouterr().out)["error"]
    assert (ended.value.code, error["kind"], error["sent"]) == (2, "config", "not_sent")
    assert "mock:text" in error["message"]


def test_there_are_enough_of_them():
    """At least sixty bad inputs."""
    assert len(SHEETS) + len(CONFIGS) + len(COMMANDS) + 5 >= 60
