"""WAV sound."""

from __future__ import annotations

import hashlib
import io
import wave
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet_mock.content.seeds import Seed
from callsheet_mock.content.wav import wav


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 30), st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000]))
def test_durations_are_exact(seconds: float, rate: int) -> None:
    """As many samples as round(seconds * rate)."""
    with wave.open(io.BytesIO(wav(seconds, Seed(b"1"), rate=rate))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, rate)
        assert sound.getnframes() == round(seconds * rate)


@pytest.mark.parametrize("seconds", [0.3, 2.345, 60, 83.5, 300, 601.25, 3600, 14400])
def test_any_duration_up_to_four_hours_fits(seconds: float, media: Any) -> None:
    """ffprobe finds the duration to a sample; no file passes 4 MB."""
    data = wav(seconds, Seed(b"1"))
    found = media.probe(data)
    assert len(data) < 4_000_000
    assert abs(float(found["format"]["duration"]) - seconds) <= 1 / int(found["streams"][0]["sample_rate"])


@pytest.mark.parametrize("seconds", [1, 3600])
def test_sound_is_audible(seconds: float) -> None:
    """The samples span a good part of their range."""
    with wave.open(io.BytesIO(wav(seconds, Seed(b"1")))) as sound:
        data = sound.readframes(sound.getnframes())
        if sound.getsampwidth() == 1:
            assert max(data) - min(data) > 50
        else:
            values = [int.from_bytes(data[n : n + 2], "little", signed=True) for n in range(0, len(data), 2)]
            assert max(values) > 7000
            assert min(values) < -7000


def test_seeds_choose_notes() -> None:
    """Other seeds, other patterns."""
    assert len({wav(2, Seed(bytes([n]))) for n in range(5)}) == 5


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 10**6])
def test_impossible_durations_are_refused(seconds: float) -> None:
    """Only what a small file can hold is made."""
    with pytest.raises(ValueError, match="seconds"):
        wav(seconds, Seed(b""))


@pytest.mark.parametrize(("seconds", "digest"), [(1.5, "5f98d926832f198e"), (1000, "94eb2950df7e7c83")])
def test_golden_bytes(seconds: float, digest: str) -> None:
    """The bytes never change."""
    assert hashlib.sha256(wav(seconds, Seed(b"golden"))).hexdigest()[:16] == digest
