"""Artifacts and files by content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.artifacts import EXTENSIONS, BlobArtifact, FileRef, JsonArtifact, TextArtifact, extension_for
from callsheet.errors import CallsheetError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        ("image/PNG", "png"),
        ("text/plain; charset=utf-8", "txt"),
        ("audio/mp4", "m4a"),
        ("audio/x-wav", "wav"),
        ("image/jpg", "jpg"),
        ("../../etc", "bin"),
        ("", "bin"),
    ],
)
def test_extension(media_type: str, extension: str) -> None:
    """An extension comes from our table only: parameters, case and usual other names do not matter."""
    assert extension_for(media_type) == extension


def test_extensions_are_distinct() -> None:
    """Each media type has its own extension, so that a name leads back to its type."""
    assert len(set(EXTENSIONS.values())) == len(EXTENSIONS)
    assert all(e.isalnum() for e in EXTENSIONS.values())


@settings(deadline=None)
@given(JSON)
def test_json_round_trip(value: object) -> None:
    """The file of a JSON artifact holds the value."""
    assert json.loads(JsonArtifact(value).data()) == value


def test_json_file_is_indented_and_readable(tmp_path: Path) -> None:
    """People read the file: indented, umlauts as they are, a line end at the end."""
    path = JsonArtifact({"ä": [1]}).save(tmp_path / "a.json")
    assert path.read_text("utf-8") == '{\n  "ä": [\n    1\n  ]\n}\n'


def test_json_refuses_what_is_no_json() -> None:
    """NaN is not JSON."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        JsonArtifact(float("nan")).data()


def test_text_is_saved_byte_for_byte(tmp_path: Path) -> None:
    """Line ends stay as they are, and half a surrogate pair costs one letter, not the whole paid text."""
    assert TextArtifact("a\r\nü").save(tmp_path / "a.txt").read_bytes() == b"a\r\n\xc3\xbc"
    assert TextArtifact("a\ud800b").data() == b"a?b"
    assert JsonArtifact({"a": "\ud800"}).data() == b'{\n  "a": "?"\n}\n'


def test_blob_needs_its_file(tmp_path: Path) -> None:
    """A blob is copied from where it lies, and says so when it is not on this machine."""
    source = tmp_path / "store"
    source.write_bytes(b"\x89PNG")
    file = FileRef("ab" * 32, "image/png", 4, "a.png")
    blob = BlobArtifact(file, location=source)
    assert blob.save(tmp_path / "b.png").read_bytes() == b"\x89PNG"
    assert blob.media_type == "image/png"
    assert blob == BlobArtifact(file)
    assert str(source) not in repr(blob)
    with pytest.raises(CallsheetError, match="not on this machine"):
        BlobArtifact(file).save(tmp_path / "c.png")


def test_file_uri() -> None:
    """A file stands in digests by its content alone."""
    assert FileRef("ab", "image/png", 4, "x.png").uri == "callsheet-file:ab"
