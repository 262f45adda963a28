"""MP3 files of silence (MPEG audio layer III: ISO/IEC 11172-3 and 13818-3)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

MAX_BYTES: Final = 4_000_000
_FEWEST: Final = 6  # frames; with fewer, ffprobe is not sure that this is MP3


class _Format(NamedTuple):
    """A constant bit rate format, mono; sizes are of one frame."""

    header: bytes
    rate: int  # Hz
    samples: int
    size: int  # bytes
    side: int  # bytes of side information, after the header


_FORMATS: Final = (
    _Format(b"\xff\xfb\x14\xc4", 48000, 1152, 96, 17),  # MPEG-1, 32 kbit/s
    _Format(b"\xff\xf3\x18\xc4", 16000, 576, 36, 9),  # MPEG-2, 8 kbit/s
)


def mp3(seconds: float) -> bytes:
    """Silence of the duration, to the nearest frame (24 ms, or 36 ms above 16 minutes) and at least six frames.

    An Info frame tells the number of frames. At most about 66 minutes fit below 4 MB.
    """
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"duration must be a number of seconds from 0, not {seconds}")
    for form in _FORMATS:
        count = max(_FEWEST, round(seconds * form.rate / form.samples))
        size = form.size * (count + 1)
        if size < MAX_BYTES:
            # Side information of zeros: granules without any coded values.
            frame = form.header.ljust(form.size, b"\0")
            info = form.header + bytes(form.side) + b"Info" + struct.pack(">III", 3, count, size)
            return info.ljust(form.size, b"\0") + frame * count
    raise ValueError(f"{seconds} seconds of sound do not fit into {MAX_BYTES} bytes")
