"""A model's schema: read from where its row says, checked against the row's digest, and fetching nothing."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from callsheet.artifacts import FileRef
from callsheet.errors import ConfigError, PluginError
from callsheet.model_schemas import MAX_SCHEMA_BYTES, closed_validator, input_schema, schema_digest
from callsheet.models import ModelInfo, Operation

SCHEMA = {"type": "object", "properties": {"size": {"enum": [1, 2]}, "image": {"type": "string", "format": "uri"}}}


def model(folder: Path | None, name: str = "m.json", **more: str) -> ModelInfo:
    """A row with a schema."""
    return ModelInfo("acme", "m", Operation.IMAGE_GENERATE, schema=name, folder=folder, **more)


def written(folder: Path, text: str | None = None, name: str = "m.json") -> bytes:
    """The schema file, and its bytes."""
    data = (json.dumps(SCHEMA) if text is None else text).encode()
    (folder / name).write_bytes(data)
    return data


def test_a_schema_checks_inputs_with_files_in_them(tmp_path: Path) -> None:
    """The first problem is told with its place; a file stands for a URL."""
    data = written(tmp_path)
    schema = input_schema(model(tmp_path, digest=schema_digest(data)))
    assert schema.known
    assert schema.properties["size"] == {"enum": [1, 2]}
    assert schema.problem({"size": 3}).startswith("size: ")
    assert schema.problem({"size": 1, "image": FileRef("0" * 64, "image/png", 1), "more": ({"a": (1,)},)}) == ""
    assert input_schema(model(tmp_path, digest=schema_digest(data))) is schema


def test_a_row_without_a_schema_takes_everything() -> None:
    """It is not known what the model takes."""
    schema = input_schema(ModelInfo("acme", "m", Operation.IMAGE_GENERATE))
    assert (schema.known, schema.problem({"anything": object()})) == (False, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON Schema"),
        ("[]", "is no JSON Schema of an object"),
        ('{"properties": []}', "is no JSON Schema of an object"),
        ('{"type": "objekt"}', "is no JSON Schema"),
        ('{"minimum": 1' + "0" * 5000 + "}", "is no JSON Schema"),
        ('{"$schema": "http://nowhere.example/x"}', "is no JSON Schema"),
        ("[" * 100_000, "is no JSON Schema"),
        (" " * (MAX_SCHEMA_BYTES + 1), "is larger than 4 MiB"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_schema_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With its path, by the one who can do something about it."""
    written(tmp_path, text)
    with pytest.raises(PluginError, match=said) as of_plugin:
        input_schema(model(tmp_path, plugin="callsheet-acme"))
    assert "reinstall callsheet-acme" in str(of_plugin.value)
    with pytest.raises(ConfigError, match=said) as of_user:
        input_schema(model(tmp_path))
    assert f"{tmp_path / 'm.json'}" in str(of_user.value)
    assert "callsheet model add acme m --force" in str(of_user.value)


def test_a_changed_file_is_not_the_one_of_the_digest(tmp_path: Path) -> None:
    """The message has the digest that it has now; a row without a digest takes what is there."""
    before = schema_digest(written(tmp_path))
    after = schema_digest(written(tmp_path, '{"properties": {"size": {}}}'))
    with pytest.raises(ConfigError, match=f"is not the one of the row's digest, but {after}"):
        input_schema(model(tmp_path, digest=before))
    assert input_schema(model(tmp_path, digest=after)).properties == {"size": {}}
    assert input_schema(model(tmp_path)).properties == {"size": {}}


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """Also one that nobody said the folder of."""
    with pytest.raises(PluginError, match="is not in the package"):
        input_schema(model(tmp_path, plugin="callsheet-acme"))
    with pytest.raises(ConfigError, match="is not there"):
        input_schema(model(tmp_path))
    with pytest.raises(ConfigError, match="does not say in which folder"):
        input_schema(model(None))
    (tmp_path / "m.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        input_schema(model(tmp_path))


def test_a_link_leads_out_of_one_s_own_folder_in_vain(tmp_path: Path) -> None:
    """A row may come from anybody; a package's files may be links to where the installer keeps them."""
    folder = tmp_path / "models"
    folder.mkdir()
    written(tmp_path, name="secret.json")
    (folder / "m.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ConfigError, match="leads out of the folder"):
        input_schema(model(folder))
    assert input_schema(model(folder, plugin="callsheet-acme")).known


def test_no_reference_is_fetched(tmp_path: Path) -> None:
    """Neither from the network nor from the disk: a schema is somebody else's text."""
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        data = written(tmp_path, name="other.json")
        for target in (f"http://127.0.0.1:{server.server_port}/x", (tmp_path / "other.json").as_uri()):
            with pytest.raises(ValueError, match=r"nothing is fetched|retrieving"):
                closed_validator({"$ref": target})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert asked == []
    assert closed_validator({"$defs": {"a": json.loads(data)}, "$ref": "#/$defs/a"}).is_valid({"size": 1})
