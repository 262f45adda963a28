"""A cassette's file: what is written is read again, whatever the bytes, and differences are told by place."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.testing.cassette import (
    LARGEST_KEPT,
    Asked,
    CassetteError,
    Interaction,
    body_digest,
    differences,
    read_cassette,
    write_cassette,
)
from callsheet.testing.cassette_redaction import CassetteRedactor

REDACTOR = CassetteRedactor()
HEADERS = {"content-type": ["text/plain"], "x-many": ["1", "2"]}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
    max_leaves=8,
)


def asked(body: object, query: str = "") -> Asked:
    """A request with this JSON."""
    content = json.dumps(body).encode()
    return Asked.of("POST", f"https://a.example/x{query}", {"Content-Type": "application/json"}, content, REDACTOR)


@given(bodies=st.lists(st.binary(max_size=50) | st.text(max_size=50).map(str.encode), max_size=4))
def test_what_is_written_is_read(tmp_path_factory, bodies):
    """Text in any script, with any line ends, and bytes of any kind."""
    path = tmp_path_factory.mktemp("c") / "c.json"
    made = [
        Interaction(asked({"n": number}), 200, HEADERS, body, "2026-11-21", "callsheet-acme 1")
        for number, body in enumerate(bodies)
    ]
    write_cassette(path, made, REDACTOR)
    read = read_cassette(path, REDACTOR)
    assert read == [Interaction(**{**vars(each), "body": _hidden(each.body)}) for each in made]
    first = path.read_bytes()
    write_cassette(path, read, REDACTOR)
    assert path.read_bytes() == first


def _hidden(body: bytes) -> bytes:
    try:
        return REDACTOR.text(body.decode()).encode() if b"\0" not in body else body
    except UnicodeDecodeError:
        return body


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path):
    """A full disk: it was paid for, and nothing else is left in the folder."""
    path = tmp_path / "c.json"
    made = [Interaction(asked({}), 200, HEADERS, b"steam", "2026-11-21", "")]
    write_cassette(path, made, REDACTOR)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        with pytest.raises(CassetteError, match="cannot be written"):
            write_cassette(path, made * 2, REDACTOR)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_lines_and_headers_are_short(tmp_path: Path):
    """So that a review shows what has changed."""
    made = [Interaction(asked({}), 200, HEADERS, b"data: 1\n\ndata: 2\n\n", "2026-11-21", "")]
    write_cassette(tmp_path / "c.json", made, REDACTOR)
    (each,) = json.loads((tmp_path / "c.json").read_text())["interactions"]
    assert each["response"]["body"] == ["data: 1\n", "\n", "data: 2\n", "\n"]
    assert each["response"]["headers"] == {"content-type": "text/plain", "x-many": ["1", "2"]}
    assert each["request"]["body"] == "{}"


def test_the_length_of_what_was_taken_out_is_told_anew(tmp_path: Path):
    """And what was said of the way it came is left out."""
    headers = {"Content-Length": ["99"], "Content-Encoding": ["gzip"], "Transfer-Encoding": ["chunked"]}
    made = [Interaction(asked({}), 200, headers, b'{"account_id": "abcdefgh"}', "2026-11-21", "")]
    write_cassette(tmp_path / "c.json", made, REDACTOR)
    (read,) = read_cassette(tmp_path / "c.json", REDACTOR)
    assert read.headers == {"content-length": [str(len(read.body))]}
    assert read.body == b'{"account_id": "redacted"}'


@pytest.mark.parametrize("body", [b"\xff\x00" * 9, b"x" * (LARGEST_KEPT + 1)], ids=["bytes", "large"])
def test_large_and_binary_requests_are_kept_by_digest(body):
    """It is enough to tell that they have changed."""
    kept, other = (Asked.of("POST", "https://a.example", {}, each, REDACTOR) for each in (body, body[:-1]))
    assert kept.text is None
    assert kept.digest == body_digest(body)
    assert kept != other
    (line,) = differences(kept, other)
    assert line == f"body: sha256 {kept.digest[:12]} was recorded, {other.digest[:12]} is sent"


@given(json_values)
def test_the_order_of_keys_is_no_difference(value):
    """Nor are spaces: equal JSON has one digest."""
    tidy, loose = (json.dumps(value, sort_keys=keys, indent=1 if keys else None).encode() for keys in (True, False))
    assert body_digest(tidy) == body_digest(loose)
    assert body_digest(b"") == ""


@given(json_values, json_values)
def test_each_difference_has_a_line(before, now):
    """At most seven; none for equal requests."""
    one, other = asked(before), asked(now)
    lines = differences(one, other)
    assert bool(lines) is (one != other)
    assert len(lines) <= 7


def test_differences_by_place():
    """Lists by index, where they are as long; long values are cut; the query is told of."""
    before = {"a": [1, {"b": 2}], "long": "x" * 100, "gone": None}
    now = {"a": [1, {"b": 3}], "long": "y" * 100, "c": [1, 2]}
    assert differences(asked(before, "?p=1"), asked(now)) == [
        "query: p=1 was recorded, none is sent",
        "$.a[1].b: 2 was recorded, 3 is sent",
        f'$.long: "{"x" * 58}… was recorded, "{"y" * 58}… is sent',
        "$.gone: is missing; null was recorded",
        "$.c: is new: [1, 2]",
    ]
    assert differences(asked(True), asked(1)) == ["$: true was recorded, 1 is sent"]
    many = {str(number): number for number in range(9)}
    assert differences(asked({}), asked(many))[-1] == "and 3 more"
