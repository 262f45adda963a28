"""The counterpart's files are genuine: they decode, and have the size and length that were asked for."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from callsheet.media import sniff
from callsheet_openai.testing.media import CLIP, PICTURES, SOUNDS, picture, sound

SIDES = st.integers(1, 300)


@given(st.sampled_from(sorted(PICTURES)), SIDES, SIDES, st.integers(0, 255))
def test_pictures_decode(kind, width, height, shade):
    """Every pixel of the asked size, in the asked shade; the signature is that of the type."""
    data = picture(width, height, kind, shade)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.format, image.size) == (kind.upper(), (width, height))
        first, last = (image.convert("RGB").getpixel(at) for at in ((0, 0), (width - 1, height - 1)))
    assert first == last
    assert first[0] == shade
    assert sniff(data) == f"image/{kind}"


def test_the_largest_picture_is_small():
    """No test waits for one, and no journal is filled by it."""
    assert max(len(picture(3840, 2160, kind)) for kind in PICTURES) < 40_000


def length(kind: str, data: bytes) -> float:
    """Seconds, as the format's own frames tell them."""
    match kind:
        case "wav":
            with wave.open(io.BytesIO(data)) as file:
                return file.getnframes() / file.getframerate()
        case "pcm":
            return len(data) / 2 / 24_000
        case "mp3":
            frames = [data[at : at + 96] for at in range(0, len(data), 96)]
            assert {frame[:4] for frame in frames} == {b"\xff\xfb\x14\xc4"}
            return len(frames) * 1152 / 48_000
        case "aac":
            count = place = 0
            while place < len(data):
                assert data[place : place + 2] == b"\xff\xf1"
                size = struct.unpack(">I", data[place + 3 : place + 7])[0] >> 13 & 0x1FFF
                place, count = place + size, count + 1
            return count * 1024 / 48_000
        case "flac":
            rate, samples = struct.unpack(">Q", data[18:26])[0] >> 44, struct.unpack(">Q", data[18:26])[0] & 0xFFFFFFFFF
            assert data.count(b"\xff\xf8\xc7\x08") == samples // 4096
            return samples / rate
    return ogg_length(data)


def ogg_length(data: bytes) -> float:
    """The last page's granule position; each page has to have its own checksum."""
    place, last = 0, 0
    while place < len(data):
        magic, _, _, last, _, _, check, segments = struct.unpack("<4sBBqIIIB", data[place : place + 27])
        assert magic == b"OggS"
        size = 27 + segments + sum(data[place + 27 : place + 27 + segments])
        page = data[place : place + 22] + bytes(4) + data[place + 26 : place + size]
        assert remainder(page) == check
        place += size
    return last / 48_000


def remainder(page: bytes) -> int:
    """What is left of a page as one long polynomial, divided by that of Ogg."""
    value, divisor = int.from_bytes(page, "big") << 32, 0x104C11DB7
    while value.bit_length() > 32:
        value ^= divisor << value.bit_length() - 33
    return value


@pytest.mark.parametrize("seconds", [0.2, 3.0, 12.0])
@pytest.mark.parametrize("kind", SOUNDS)
def test_sounds_are_as_long_as_asked(kind, seconds):
    """To the frame, in every format."""
    data, media_type = sound(kind, seconds)
    assert length(kind, data) == pytest.approx(seconds, abs=4096 / 24_000)
    assert kind == "pcm" or sniff(data[:64]) in (media_type, f"audio/{kind}")


def test_the_clip_is_known_as_one():
    """By its signature."""
    assert sniff(CLIP) == "video/mp4"
