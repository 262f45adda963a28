"""MP4 files with H.264 video and silent AAC sound (ISO/IEC 14496-12, -14, -15)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from .frames import Storyboard, storyboard
from .h264 import KeyFrames, picture_parameters, sequence_parameters, skipped
from .seeds import Seed

MAX_BYTES: Final = 4_000_000
_KEY_BYTES: Final = 2_800_000  # what all key frames together may take
_TICKS: Final = 512  # media time units a frame
_AAC_RATE: Final = 48000
_AAC_SAMPLES: Final = 1024  # a frame
_AAC_CONFIG: Final = b"\x11\x90"  # AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3, 1.6.2.1)
_AAC_SILENCE: Final = b"\x21\x10\x04\x60\x8c\x1c"  # a raw data block without spectral data
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class _Track(NamedTuple):
    """What the boxes of a track are made of; times in units of ``timescale``, sizes in bytes."""

    number: int
    timescale: int
    step: int
    samples: int
    sizes: Sequence[int]  # of the samples; only one when all are the same
    keys: Sequence[int]
    handler: bytes
    media: bytes  # media header box
    entry: bytes  # sample entry box
    shown: tuple[int, int]  # pixels

    @property
    def duration(self) -> int:
        return self.samples * self.step

    @property
    def size(self) -> int:
        return self.sizes[0] * self.samples if len(self.sizes) == 1 else sum(self.sizes)


def mp4(  # noqa: PLR0917 - what a video is made of, in the order people say it
    width: int, height: int, seconds: float, fps: int, lines: Sequence[str], seed: Seed, *, audio: bool = True
) -> bytes:
    """A video of exactly ``width`` x ``height`` pixels and round(seconds * fps) frames, at least one.

    Sides are even, from 16 to 4096 pixels; ``fps`` is 1 to 60. Shows the lines of text, a clock and a
    progress bar that move on at each key frame, one a second or fewer where the file would pass 4 MB.
    """
    if not (16 <= width <= 4096 and 16 <= height <= 4096) or width % 2 or height % 2:
        raise ValueError(f"video sides must be even and 16 to 4096 pixels, not {width}x{height}")
    if not 1 <= fps <= 60:
        raise ValueError(f"fps must be 1 to 60, not {fps}")
    count = max(1, round(seconds * fps))
    plan = storyboard(width, height, -(-count // fps), lines, seed.fork("mp4"))
    samples, keys = _samples(plan, width, count, fps)
    tracks = [_video(width, height, fps, samples, keys)]
    data = b"".join(samples)
    if audio:
        frames = max(1, round(count * _AAC_RATE / (fps * _AAC_SAMPLES)))
        tracks.append(_sound(frames))
        data += _AAC_SILENCE * frames
    kind = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    start = len(kind) + len(_movie(tracks, 0)) + 8
    return kind + _movie(tracks, start) + _box(b"mdat", data)


def _samples(plan: Storyboard, width: int, count: int, fps: int) -> tuple[list[bytes], list[int]]:
    """The video frames, each after its length, and the numbers (from 0) of the key frames."""
    coder = KeyFrames(plan.columns)
    total = -(-count // fps)

    def key(number: int, second: int) -> bytes:
        return coder.frame(plan.key_frame(second, total, width), number)

    # Enough seconds between key frames for the sum of their sizes to stay below the limit.
    largest = max(1, _KEY_BYTES // (len(key(0, 0)) * 5 // 4))
    gap = -(-total // largest) * fps
    copies = [_sized(skipped(plan.columns, plan.rows, number)) for number in range(16)]
    samples = []
    for number in range(count):
        since = number % gap
        samples.append(copies[since % 16] if since else _sized(key(number // gap, number // fps)))
    return samples, list(range(0, count, gap))


def _sized(nal: bytes) -> bytes:
    return struct.pack(">I", len(nal)) + nal


def _box(name: bytes, *parts: bytes) -> bytes:
    """A box (14496-12, 4.2)."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def _full(name: bytes, flags: int, *parts: bytes) -> bytes:
    """A full box of version 0."""
    return _box(name, struct.pack(">I", flags), *parts)


def _words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _video(width: int, height: int, fps: int, samples: Sequence[bytes], keys: Sequence[int]) -> _Track:
    """The video track, with an avc1 sample entry (14496-15, 5.4)."""
    sequence, picture = sequence_parameters(width, height, fps), picture_parameters()
    settings = _box(
        b"avcC",
        b"\x01" + sequence[1:4] + b"\xff\xe1" + struct.pack(">H", len(sequence)) + sequence,
        b"\x01" + struct.pack(">H", len(picture)) + picture,
    )
    entry = _box(
        b"avc1",
        bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HHII", width, height, 0x480000, 0x480000),
        bytes(4) + struct.pack(">H", 1) + bytes(32) + struct.pack(">Hh", 24, -1),
        settings,
    )
    sizes = [len(sample) for sample in samples]
    sync = [number + 1 for number in keys]
    header = _full(b"vmhd", 1, bytes(8))
    return _Track(1, fps * _TICKS, _TICKS, len(sizes), sizes, sync, b"vide", header, entry, (width, height))


def _sound(frames: int) -> _Track:
    """The track of silence, with an mp4a sample entry (14496-14, 5.6)."""
    config = b"\x05" + bytes((len(_AAC_CONFIG),)) + _AAC_CONFIG
    decoder = b"\x40\x15" + bytes(11) + config
    stream = b"\0\x02\0" + b"\x04" + bytes((len(decoder),)) + decoder + b"\x06\x01\x02"
    entry = _box(
        b"mp4a",
        bytes(6) + struct.pack(">H", 1) + bytes(8) + struct.pack(">HHHHI", 2, 16, 0, 0, _AAC_RATE << 16),
        _full(b"esds", 0, b"\x03" + bytes((len(stream),)) + stream),
    )
    header = _full(b"smhd", 0, bytes(4))
    return _Track(2, _AAC_RATE, _AAC_SAMPLES, frames, [len(_AAC_SILENCE)], (), b"soun", header, entry, (0, 0))


def _movie(tracks: Sequence[_Track], start: int) -> bytes:
    """The moov box; the samples of the tracks lie one after the other from byte ``start`` on."""
    timescale = tracks[0].timescale
    lasts = [-(-track.duration * timescale // track.timescale) for track in tracks]
    boxes = []
    for track, last in zip(tracks, lasts, strict=True):
        boxes.append(_track(track, last, start))
        start += track.size
    header = _words(0, 0, timescale, max(lasts), 0x10000) + struct.pack(">H", 0x100) + bytes(10)
    return _box(b"moov", _full(b"mvhd", 0, header, _MATRIX, bytes(24), _words(len(tracks) + 1)), *boxes)


def _track(track: _Track, last: int, start: int) -> bytes:
    """A trak box (14496-12, 8.3) with all samples in one chunk; ``last`` is its length in movie time."""
    volume = 0 if track.keys else 0x100
    width, height = track.shown
    one_size = len(track.sizes) == 1
    table = [
        _full(b"stsd", 0, _words(1), track.entry),
        _full(b"stts", 0, _words(1, track.samples, track.step)),
        *([_full(b"stss", 0, _words(len(track.keys), *track.keys))] if track.keys else []),
        _full(b"stsc", 0, _words(1, 1, track.samples, 1)),
        _full(
            b"stsz", 0, _words(track.sizes[0], track.samples) if one_size else _words(0, track.samples, *track.sizes)
        ),
        _full(b"stco", 0, _words(1, start)),
    ]
    language = struct.pack(">HH", 0x55C4, 0)  # undetermined
    place = bytes(8) + struct.pack(">HHHH", 0, 0, volume, 0) + _MATRIX + _words(width << 16, height << 16)
    data = _box(b"dinf", _full(b"dref", 0, _words(1), _full(b"url ", 1)))
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, _words(0, 0, track.timescale, track.duration), language),
        _full(b"hdlr", 0, bytes(4) + track.handler + bytes(12) + b"callsheet mock\0"),
        _box(b"minf", track.media, data, _box(b"stbl", *table)),
    )
    return _box(b"trak", _full(b"tkhd", 3, _words(0, 0, track.number, 0, last) + place), media)
