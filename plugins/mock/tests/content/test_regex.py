"""Strings for patterns."""

from __future__ import annotations

import re
import warnings

import jsonschema_rs
import pytest

from callsheet_mock.content.regex import matching, python_pattern
from callsheet_mock.content.seeds import Seed

PATTERNS = [
    "",
    "abc",
    "^a|b$",
    "^[a-z]{3,5}$",
    "^[^a-z]+$",
    r"^\d{4}-\d{2}-\d{2}$",
    r"^\+?[1-9]\d{1,14}$",
    r"^#(?:[0-9a-fA-F]{3}){1,2}$",
    r"^[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,4}$",
    r"^(?P<year>\d{4})$".replace("?P", "?"),
    r"^\S+@\S+\.\S+$",
    r"^https?://[\w.-]+(/[\w./-]*)?$",
    r"^(red|green|blue)(,(red|green|blue))*$",
    r"^\w+\s\W\D$",
    r"^[\w\-\[\]]+$",
    r"^[]a]+$".replace("[]a]", r"[\]a]"),
    r"^[\x41-\x43\u0044]{4}$",
    r"^\p{Lu}\p{L}*$",
    r"^\/v\d+\/[^/]+$",
    r"^.{0,3}$",
    r"^(a{2}){2,}?$",
    r"^\{\}\$\^\.$",
    r"^[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}$",
    r"^\bword\b$",
    r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_strings_match_their_pattern(pattern: str) -> None:
    """An independent validator finds the pattern in the strings of ten seeds."""
    for number in range(10):
        text = matching([pattern], 0, None, Seed(bytes([number])))
        assert text is not None
        assert jsonschema_rs.is_valid({"pattern": pattern}, text), text


@pytest.mark.parametrize(
    ("pattern", "low", "high"),
    [("^[a-z]+$", 40, 40), ("foo", 20, 25), (r"^(\d{3}-)*\d{4}$", 9, 12), ("^a*b*c?$", 7, 7), ("^(ab|cde)+$", 11, 11)],
)
def test_lengths_are_kept(pattern: str, low: int, high: int) -> None:
    """Patterns and length limits hold together."""
    text = matching([pattern], low, high, Seed(b"1"))
    assert text is not None
    assert re.search(pattern, text)
    assert low <= len(text) <= high


def test_several_patterns_hold_at_once() -> None:
    """Look-aheads and further patterns are met by trying."""
    text = matching([r"^(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{8,}$", "[x-z]"], 0, 12, Seed(b"1"))
    assert text is not None
    assert re.search("[A-Z]", text)
    assert re.search("[x-z]", text)


@pytest.mark.parametrize(("pattern", "low"), [("^(?!a)a$", 0), ("^ab$", 3), ("(", 0), ("[z-a]", 0), ("^(a", 0)])
def test_what_cannot_match_gives_none(pattern: str, low: int) -> None:
    """Contradictions and broken patterns are no error here."""
    assert matching([pattern], low, None, Seed(b"1")) is None


def test_back_references_repeat_their_group() -> None:
    """By number and by name."""
    text = matching([r"^(?<first>[a-z]{2})(\d)\k<first>\2$"], 0, None, Seed(b"1"))
    assert text is not None
    assert text[:3] == text[3:]


def test_translated_patterns_compile_without_warning() -> None:
    """Brackets and doubled signs in a class are escaped for Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert re.search(python_pattern(r"^[[a&&b||d~~-]+\z"), "[a&-|~")
