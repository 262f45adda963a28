"""`callsheet model add` and `model diff`, with a provider that describes its models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

DRAW_TOML = """
api = 1
provides = ["models"]

[provider]
name = "draw"
secrets = ["DRAW_KEY"]

[[models]]
model = "pencil"
operation = "image.generate"
price = [{ per = "image", usd = 1, as_of = "2026-11-01", source = "draw.test" }]
"""

DRAW_CODE = """
import json
from pathlib import Path
from callsheet.plugin import (BlobArtifact, Expected, HandlerSpec, JobResult, ModelDescription, ModelNotFoundError,
    ProviderRequest, Sent, hookimpl, input_schema)


class Drawings:
    def prepare(self, job):
        body = {field: getattr(job.inputs, name) for name, field in job.model.inputs.items()} | dict(job.options)
        body = {field: value for field, value in body.items() if value is not None}
        problem = input_schema(job.model).problem(body)
        assert not problem, problem
        return ProviderRequest(job.ref, job.operation, body, (Expected("blob", "image/png"),))

    async def invoke(self, request, context):
        data = b"\\x89PNG\\r\\n\\x1a\\n" + json.dumps(dict(request.body)).encode()
        return JobResult((BlobArtifact(await context.store(data, "image/png")),))

    async def fetch_model(self, model, context):
        key = await context.secrets.require("DRAW_KEY")
        known = json.loads(Path("vendor.json").read_text())
        if model not in known:
            raise ModelNotFoundError(f"draw:{model} is not there", sent=Sent.REJECTED)
        if known[model] == "crash":
            raise RuntimeError(f"no luck with {key.reveal()}")
        return known[model]

    def describe_model(self, model, document):
        if document == {}:
            return None
        inputs = {"prompt": "words", "seed": "seed"}
        row = {"model": model, "operation": "image.generate", "inputs": inputs, "output": "image/png"}
        return ModelDescription(row | {"revision": document["version"]}, document["takes"], ("all of it was guessed",))


@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec("draw", Drawings)]
"""

TAKES = {"required": ["words"], "properties": {"words": {"type": "string"}, "seed": {"type": "integer", "maximum": 9}}}
INK = {"version": "v1", "takes": {"type": "object", "additionalProperties": False, **TAKES}}
KEY = "draw-secret-0123456789"
ROW = Path("models/draw/studio_ink.toml")


@pytest.fixture
def vendor(site, toy, tmp_path, monkeypatch):
    """Says what the vendor tells of its models; the working folder is a project."""
    site.install("callsheet-draw", toml=DRAW_TOML, code=DRAW_CODE, entry_name="draw")
    monkeypatch.setenv("CALLSHEET_PLUGINS", "toy,draw")
    monkeypatch.setenv("DRAW_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Path("callsheet.toml").write_text("")

    def tell(**models: object) -> None:
        Path("vendor.json").write_text(json.dumps({f"studio/{name}": each for name, each in models.items()}))

    tell(ink=INK)
    return tell


def changed(**changes: object) -> dict[str, object]:
    """The vendor's description after a change of fields, in its next version."""
    return {"version": "v2", "takes": {**INK["takes"], "properties": {**TAKES["properties"], **changes}}}


def test_add_and_everything_knows_it(cli, vendor):
    """The list, the details, a call by its alias, and a sheet."""
    ended = cli("model", "add", "draw", "studio/ink", "--as", "ink")
    assert ended.code == 0, ended.err
    for told in ("draw:studio/ink", "image.generate", "prompt     words", "v1"):
        assert told in ended.out
    assert "note: all of it was guessed" in ended.err
    assert f"{ROW}" in ended.err
    rows = cli("models", "ink", "--json").document
    assert ([row["ref"] for row in rows["models"]], rows["problems"]) == (["draw:studio/ink"], [])
    shown = cli("model", "show", "ink", "--json").document
    assert (shown["revision"], shown["schema"]["properties"]) == ("v1", TAKES["properties"])
    assert cli("call", "ink", "-p", "prompt=a line", "--option", "seed=3", "-o", "line.png").code == 0
    assert b'{"words": "a line", "seed": 3}' in Path("line.png").read_bytes()
    assert "seed: 10 is" in cli("call", "ink", "-p", "prompt=a line", "--option", "seed=10").err
    Path("sheet.toml").write_text(
        'title = "t"\n[producers.p]\noperation = "image.generate"\nmodels = ["ink"]\nprompt = "dots"\n'
    )
    assert cli("run", ".").code == 0
    assert b"dots" in Path("output/p.png").read_bytes()


def test_the_list_imports_nothing(cli, vendor):
    """One's own rows are data, too."""
    cli("model", "add", "draw", "studio/ink")
    for name in [name for name in sys.modules if name.startswith("callsheet_draw")]:
        del sys.modules[name]
    assert "draw:studio/ink" in cli("models").out
    assert "callsheet_draw" not in sys.modules


def test_json_and_dry_run(cli, vendor):
    """The same document; only one of them writes."""
    dry = cli("model", "add", "draw", "studio/ink", "--dry-run", "--json").document
    assert not Path("models").exists()
    wet = cli("model", "add", "draw", "studio/ink", "--json").document
    assert (dry.pop("written"), wet.pop("written")) == (False, True)
    assert dry == wet
    assert set(wet) == {"ref", "row", "schema", "notes", "files"}
    assert [Path(file).name for file in wet["files"]] == ["studio_ink.toml", "studio_ink.json"]
    assert wet["row"]["digest"].startswith("sha256:")
    assert "would be written" in cli("model", "add", "draw", "studio/ink", "--dry-run").err


def test_from_a_file_nothing_is_asked(cli, vendor, monkeypatch):
    """No key, no network: `fetch_model` is not called."""
    Path("vendor.json").unlink()
    monkeypatch.delenv("DRAW_KEY")
    Path("ink.json").write_text(json.dumps(INK))
    assert cli("model", "add", "draw", "studio/ink", "--from", "ink.json").code == 0
    assert cli("model", "diff", "draw:studio/ink", "--from", "ink.json").code == 0
    assert ROW.is_file()


def test_for_the_user_or_for_the_project(cli, vendor, tmp_path):
    """The project's row wins; without a callsheet.toml, a note says who knows the row."""
    assert cli("model", "add", "draw", "studio/ink", "--user").code == 0
    assert (tmp_path / "config/callsheet/models/draw/studio_ink.toml").is_file()
    assert cli("models", "ink", "--json").document["models"][0]["ref"] == "draw:studio/ink"
    assert "note:" not in cli("model", "add", "draw", "studio/ink", "--as", "mine").err.replace("note: all", "")
    assert cli("models", "ink", "--json").document["models"][0]["aliases"] == ["mine"]
    assert "models/draw wins in this project" in cli("model", "add", "draw", "studio/ink", "--user", "--force").err
    Path("callsheet.toml").unlink()
    assert "there is no callsheet.toml in" in cli("model", "add", "draw", "studio/ink", "--force").err


def test_overwriting_takes_force(cli, vendor):
    """What was there stays otherwise."""
    assert cli("model", "add", "draw", "studio/ink").code == 0
    vendor(ink=changed())
    ended = cli("model", "add", "draw", "studio/ink")
    assert (ended.code, "--force writes it anew" in ended.err) == (2, True)
    assert 'revision = "v1"' in ROW.read_text()
    with ROW.open("a") as file:
        file.write('price = [{ per = "image", usd = 0.5, as_of = 2026-11-01, source = "draw.test" }]\n')
    document = cli("model", "add", "draw", "studio/ink", "--force", "--json").document
    assert (document["row"]["revision"], document["row"]["price"][0]["as_of"]) == ("v2", "2026-11-01")
    assert "$0.5" in cli("models", "ink").out


def test_a_row_of_the_plugin_s_own_is_spared(cli, vendor):
    """It has what no description tells; by force it is replaced."""
    vendor(ink=INK)
    Path("pencil.json").write_text(json.dumps(INK))
    ended = cli("model", "add", "draw", "pencil", "--from", "pencil.json")
    assert (ended.code, "callsheet-draw 1.0 has a row of draw:pencil" in ended.err) == (2, True)
    assert cli("model", "add", "draw", "pencil", "--from", "pencil.json", "--force").code == 0
    assert cli("models", "pencil", "--json").document["models"][0]["price"] == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nobody", "x"], 3, "no plugin provides 'nobody'"),
        (["toy", "x"], 2, "callsheet-toy cannot describe models of toy: write the row by hand"),
        (["draw", "studio/none"], 1, "draw:studio/none is not there"),
        (["draw", "studio/crash"], 3, "callsheet-draw breaks while it describes draw:studio/crash: RuntimeError"),
        (["draw", "studio/nothing"], 3, "callsheet-draw gave no description of draw:studio/nothing"),
        (["draw", "studio/bad"], 2, "what it takes is no valid JSON Schema"),
        (["draw", "studio/ink", "-o", "image.generat"], 2, "did you mean 'image.generate'"),
        (["draw", "studio/ink", "--as", "toytext"], 2, "'toytext' means toy:text already"),
        (["draw", "studio/ink", "--as", "a b"], 2, "aliases must be names without spaces"),
        (["draw", "studio/ink", "--from", "callsheet.toml"], 2, "callsheet.toml"),
        (["draw", "studio/ink", "--from", "list.json"], 2, "is no JSON object"),
        (["draw", "studio/ink", "--from", "missing.json"], 2, "missing.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_go_wrong(cli, vendor, args, code, said):
    """Each with its exit code; nothing is written, and no secret is shown."""
    vendor(ink=INK, crash="crash", nothing={}, bad={"version": "1", "takes": {"type": "objekt"}})
    Path("list.json").write_text("[]")
    ended = cli("model", "add", *args)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert KEY not in ended.err
    assert not Path("models").exists()


def test_a_row_in_callsheet_toml_wins_so_none_is_added(cli, vendor):
    """It would never be used."""
    Path("callsheet.toml").write_text('[[models]]\nprovider="draw"\nmodel="studio/ink"\noperation="image.generate"\n')
    ended = cli("model", "add", "draw", "studio/ink")
    assert (ended.code, "callsheet.toml has a row of draw:studio/ink" in ended.err) == (2, True)


def test_no_drift_is_0_and_drift_is_1(cli, vendor):
    """With every change in a line."""
    cli("model", "add", "draw", "studio/ink")
    same = cli("model", "diff")
    assert (same.code, same.out) == (0, "draw:studio/ink: nothing has changed\n")
    vendor(ink=changed(seed={"type": "integer", "maximum": 99}, style={"enum": ["wet", "dry"]}))
    ended = cli("model", "diff", "draw:studio/ink")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "draw:studio/ink",
        "  revision: v1 -> v2",
        "  seed: maximum: 9 -> 99",
        "  style: is new (anything)",
    ]
    assert "model add PROVIDER MODEL --force" in ended.err
    document = cli("model", "diff", "--json").document
    (model,) = document["models"]
    assert (model["ref"], document["problems"]) == ("draw:studio/ink", [])
    assert model["changes"][1] == {"what": "field", "before": 9, "after": 99, "field": "seed", "key": "maximum"}
    assert cli("model", "add", "draw", "studio/ink", "--force").code == 0
    assert cli("model", "diff").code == 0


def test_a_field_that_is_gone_is_told(cli, vendor):
    """And one that has another type."""
    cli("model", "add", "draw", "studio/ink")
    vendor(ink={"version": "v1", "takes": {"type": "object", "properties": {"words": {"type": ["string", "null"]}}}})
    assert cli("model", "diff").out.splitlines()[1:] == [
        '  words: type: string -> ["null", "string"]',
        "  words: required: true -> none",
        "  seed: is gone",
    ]


def test_models_that_cannot_be_asked_for_are_told(cli, vendor, monkeypatch):
    """5, and the others are compared; without the key that all need, 3."""
    vendor(ink=INK, brush=INK)
    for name in ("ink", "brush"):
        cli("model", "add", "draw", f"studio/{name}")
    Path("models/mine.toml").write_text('[[models]]\nprovider="draw"\nmodel="own"\noperation="image.generate"\n')
    Path("models/wrong.toml").write_text('[[models]]\nprovider="draw"\nmodel="wrong"\noperation="x"\n')
    vendor(ink=changed())
    ended = cli("model", "diff")
    assert ended.code == 5
    assert "draw:studio/ink\n  revision: v1 -> v2" in ended.out
    assert "warning: draw:studio/brush: draw:studio/brush is not there" in ended.err
    assert "warning: models/wrong.toml" in ended.err.replace(str(Path.cwd()) + "/", "")
    assert len(cli("model", "diff", "--json").document["problems"]) == 1
    assert cli("model", "diff", "draw:studio/brush").code == 5
    monkeypatch.delenv("DRAW_KEY")
    assert cli("model", "diff").code == 3


def test_without_rows_there_is_nothing_to_compare(cli, vendor):
    """And a description is of one model."""
    ended = cli("model", "diff")
    assert (ended.code, ended.out) == (0, "")
    assert "`callsheet model add` writes one" in ended.err
    assert cli("model", "diff", "--from", "vendor.json").code == 2
    assert "did you mean draw:pencil?" in cli("model", "diff", "draw:pencl").err


def test_a_wrong_row_is_a_warning_of_the_lists(cli, vendor):
    """`models`, `plugins list` and `plugins doctor` tell of it, and go on."""
    cli("model", "add", "draw", "studio/ink")
    ROW.write_text(ROW.read_text().replace("image.generate", "image.generat"))
    for command in (("models",), ("plugins", "list")):
        ended = cli(*command)
        assert (ended.code, "studio_ink.toml: draw:studio/ink: operation has no" in ended.err) == (0, True)
    ended = cli("plugins", "doctor")
    assert (ended.code, "did you mean 'image.generate'?; the other models work" in ended.out) == (1, True)
    assert cli("call", "draw:studio/ink", "-p", "prompt=x").code == 2


def test_a_changed_schema_is_a_warning_and_no_call(cli, vendor):
    """The details are shown without it."""
    cli("model", "add", "draw", "studio/ink")
    ROW.with_suffix(".json").write_text("{}")
    ended = cli("model", "show", "draw:studio/ink", "--json")
    assert (ended.code, ended.document["schema"]) == (0, None)
    assert "is not the one of the row's digest" in ended.err
    ended = cli("call", "draw:studio/ink", "-p", "prompt=x")
    assert (ended.code, "callsheet model add draw studio/ink --force" in ended.err) == (2, True)
