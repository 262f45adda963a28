"""WAV sound: a short pattern of notes, repeated (RIFF WAVE, PCM)."""

from __future__ import annotations

import struct
from typing import Final

from .seeds import Seed

MAX_BYTES: Final = 4_000_000
_HEADER: Final = 44
# Lower sample rates in Hz for sound that would be too long, with their bits a sample.
_STEPS_DOWN: Final = (
    (16000, 16),
    (12000, 16),
    (8000, 16),
    (8000, 8),
    (6000, 8),
    (4000, 8),
    (3000, 8),
    (2000, 8),
    (1500, 8),
    (1000, 8),
    (500, 8),
    (250, 8),
)
# Hz, rounded: two octaves of a pentatonic scale from C4.
_SCALE: Final = (262, 294, 330, 392, 440, 523, 587, 659, 784, 880)
_NOTES: Final = 8  # a pattern
_NOTES_A_SECOND: Final = 4
_PHASES: Final = 1024  # a wave
_LOUDNESS: Final = 9000


def wav(seconds: float, seed: Seed, *, rate: int = 24000) -> bytes:
    """Mono sound of round(seconds * rate) samples, 16 bits each; always below 4 MB.

    Where the file would pass 4 MB the rate, and then the sample size, is lower; the duration stays. At
    most about 4.4 hours fit.
    """
    if not 250 <= rate <= 384000:
        raise ValueError(f"sample rate must be 250 to 384000 Hz, not {rate}")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"duration must be a number of seconds from 0, not {seconds}")
    rate, bits = _encoding(seconds, rate)
    size = round(seconds * rate) * (bits // 8)
    pattern = _pattern(seed.fork("wav"), rate, bits)
    data = (pattern * (size // len(pattern) + 1))[:size]
    padding = b"\0" * (size % 2)
    head = struct.pack("<HHIIHH", 1, 1, rate, rate * bits // 8, bits // 8, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data + padding
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _encoding(seconds: float, rate: int) -> tuple[int, int]:
    """The first sample rate and size with which the file is small enough."""
    for slower, bits in ((rate, 16), *_STEPS_DOWN):
        if slower <= rate and round(seconds * slower) * (bits // 8) + _HEADER < MAX_BYTES:
            return slower, bits
    raise ValueError(f"{seconds} seconds of sound do not fit into {MAX_BYTES} bytes")


def _sine() -> list[int]:
    """One wave, -10000 to 10000, by Bhaskara's formula in integers (no rounding by the platform)."""
    half = _PHASES // 2
    rise = []
    for x in range(half):
        product = x * (half - x)
        rise.append(10000 * 16 * product // (5 * half * half - 4 * product))
    return rise + [-value for value in rise]


def _pattern(seed: Seed, rate: int, bits: int) -> bytes:
    """Two seconds of notes with soft starts and ends."""
    wave = _sine()
    length = rate // _NOTES_A_SECOND
    notes = [seed.choice(_SCALE) for _ in range(_NOTES)]
    played = {note: _note(note, rate, length, wave) for note in sorted(set(notes))}
    samples = [value for note in notes for value in played[note]]
    if bits == 8:
        return bytes(128 + (value >> 8) for value in samples)
    return struct.pack(f"<{len(samples)}h", *samples)


def _note(hertz: int, rate: int, length: int, wave: list[int]) -> list[int]:
    """One note of ``length`` samples, 16 bits; octaves lower where the rate cannot carry the pitch."""
    while hertz * 4 > rate:
        hertz //= 2
    step = (hertz * _PHASES << 16) // rate
    attack = max(1, length // 16)
    # Loudness rises over the attack and then falls to nothing, both in a straight line.
    rising = [_LOUDNESS * i // attack for i in range(attack)]
    falling = [_LOUDNESS * (length - i) // (length - attack) for i in range(attack, length)]
    return [loudness * wave[(i * step >> 16) % _PHASES] // 10000 for i, loudness in enumerate(rising + falling)]
