"""Readable text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet_mock.content.prose import paragraph, speech_seconds, words
from callsheet_mock.content.seeds import Seed


@given(st.binary(max_size=4), st.integers(1, 120))
def test_the_number_of_words_is_exact(data: bytes, count: int) -> None:
    """As many words as asked for, in sentences."""
    text = words(Seed(data), count)
    assert len(text.split()) == count
    assert text[0].isupper()
    assert text.endswith(".")
    assert text.isascii()


def test_no_words() -> None:
    """None asked for, none given."""
    assert words(Seed(b""), 0) == ""


@given(st.binary(max_size=4), st.integers(1, 200))
def test_paragraphs_are_about_as_long_as_asked(data: bytes, target: int) -> None:
    """Within a tenth, and never less than a sentence."""
    assert abs(len(paragraph(Seed(data), target).split()) - max(6, target)) <= max(5, target // 10)


def test_golden_text() -> None:
    """The text never changes."""
    assert words(Seed(b"golden"), 12) == "The soft lantern follows the train behind the river below the frame."


@pytest.mark.parametrize(
    ("text", "speed", "seconds"),
    [
        ("", 1, 0.5),
        ("one", 1, 0.5),
        ("word " * 150, 1, 60),
        ("word " * 150, 1.5, 40),
        ("a b c d e f g", 3, 0.93),
        ("雪" * 36, 1, 1.2),
    ],
)
def test_speech_takes_its_time(text: str, speed: float, seconds: float) -> None:
    """150 words a minute, times the speed."""
    assert speech_seconds(text, speed) == seconds


def test_a_speed_of_nothing_is_refused() -> None:
    """Speech that never ends is not offered."""
    with pytest.raises(ValueError, match="above 0"):
        speech_seconds("word", 0)
