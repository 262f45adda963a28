"""A model that no plugin has a row for: added by one command, then in lists, calls and sheets, live and mocked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from callsheet.cli import main
from callsheet.testing import assert_image
from callsheet_replicate.testing import Delivery, ReplicateServer, Script

V1, V2 = "5f" * 32, "6a" * 32
NAME = "someone/lava-lamp"
REF = f"replicate:{NAME}"


def described(version: str, **fields: object) -> dict[str, object]:
    """What the vendor says of the model in one version; `fields` come on top."""
    takes = {
        "type": "object",
        "title": "Input",
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string", "title": "Prompt", "x-order": 0},
            "style": {"allOf": [{"$ref": "#/components/schemas/style"}], "default": "wet", "x-order": 1},
            "seed": {"type": "integer", "nullable": True, "maximum": 99, "x-order": 2},
            **fields,
        },
    }
    style = {"type": "string", "title": "style", "enum": ["wet", "dry"]}
    makes = {"type": "string", "format": "uri", "title": "Output"}
    schemas = {"Input": takes, "Output": makes, "style": style}
    latest = {
        "id": version,
        "created_at": "2026-11-01T00:00:00Z",
        "openapi_schema": {"components": {"schemas": schemas}},
    }
    about = {"owner": "someone", "name": "lava-lamp", "description": "Paints lava lamps", "visibility": "public"}
    return {**about, "default_example": {"output": "https://replicate.delivery/a/out.png"}, "latest_version": latest}


def picture() -> bytes:
    """A PNG."""
    stream = BytesIO()
    Image.new("RGB", (16, 9), "red").save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def server(folder, tmp_path):
    """Replicate on this machine, with one model that is not among the plugin's; the working folder is a project."""
    with ReplicateServer() as running:
        running.models[NAME] = described(V1)
        running.script(V1, Script(Delivery(picture(), "image/png"), polls=0))
        os.environ |= {"REPLICATE_BASE_URL": running.origin, "REPLICATE_API_TOKEN": running.key}
        os.environ["XDG_CONFIG_HOME"] = str(tmp_path / "config")
        Path("callsheet.toml").write_text("")
        yield running


@pytest.fixture
def cli(capsys):
    """Carries out a command line in this process."""

    def carry_out(*args: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        out, err = capsys.readouterr()
        return Ended(ended.value.code, out, err)

    return carry_out


def created(server: ReplicateServer) -> list[tuple[str, object]]:
    """The predictions that were asked for: where, and in which version."""
    return [(each.path, each.json.get("version")) for each in server.journal if each.route == "create"]


def test_an_added_model_is_called_in_its_version(server, cli):
    """By alias and in a sheet, live and mocked; what it does not take is refused before anything is sent."""
    added = cli("model", "add", "replicate", NAME, "--as", "lava", "--json").document
    assert (added["row"]["operation"], added["row"]["output"]) == ("image.generate", "image/png")
    assert added["schema"]["properties"]["style"]["enum"] == ["wet", "dry"]
    assert [(each.method, each.route) for each in server.journal] == [("GET", "model")]
    assert cli("models", "lava").out.splitlines()[1].split()[:2] == [REF, "image.generate"]
    refused = cli("call", "lava", "-p", "prompt=a lamp", "--option", "style=hot")
    assert (refused.code, "style" in refused.err) == (4, True)
    assert created(server) == []
    ended = cli("call", "lava", "-p", "prompt=a lamp", "--option", "style=dry", "-o", "lamp.png")
    assert ended.code == 0, ended.err
    assert Path("lamp.png").read_bytes() == picture()
    assert created(server) == [("/predictions", V1)]
    Path("sheet.toml").write_text(
        'title = "Lamps"\n[producers.lamp]\noperation = "image.generate"\nmodels = ["lava"]\n'
        'for_each = 2\nprompt = "lamp {{ index }}"\n'
    )
    assert cli("run", ".", "--mode", "mock").code == 0
    assert len(created(server)) == 1
    assert_image(Path("output-mock/lamp-1.png"), media_type="image/png")
    assert cli("run", ".").code == 0
    assert created(server) == [("/predictions", V1)] * 3


def test_what_the_vendor_changes_is_told_and_taken_over(server, cli):
    """Until then, the model is called as it was."""
    cli("model", "add", "replicate", NAME, "--as", "lava")
    assert cli("model", "diff").code == 0
    server.models[NAME] = described(
        V2, seed={"type": "integer", "nullable": True, "maximum": 9}, mood={"type": "string"}
    )
    ended = cli("model", "diff", "lava", "--json")
    assert ended.code == 1
    (model,) = ended.document["models"]
    assert model["changes"] == [
        {"what": "revision", "field": "", "key": "", "before": V1, "after": V2},
        {"what": "field", "field": "seed", "key": "maximum", "before": 99, "after": 9},
        {"what": "field", "field": "mood", "key": "", "before": None, "after": {"type": "string"}},
    ]
    assert cli("call", "lava", "-p", "prompt=a lamp", "-o", "lamp.png").code == 0
    assert cli("model", "add", "replicate", NAME, "--force").code == 0
    assert cli("model", "diff").code == 0
    server.script(V2, Script(Delivery(picture(), "image/png"), polls=0))
    assert cli("call", "lava", "-p", "prompt=a lamp", "-o", "lamp.png").code == 0
    assert [version for _, version in created(server)] == [V1, V2]


def test_a_model_that_is_not_there_is_told_and_nothing_is_written(server, cli):
    """By its name; so is a missing key, and without one a file will do."""
    ended = cli("model", "add", "replicate", "someone/nobody")
    assert (ended.code, "someone/nobody is not there" in ended.err) == (1, True)
    token = os.environ.pop("REPLICATE_API_TOKEN")
    ended = cli("model", "add", "replicate", NAME)
    assert (ended.code, "REPLICATE_API_TOKEN" in ended.err, token in ended.err) == (3, True, False)
    assert not Path("models").exists()
    Path("lava.json").write_text(json.dumps(described(V1)))
    asked = len(server.journal)
    assert cli("model", "add", "replicate", NAME, "--from", "lava.json").code == 0
    assert cli("call", REF, "--mode", "mock", "-p", "prompt=x", "-o", "x.png").code == 0
    assert len(server.journal) == asked


def test_five_hundred_rows_are_listed_without_any_plugin_s_code(server, cli):
    """They are data: no plugin is imported, nothing heavy is."""
    cli("model", "add", "replicate", NAME)
    row = Path("models/replicate/someone_lava-lamp.toml").read_text()
    for number in range(499):
        Path(f"models/replicate/m{number}.toml").write_text(row.replace(NAME, f"someone/m{number}"))
    code = (
        "import sys\nfrom callsheet.cli import main\n"
        "try: main(['models', '--provider', 'replicate', 'someone', '--json'])\n"
        "finally: print(sorted({'callsheet_replicate', 'pydantic', 'httpx2', 'jsonschema_rs', 'platformdirs', 'pluggy'} & {*sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(json.loads(ended.stdout)["models"]) == 500
    assert ended.stderr.strip() == "[]"
