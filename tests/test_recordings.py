"""Whole plugins, recorded against their vendors' counterparts and played when those are gone: a job, a sound, a picture."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from callsheet.cli import main
from callsheet.testing import Exchange, LoopbackServer, PluginStage, Reply, assert_image, recorded
from callsheet_elevenlabs.testing import Server as ElevenLabsServer
from callsheet_replicate.testing import Delivery, ReplicateServer, Script

PICTURE = io.BytesIO()
Image.new("RGB", (16, 9), "red").save(PICTURE, "PNG")
SEEDREAM = "bytedance/seedream-4"
SHEET = """
title = "One vector"
[producers.vector]
operation = "text.embed"
models = ["openai:text-embedding-3-small"]
text = "lava"
"""


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """Where nothing lies yet."""
    return tmp_path / "one.json"


def shown(result) -> list[object]:
    """What a call gave: its artifacts' content."""
    return [each.data() if each.kind != "blob" else each.location.read_bytes() for each in result.artifacts]


async def called(stage: PluginStage, folder: Path, cassette: Path, mode: str, origin: str, ref: str, **attributes):  # noqa: PLR0917
    """One call of a project of its own, and the cassette's exchanges as `METHOD path`."""
    secret = stage.provider.upper() + ("_API_TOKEN" if stage.provider == "replicate" else "_API_KEY")
    with recorded(cassette, mode, plugin=f"callsheet_{stage.provider}") as recording:
        secrets = recording.secrets(secret)
        async with stage.client(folder, base_url=origin, secrets=secrets) as client:  # no vendor here to be waited for
            result = await client.call(ref, **attributes)
            return shown(result), result


def exchanges(cassette: Path) -> list[str]:
    """Method and last word of each path."""
    read = json.loads(cassette.read_text())["interactions"]
    return [f"{each['request']['method']} {each['request']['url'].rpartition('/')[2]}" for each in read]


async def test_a_remote_job_with_polls_and_files(tmp_path, cassette, monkeypatch):
    """Submitted, asked for until it is done, its two files fetched; played in the same order without the vendor."""
    stage = PluginStage("callsheet_replicate")
    with ReplicateServer() as server:
        monkeypatch.setenv("REPLICATE_API_TOKEN", server.key)
        server.script(SEEDREAM, Script([Delivery(PICTURE.getvalue(), "image/png")] * 2, polls=3))
        ref = f"replicate:{SEEDREAM}"
        live, _ = await called(stage, tmp_path / "live", cassette, "new", server.origin, ref, prompt="lava")
        asked = len(server.journal)
    assert server.key not in cassette.read_text()
    played, result = await called(stage, tmp_path / "played", cassette, "none", server.origin, ref, prompt="lava")
    assert played == live == [PICTURE.getvalue()] * 2
    assert_image(result.artifacts[0], width=16, height=9)
    assert len(server.journal) == asked == len(exchanges(cassette))
    methods = [each.partition(" ")[0] for each in exchanges(cassette)]
    assert methods[0] == "POST"
    assert methods.count("POST") == 1
    assert methods.count("GET") >= 5


async def test_a_voice_that_is_looked_up_and_a_sound_that_streams(tmp_path, cassette, monkeypatch):
    """Bytes come back as they were."""
    stage = PluginStage("callsheet_elevenlabs")
    spoken = {"ref": "elevenlabs:eleven_v3", "text": "The mountain clears its throat."}
    with ElevenLabsServer() as server:
        monkeypatch.setenv("ELEVENLABS_API_KEY", server.key)
        live, _ = await called(stage, tmp_path / "live", cassette, "all", server.origin, **spoken)
    assert server.key not in cassette.read_text()
    played, _ = await called(stage, tmp_path / "played", cassette, "none", server.origin, **spoken)
    assert played == live
    assert len(live[0]) > 1000


async def test_pictures_inside_of_json(tmp_path, cassette, monkeypatch):
    """A megabyte of base64 is neither damaged nor taken for a key."""
    stage, server = PluginStage("callsheet_openai"), LoopbackServer()
    noise = io.BytesIO()
    Image.effect_noise((1024, 1024), 64).save(noise, "PNG")

    @server.route("POST", "/images/generations")
    def drawn(_request: Exchange) -> Reply:
        data = base64.b64encode(noise.getvalue()).decode()
        return Reply(200, {"created": 1, "data": [{"b64_json": data}], "output_format": "png", "size": "1024x1024"})

    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-this-test")
    drawing = {"ref": "openai:gpt-image-1", "prompt": "lava", "size": "1024x1024"}
    with server:
        live, _ = await called(stage, tmp_path / "live", cassette, "new", server.origin, **drawing)
    played, result = await called(stage, tmp_path / "played", cassette, "none", server.origin, **drawing)
    assert played == live == [noise.getvalue()]
    assert_image(result.artifacts[0], width=1024, height=1024)
    assert exchanges(cassette) == ["POST generations"]


def test_the_command_line_is_recorded_too(folder, cassette, monkeypatch, capsys):
    """A sheet is run live by `callsheet run`, and again in another project without the vendor: the same files."""
    server = LoopbackServer()
    server.route("POST", "/embeddings")(
        lambda request: {"data": [{"index": 0, "embedding": [0.5]}], "model": "m", "usage": {"total_tokens": 1}}
    )
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-this-test")
    made = []

    def run(name: str, mode: str) -> None:
        (folder / name).mkdir()
        (folder / name / "sheet.toml").write_text(SHEET)
        with recorded(cassette, mode) as recording:
            monkeypatch.setenv("OPENAI_API_KEY", recording.secrets("OPENAI_API_KEY")["OPENAI_API_KEY"])
            with pytest.raises(SystemExit) as ended:
                main(["run", str(folder / name), "--json"])
        assert ended.value.code == 0, capsys.readouterr()
        made.append((folder / name / "output" / "vector.json").read_text())

    with server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.origin)
        run("live", "new")
    run("played", "none")
    assert made[0] == made[1]
    assert len(server.journal) == 1
