"""The session that makes rows of many models (tests/corpus) counts right, with a few models at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import callsheet_replicate

CORPUS = Path(__file__).parent / "corpus"
SCHEMAS = Path(callsheet_replicate.__file__).parent / "schemas"
URI = {"type": "string", "format": "uri"}


def examined(folder, *arguments):
    """The session's program over the descriptions of a folder."""
    command = [sys.executable, str(CORPUS), *arguments]
    environment = {**os.environ, "CALLSHEET_CORPUS": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)


def schemas(model, output):
    """A model's OpenAPI document."""
    given = json.loads((SCHEMAS / f"{model}.json").read_text(encoding="utf-8"))
    return {"components": {"schemas": {"Input": given, "Output": output}}}


@pytest.fixture
def descriptions(tmp_path):
    """Three models that can be called, in the forms that a folder may hold, and one that cannot."""
    song = schemas("stability-ai/stable-audio-2.5", URI)
    alone = tmp_path / "stability-ai--stable-audio-2.5.json"
    alone.write_text(json.dumps(song), encoding="utf-8")
    picture = schemas("tencent/hunyuan-image-3", {"type": "array", "items": URI})
    text = schemas("google/gemini-2.5-flash", {"type": "string"})
    page = [
        {"owner": "a", "name": "picture", "latest_version": {"id": "1" * 64, "openapi_schema": picture}},
        {"owner": "a", "name": "text", "latest_version": {"id": "2" * 64, "openapi_schema": text}},
        {"owner": "a", "name": "empty", "latest_version": None},
    ]
    (tmp_path / "page.json").write_text(json.dumps({"results": page}), encoding="utf-8")
    return tmp_path


def test_the_table(descriptions):
    """Each kind of output has its line, and each failure its cause; enough good runs are a success."""
    done = examined(descriptions, "--least", "3")
    assert done.returncode == 0, done.stderr
    assert "| uri[] | 1 | 1 | 1 | 1 |" in done.stdout
    assert "| all | 4 | 3 | 3 | 1 |" in done.stdout
    assert "| 1 | no row: replicate:… has no version" in done.stdout


def test_too_few(descriptions, tmp_path):
    """Fewer good runs than wanted are a failure, and no descriptions at all are told apart from that."""
    assert examined(descriptions, "--most", "1").returncode == 1
    nothing = examined(tmp_path / "nowhere")
    assert (nothing.returncode, "CALLSHEET_CORPUS" in nothing.stdout) == (2, True)
