"""Canonical JSON and digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.artifacts import FileRef
from callsheet.digests import canonical, digest, json_ready
from callsheet.errors import ConfigError

SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**53), 2.0**53) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


class Colour(StrEnum):
    """An enumeration as requests have them."""

    RED = "red"


@dataclass
class Point:
    """A dataclass with a field that may be unset."""

    x: int
    label: str | None = None


@settings(deadline=None)
@given(JSON)
def test_canonical_is_json_of_the_same_value(value: object) -> None:
    """Canonical JSON reads back as the value."""
    assert json.loads(canonical(value)) == value


def _outcome(write: Callable[[object], bytes], value: object) -> bytes | str:
    try:
        return write(value)
    except (ValueError, ConfigError):
        return "refused"


ODD = st.integers() | st.floats() | st.text(st.characters(codec=None, categories=["Cs", "Lo", "Co", "So", "Cc", "Po"]))
EVERY_JSON = st.recursive(
    SCALARS | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | ODD.map(str), inner, max_size=4),
)


@settings(deadline=None)
@given(EVERY_JSON)
def test_canonical_is_rfc_8785_to_the_byte(value: object) -> None:
    """The quick way gives what the reference implementation gives, and refuses what that refuses."""
    assert _outcome(canonical, value) == _outcome(rfc8785.dumps, value)


@settings(deadline=None)
@given(st.dictionaries(st.text(), SCALARS, max_size=6), st.randoms())
def test_order_of_keys_does_not_matter(value: dict[str, object], random: object) -> None:
    """Two objects with the same keys have one digest."""
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert digest({k: value[k] for k in keys}) == digest(value)


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=2, unique=True))
def test_order_of_items_matters(items: list[int]) -> None:
    """A list is its order; a set is not."""
    assert digest(items) != digest(items[::-1])
    assert digest(frozenset(map(str, items))) == digest(set(map(str, reversed(items))))


def test_the_digest_stays_what_it_is() -> None:
    """The cache of every user hangs on this: the digest of a known value is a known digest."""
    value = {"b": [1, 1.0, "ü", None, True], "a": FileRef("ab" * 32, "image/png", 3, "any name.png")}
    wanted = '{"a":"callsheet-file:' + "ab" * 32 + '","b":[1,1,"ü",null,true]}'
    assert canonical(value) == wanted.encode()
    assert digest(value) == "c8bbf79754acab1005bb0096b2db02bebca8c48f839480eb8565ddfc09ff97a8"


def test_files_count_by_content_alone() -> None:
    """A renamed file is the same file."""
    one, two = FileRef("ab", "image/png", 3, "a.png"), FileRef("ab", "image/png", 3, "b.png")
    assert digest({"image": one}) == digest({"image": two}) == digest({"image": "callsheet-file:ab"})
    assert digest(one) != digest(FileRef("cd", "image/png", 3, "a.png"))


def test_json_ready() -> None:
    """Dataclasses lose what is unset, enumerations are their words, tuples lists, paths posix."""
    value = {"p": Point(1), "c": Colour.RED, "t": (1, 2), "path": PurePosixPath("a/b"), Colour.RED: 1}
    assert json_ready(value) == {"p": {"x": 1}, "c": "red", "t": [1, 2], "path": "a/b", "red": 1}
    assert type(json_ready(Colour.RED)) is str


def test_an_object_without_a_stable_form_is_refused() -> None:
    """Its repr would be another key tomorrow, and the same thing would be paid for again."""
    with pytest.raises(ConfigError, match="a object is not a JSON value"):
        json_ready({"x": [object()]})


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, -(2**53), 10**5000, "\ud800", {"\udfff": 1}],
    ids=["nan", "inf", "large", "small", "huge", "surrogate", "key"],
)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    """NaN, infinities, integers that other readers would round, and half surrogate pairs are errors, not digests."""
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        digest({"a": [value]})


def test_endless_nesting_is_refused() -> None:
    """A list inside itself ends in our error."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(ConfigError, match="cannot be written"):
        digest(value)
