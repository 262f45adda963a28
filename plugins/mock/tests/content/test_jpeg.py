"""JPEG pictures."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet_mock.content.jpeg import jpeg
from callsheet_mock.content.palette import INK, PANEL, SKY_BANDS, palette
from callsheet_mock.content.seeds import Seed

LINES = ["model tiny-1", "A goat on the ridge at first light"]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (17, 23), (64, 64), (640, 360), (1080, 1920), (2048, 2048)])
def test_pictures_have_the_size_asked_for(size: tuple[int, int]) -> None:
    """Pillow reads the picture whole, in the size asked for, and in colour."""
    data = jpeg(*size, LINES, Seed(b"1"))
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.size, picture.mode) == ("JPEG", size, "RGB")
    assert len(data) < 4_000_000


def test_the_largest_pictures_stay_small() -> None:
    """No file that the mock makes passes 4 MB."""
    assert len(jpeg(8192, 8192, LINES, Seed(b"1"))) < 4_000_000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.lists(st.text(max_size=40), max_size=4), st.binary(max_size=4))
def test_any_small_picture_is_read(width: int, height: int, lines: list[str], data: bytes) -> None:
    """Size, text and seed are free."""
    with Image.open(io.BytesIO(jpeg(width, height, lines, Seed(data)))) as picture:
        picture.load()
        assert picture.size == (width, height)


def test_the_tables_are_the_standard_ones() -> None:
    """Tables K.4 and K.6, as another encoder writes them."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    tables = [part[3:] for part in jpeg(8, 8, [], Seed(b"")).partition(b"\xff\xda")[0].split(b"\xff\xc4")[1:]]
    assert [len(table) for table in tables] == [28, 178]
    assert all(table in stream.getvalue() for table in tables)


def test_colours_are_those_of_the_palette() -> None:
    """A block of one colour is that colour, as far as its conversion goes."""
    seed = Seed(b"1")
    sky = palette(seed.fork("jpeg")).colours[0]
    with Image.open(io.BytesIO(jpeg(800, 800, [], seed))) as picture:
        seen = picture.getpixel((4, 4))
    assert all(abs(one - other) <= 3 for one, other in zip(seen, sky, strict=True))


def test_the_text_is_drawn() -> None:
    """Other text gives another picture; there are pixels of ink on a panel."""
    seed = Seed(b"1")
    data = jpeg(400, 200, ["HELLO"], seed)
    assert data != jpeg(400, 200, ["WORLD"], seed)
    colours = palette(seed.fork("jpeg")).colours
    with Image.open(io.BytesIO(data)) as picture:
        pixels = [picture.getpixel((x, y)) for x in range(400) for y in range(60, 140)]

    def near(wanted: tuple[int, int, int]) -> int:
        return sum(all(abs(a - b) < 24 for a, b in zip(pixel, wanted, strict=True)) for pixel in pixels)

    assert near(colours[INK]) > 400
    assert near(colours[PANEL]) > 400
    assert SKY_BANDS < PANEL


def test_seeds_choose_pictures() -> None:
    """Pictures of ten seeds differ."""
    assert len({jpeg(64, 64, [], Seed(bytes([n]))) for n in range(10)}) == 10


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (16385, 1), (-1, 5)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    """Sides are 1 to 16384 pixels."""
    with pytest.raises(ValueError, match="pixels"):
        jpeg(*size, [], Seed(b""))


@pytest.mark.parametrize(
    ("size", "digest"),
    [((1, 1), "5b2f2bf64a793492"), ((320, 200), "0049b3b79b8704b3"), ((1024, 1024), "57e4115388c4bba2")],
)
def test_golden_bytes(size: tuple[int, int], digest: str) -> None:
    """The bytes never change."""
    assert hashlib.sha256(jpeg(*size, LINES, Seed(b"golden"))).hexdigest()[:16] == digest
