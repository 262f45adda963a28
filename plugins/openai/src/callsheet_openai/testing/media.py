"""Small, genuine files of the asked size and length: plain pictures, silent sounds, made with the standard library alone."""

from __future__ import annotations

import io
import struct
import wave
import zlib

__all__ = ["CLIP", "PICTURES", "SOUNDS", "picture", "sound"]

CLIP = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + b"\0\0\0\x08free" + bytes(64)
"""The beginning of a clip: a video has no more to it here."""
_RATE = 24_000
_MP3 = b"\xff\xfb\x14\xc4".ljust(96, b"\0")
"""24 ms of silence (ISO/IEC 11172-3): side information of zeros, no coded values."""
_AAC = b"\xff\xf1\x4c\x80\x01\xbf\xfc" + b"\x21\x10\x04\x60\x8c\x1c"
"""1024 samples at 48 kHz, in an ADTS frame (ISO/IEC 13818-7)."""
_OPUS = b"\xf8\xff\xfe"
"""20 ms of silence (RFC 6716)."""
_FLAC_BLOCK = 4096


def _png(width: int, height: int, shade: int) -> bytes:
    """One colour in a palette, one bit a pixel (PNG specification, third edition)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 3, 0, 0, 0))
    rows = zlib.compress(bytes(1 + (width + 7) // 8) * height, 1)
    palette = chunk(b"PLTE", bytes((shade, 40, 30)))
    return b"\x89PNG\r\n\x1a\n" + head + palette + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _jpeg(width: int, height: int, shade: int) -> bytes:
    """One grey: a first block with its level, and then blocks that differ by nothing (ITU-T T.81, baseline)."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">2BH", 0xFF, marker, len(data) + 2) + data

    level = 8 * (shade - 128)
    size = abs(level).bit_length()
    amount = level if level > 0 else level + (1 << size) - 1
    first = f"10{amount:0{size}b}0" if level else "00"
    bits = first + "00" * (-(-width // 8) * -(-height // 8) - 1)
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    tables = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, struct.pack(">BHH4B", 8, height, width, 1, 1, 0x11, 0))
    codes = segment(0xC4, b"\0\1\1" + bytes(14) + bytes((0, size or 1))) + segment(0xC4, b"\x10\1" + bytes(15) + b"\0")
    return b"\xff\xd8" + tables + codes + segment(0xDA, b"\1\1\0\0\x3f\0") + scan + b"\xff\xd9"


def _webp(width: int, height: int, shade: int) -> bytes:
    """Lossless, with prefix codes of one symbol each, so that a pixel takes no bit (RFC 9649, section 3)."""
    fields = [(width - 1, 14), (height - 1, 14), (0, 1), (0, 3), (0, 3)]
    for channel in (40, shade, 30, 255):  # green, red, blue, alpha
        fields += [(0b101, 3), (channel, 8)]
    fields.append((0b0001, 4))  # distances: the symbol 0
    packed = place = 0
    for value, count in fields:
        packed |= value << place
        place += count
    data = b"\x2f" + packed.to_bytes(-(-place // 8), "little")
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


PICTURES = {"png": _png, "jpeg": _jpeg, "webp": _webp}


def picture(width: int, height: int, kind: str = "png", shade: int = 90) -> bytes:
    """A plain picture of a size in pixels; `shade` is 0 to 255. Raises KeyError for a kind that is not in PICTURES."""
    return PICTURES[kind](width, height, shade)


SOUNDS = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "opus": "audio/ogg",
}


def sound(kind: str, seconds: float) -> tuple[bytes, str]:
    """A silent sound of about a length, and its media type. Raises KeyError for a kind that is not in SOUNDS."""
    samples = round(seconds * _RATE)
    match kind:
        case "wav":
            data = _wav(samples)
        case "pcm":
            data = bytes(2 * samples)
        case "flac":
            data = _flac(samples)
        case "opus":
            data = _ogg(max(1, round(seconds * 50)))
        case "aac":
            data = _AAC * max(1, round(seconds * 48_000 / 1024))
        case _:
            data = _MP3 * max(6, round(seconds / 0.024))
    return data, SOUNDS[kind]


def _wav(samples: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, _RATE, 0, "NONE", ""))
        file.writeframes(bytes(2 * samples))
    return stream.getvalue()


def _flac(samples: int) -> bytes:
    """Frames of one constant subframe each (RFC 9639); the last one is filled up."""
    count = max(1, -(-samples // _FLAC_BLOCK))
    sizes = struct.pack(">HH", _FLAC_BLOCK, _FLAC_BLOCK) + bytes(6)
    about = (_RATE << 44 | 15 << 36 | count * _FLAC_BLOCK).to_bytes(8, "big")
    made = [b"fLaC\x80\0\0\x22" + sizes + about + bytes(16)]
    for number in range(count):
        # the number is written like a character of UTF-8
        head = b"\xff\xf8\xc7\x08" + chr(number).encode("utf-8", "surrogatepass")
        frame = head + bytes((_crc(head, 8, 0x07),)) + bytes(3)
        made.append(frame + struct.pack(">H", _crc(frame, 16, 0x8005)))
    return b"".join(made)


def _ogg(packets: int) -> bytes:
    """Opus in Ogg (RFC 7845): two header pages, and up to 255 packets of 20 ms in each page of sound."""
    head = b"OpusHead\x01\x01" + struct.pack("<HIHB", 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 8) + b"loopback" + bytes(4)
    pages = [(head, [len(head)], 0, 2), (tags, [len(tags)], 0, 0)]
    for start in range(0, packets, 255):
        held = min(255, packets - start)
        last = 4 if start + held == packets else 0
        pages.append((_OPUS * held, [len(_OPUS)] * held, 960 * (start + held), last))
    made = bytearray()
    for number, (data, sizes, place, kind) in enumerate(pages):
        front, back = struct.pack("<4sBBqII", b"OggS", 0, kind, place, 1, number), bytes((len(sizes), *sizes)) + data
        made += front + struct.pack("<I", _crc(front + bytes(4) + back, 32, 0x04C11DB7)) + back
    return bytes(made)


def _crc(data: bytes, width: int, polynomial: int) -> int:
    """A cyclic redundancy check, highest bit first, from zero."""
    value, top, most = 0, 1 << (width - 1), (1 << width) - 1
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & most
    return value
