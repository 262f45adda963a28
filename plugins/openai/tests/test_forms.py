"""Multipart forms: fields and files from plain data."""

from __future__ import annotations

from openai_counterpart.stage import file

from callsheet.plugin import FormFile
from callsheet_openai.forms import form_of


class Store:
    """Gives each file's name as its bytes."""

    async def read(self, file):
        return file.name.encode()


async def test_a_body_becomes_fields_and_files():
    """Lists are repeated under `name[]`, objects are spread, files keep their type and get a name of ours."""
    sound, picture = file("audio/mpeg", name="my voice.mp3"), file("image/png", name="../x")
    body = {
        "model": "m",
        "n": 2,
        "speed": 0.5,
        "stream": True,
        "nothing": None,
        "include": ["a", "b"],
        "chunking_strategy": {"type": "server_vad", "threshold": 0.5},
        "file": sound,
        "image": [picture, picture],
    }
    fields, files = await form_of(body, Store())
    assert fields == {
        "model": "m",
        "n": "2",
        "speed": "0.5",
        "stream": "true",
        "include[]": ["a", "b"],
        "chunking_strategy[type]": "server_vad",
        "chunking_strategy[threshold]": "0.5",
    }
    assert files == [
        FormFile("file", f"{sound.sha256[:12]}.mp3", "audio/mpeg", b"my voice.mp3"),
        *[FormFile("image[]", f"{picture.sha256[:12]}.png", "image/png", b"../x")] * 2,
    ]
