"""Input files on their way into a request."""

from __future__ import annotations

import pytest

from callsheet.artifacts import FileRef
from callsheet.attachments import check_attachment, data_url, put_files
from callsheet.errors import CapabilityUnsupportedError, Sent
from callsheet.stores.blobs import LocalBlobs

PICTURE = FileRef("ab" * 32, "image/png", 1_500, "still.png")


@pytest.mark.parametrize("taken", [(), ("image/png",), ("image/*",), ("audio/*", "image/png")])
def test_what_a_model_takes(taken):
    """A file passes by its type, by its family, and where nothing is said."""
    check_attachment(PICTURE, ref="acme:m", media_types=taken, max_bytes=1_500)
    assert PICTURE.media_type == "image/png"


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"media_types": ("image/jpeg", "audio/*")}, r"acme:m takes no image/png \(still\.png\); it takes image/jpeg, audio/\*"),
        ({"max_bytes": 1_499}, r"acme:m takes files of at most 1,499 bytes, and still\.png has 1,500"),
    ],
    ids=["type", "size"],
)  # fmt: skip
def test_what_it_does_not_take(about, message):
    """A file that a model cannot take is refused before anything is sent, with the file, and what would be taken."""
    with pytest.raises(CapabilityUnsupportedError, match=message) as caught:
        check_attachment(PICTURE, ref="acme:m", **about)
    assert (caught.value.sent, caught.value.ref) == (Sent.NOT_SENT, "acme:m")


def test_a_file_without_a_name():
    """A file without a name is named by its digest."""
    with pytest.raises(CapabilityUnsupportedError, match=r"\(abababababab\)"):
        check_attachment(FileRef("ab" * 32, "image/png", 1), ref="acme:m", media_types=("audio/*",))


async def test_a_data_url(tmp_path):
    """A file becomes a data URL with its type."""
    blobs = LocalBlobs(tmp_path)
    file = await blobs.put(b"\x00\xff?", "audio/wav")
    assert await data_url(file, blobs) == "data:audio/wav;base64,AP8/"


async def test_files_in_a_body():
    """Every file in a body is exchanged, at any depth; all else stays, and the given body is not changed."""
    body = {"input": [{"image": PICTURE, "n": 1}, (PICTURE, "text")], "none": None, "file": PICTURE}
    asked = []

    async def put(file):
        asked.append(file)
        return f"file-{len(asked)}"

    assert await put_files(body, put) == {
        "input": [{"image": "file-1", "n": 1}, ["file-2", "text"]],
        "none": None,
        "file": "file-3",
    }
    assert asked == [PICTURE] * 3
    assert body["file"] is PICTURE
    assert await put_files("text", put) == "text"
