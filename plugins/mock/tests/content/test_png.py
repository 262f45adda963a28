"""PNG pictures."""

from __future__ import annotations

import hashlib
import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet_mock.content.deflate import RunDeflater
from callsheet_mock.content.png import png
from callsheet_mock.content.seeds import Seed

LINES = ["model tiny-1", "A goat on the ridge at first light"]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (17, 23), (64, 64), (640, 360), (1080, 1920), (2048, 2048)])
def test_pictures_have_the_size_asked_for(size: tuple[int, int]) -> None:
    """Pillow reads the picture whole, in the size asked for."""
    data = png(*size, LINES, Seed(b"1"))
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.size, picture.mode) == ("PNG", size, "P")
    assert len(data) < 4_000_000


@pytest.mark.parametrize("size", [(8192, 8192), (16384, 16384)])
def test_the_largest_pictures_stay_small(size: tuple[int, int]) -> None:
    """No file passes 4 MB."""
    assert len(png(*size, LINES, Seed(b"1"))) < 4_000_000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.lists(st.text(max_size=40), max_size=4), st.binary(max_size=4))
def test_any_small_picture_is_read(width: int, height: int, lines: list[str], data: bytes) -> None:
    """Size, text and seed are free."""
    with Image.open(io.BytesIO(png(width, height, lines, Seed(data)))) as picture:
        picture.load()
        assert picture.size == (width, height)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 1500)), max_size=12), st.integers(1, 3))
def test_runs_unpack_to_themselves(runs: list[tuple[int, int]], times: int) -> None:
    """zlib reads what the run-length encoder writes, checksum included."""
    packer = RunDeflater()
    packer.add(runs, times)
    assert zlib.decompress(packer.finish()) == b"".join(bytes([value]) * count for value, count in runs) * times


def test_the_text_is_drawn() -> None:
    """Other text gives another picture; text on it is the lightest colour."""
    data = png(400, 200, ["HELLO"], Seed(b"1"))
    assert data != png(400, 200, ["WORLD"], Seed(b"1"))
    with Image.open(io.BytesIO(data)) as picture:
        counts = dict((index, count) for count, index in picture.getcolors())  # noqa: C402
    assert counts[11] > 400


def test_seeds_choose_pictures() -> None:
    """Pictures of ten seeds differ."""
    assert len({png(64, 64, [], Seed(bytes([n]))) for n in range(10)}) == 10


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (16385, 1), (-1, 5)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    """Sides are 1 to 16384 pixels."""
    with pytest.raises(ValueError, match="pixels"):
        png(*size, [], Seed(b""))


@pytest.mark.parametrize(
    ("size", "digest"),
    [((1, 1), "f6b199405420745c"), ((320, 200), "14342b58af0e315d"), ((1024, 1024), "0c2faa43e0fc7519")],
)
def test_golden_bytes(size: tuple[int, int], digest: str) -> None:
    """The bytes never change."""
    assert hashlib.sha256(png(*size, LINES, Seed(b"golden"))).hexdigest()[:16] == digest
