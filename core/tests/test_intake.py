"""Local files on their way in: attachments and pins."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet import intake
from callsheet.artifacts import BlobArtifact, JsonArtifact, TextArtifact
from callsheet.errors import ConfigError
from callsheet.expansion import expand
from callsheet.intake import pinned_artifacts, take_in, take_in_all
from callsheet.sheet import CallSheet
from callsheet.stores.blobs import LocalBlobs


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of these tests."""
    return "asyncio"


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """An empty store."""
    return LocalBlobs(tmp_path / "state")


def sheet(folder: Path, lines: str) -> CallSheet:
    """A sheet with one producer `a`."""
    text = f'[producers.a]\noperation = "image.generate"\nmodels = ["m:x"]\nprompt = "p"\n{lines}'
    (folder / "sheet.toml").write_text(text)
    return CallSheet.load(folder)


async def test_attachments(tmp_path: Path, blobs: LocalBlobs) -> None:
    """A file goes into the store under its content, with the type that it really has."""
    (tmp_path / "a.jpg").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    files = await take_in_all([tmp_path / "a.jpg", tmp_path / "b.png"], blobs)
    one, two = files[tmp_path / "a.jpg"], files[tmp_path / "b.png"]
    assert (one.media_type, one.name, two.name) == ("image/png", "a.jpg", "b.png")
    assert one.sha256 == two.sha256
    assert blobs.has(one.sha256)


async def test_attachments_that_cannot_be_read(
    tmp_path: Path, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent or too large is a ConfigError with the key."""
    with pytest.raises(ConfigError, match=r"here: x\.png cannot be read"):
        await take_in(tmp_path / "x.png", blobs, "here")
    (tmp_path / "x.png").write_bytes(b"12345")
    monkeypatch.setattr(intake, "MAX_FILE_BYTES", 4)
    with pytest.raises(ConfigError, match="larger than"):
        await take_in(tmp_path / "x.png", blobs, "here")


async def test_pins(tmp_path: Path, blobs: LocalBlobs) -> None:
    """A pin stands for a result by its extension: JSON, text or a file."""
    (tmp_path / "a.json").write_text('{"x": 1}')
    (tmp_path / "b.md").write_text("# b")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    expansion = expand(sheet(tmp_path, 'for_each = 3\npin = ["a.json", "b.md", "c.png"]'), tmp_path)
    pinned = await pinned_artifacts(expansion, blobs)
    assert pinned["a[0]"] == (JsonArtifact({"x": 1}),)
    assert pinned["a[1]"] == (TextArtifact("# b", "text/markdown"),)
    assert isinstance(pinned["a[2]"][0], BlobArtifact)
    assert pinned["a[2]"][0].media_type == "image/png"
    single = await pinned_artifacts(expand(sheet(tmp_path, 'pin = "a.json"'), tmp_path), blobs)
    assert list(single) == ["a"]
    assert await pinned_artifacts(expand(sheet(tmp_path, "seed = 1"), tmp_path), blobs) == {}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('for_each = 2\npin = "a.json"', "producers.a.pin: wants a list of 2 files, one for each index, got 1"),
        ('pin = ["a.json", "a.json"]', "wants one file, got 2"),
        ('pin = "absent.json"', "there is no file 'absent.json'"),
        ('pin = "../outside.json"', "outside of the project"),
        ('pin = "bad.json"', "producers.a.pin: bad.json: line 1"),
        ('pin = "nan.json"', "NaN is not JSON"),
    ],
)
async def test_wrong_pins(tmp_path: Path, blobs: LocalBlobs, lines: str, told: str) -> None:
    """Wrong numbers, missing files and broken JSON name the key."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "outside.json").write_text("1")
    (folder / "a.json").write_text("1")
    (folder / "bad.json").write_text("{")
    (folder / "nan.json").write_text("NaN")
    with pytest.raises(ConfigError, match=told):
        await pinned_artifacts(expand(sheet(folder, lines), folder), blobs)
