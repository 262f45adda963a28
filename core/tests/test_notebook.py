"""Artifacts show themselves in notebooks: what each kind gives, and what it leaves out."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from callsheet import artifacts
from callsheet.artifacts import BlobArtifact, FileRef, JsonArtifact, TextArtifact


def blob(folder: Path, media_type: str, data: bytes = b"data") -> BlobArtifact:
    """A file that is on this machine."""
    path = folder / "file"
    path.write_bytes(data)
    return BlobArtifact(FileRef("ab" * 32, media_type, len(data)), 4, 2, 1.5, location=path)


def test_text_and_json():
    """Text is text, Markdown is set, JSON is a tree."""
    assert TextArtifact("# a")._repr_mimebundle_() == {"text/plain": "# a"}
    marked = TextArtifact("# a", "text/markdown")._repr_mimebundle_()
    assert marked == {"text/plain": "# a", "text/markdown": "# a"}
    assert JsonArtifact({"a": 1})._repr_mimebundle_() == {
        "text/plain": '{\n  "a": 1\n}',
        "application/json": {"a": 1},
    }


def test_pictures_and_players(tmp_path):
    """A picture as base64, SVG as text, sound and film in a player."""
    data = b64encode(b"data").decode()
    assert blob(tmp_path, "image/png")._repr_mimebundle_()["image/png"] == data
    assert blob(tmp_path, "image/svg+xml")._repr_mimebundle_()["image/svg+xml"] == "data"
    for medium in ("audio/wav", "video/mp4"):
        html = blob(tmp_path, medium)._repr_mimebundle_()["text/html"]
        assert f'src="data:{medium};base64,{data}"' in html
    hostile = blob(tmp_path, 'video/"><script>')._repr_mimebundle_()["text/html"]
    assert "<script>" not in hostile


def test_what_is_large_or_not_here_is_a_line(tmp_path, monkeypatch):
    """Type, size, length and place."""
    here = blob(tmp_path, "video/mp4")
    monkeypatch.setattr(artifacts, "LARGEST_INLINE", 3)
    assert here._repr_mimebundle_() == {"text/plain": f"video/mp4, 4x2, 1.5 s, 4 bytes in {tmp_path / 'file'}"}
    monkeypatch.undo()
    assert list(blob(tmp_path, "application/pdf")._repr_mimebundle_()) == ["text/plain"]
    (tmp_path / "file").unlink()
    assert list(here._repr_mimebundle_()) == ["text/plain"]
    assert BlobArtifact(here.file)._repr_mimebundle_() == {"text/plain": "video/mp4, 4 bytes"}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"include": {"text/plain"}}, {"text/plain"}),
        ({"exclude": {"text/plain"}}, {"application/json"}),
        ({"include": ["application/json"], "exclude": ["application/json"]}, set()),
    ],
)
def test_include_and_exclude(asked, given):
    """As the protocol has it."""
    assert set(JsonArtifact(1)._repr_mimebundle_(**asked)) == given


def test_the_vocabulary_stays_light():
    """Importing artifacts imports no notebook and nothing to encode with."""
    code = (
        "import sys, callsheet.artifacts; print([m for m in ('IPython', 'base64', 'html', 'json') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
