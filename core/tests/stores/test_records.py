"""Records as JSON: what is written reads back equal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from callsheet.artifacts import BlobArtifact, FileRef, JsonArtifact, TextArtifact
from callsheet.errors import CallsheetError
from callsheet.jobs import CallWarning, Expected, JobResult, Receipt, Usage, WarningKind
from callsheet.messages import FilePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from callsheet.models import ModelRef, Operation
from callsheet.money import Cost
from callsheet.secrets import Redactor, Secret
from callsheet.storage import Failure
from callsheet.stores.records import (
    decode_failure,
    decode_mapping,
    decode_receipt,
    decode_result,
    encode_failure,
    encode_mapping,
    encode_receipt,
    encode_result,
    masked,
)

# Every character, lone surrogates too: vendors send them.
texts = st.text(st.characters(), max_size=20)
numbers = st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(texts, json_values, max_size=4)
maybe_int = st.none() | st.integers(0, 10**9)
maybe_float = st.none() | numbers
dollars = st.decimals(0, 10**6, allow_nan=False, places=8)
costs = st.builds(Cost, dollars, dollars) | st.builds(Cost.unknown, texts)
files = st.builds(FileRef, st.text("0123456789abcdef", min_size=64, max_size=64), texts, st.integers(0), texts)
artifacts = (
    st.builds(TextArtifact, texts, texts)
    | st.builds(JsonArtifact, json_values, texts)
    | st.builds(BlobArtifact, files, maybe_int, maybe_int, maybe_float)
)
parts = (
    st.builds(TextPart, texts)
    | st.builds(FilePart, files)
    | st.builds(ReasoningPart, texts, texts)
    | st.builds(ToolCallPart, texts, texts, mappings)
    | st.builds(ToolResultPart, texts, texts, st.booleans())
)
usages = st.builds(Usage, maybe_int, maybe_int, maybe_int, maybe_int, st.dictionaries(texts, numbers, max_size=3))
results = st.builds(
    JobResult,
    st.lists(artifacts, max_size=3).map(tuple),
    usages,
    st.lists(st.builds(CallWarning, st.sampled_from(WarningKind), texts, texts), max_size=2).map(tuple),
    st.sampled_from(["stop", "length", "content_filter", "refusal", "tool_calls"]),
    st.none() | costs,
    mappings,
    st.lists(parts, max_size=3).map(tuple),
)
expecteds = st.builds(
    Expected,
    st.sampled_from(["text", "json", "blob"]),
    texts,
    st.integers(1, 9),
    maybe_int,
    maybe_int,
    maybe_float,
    maybe_int,
    st.none() | st.booleans(),
    st.none() | mappings,
)
receipts = st.builds(
    Receipt,
    st.builds(ModelRef, texts, texts, st.sampled_from(["local", "cloud"])),
    st.sampled_from(Operation),
    texts,
    texts,
    texts,
    st.lists(expecteds, max_size=2).map(tuple),
    numbers,
    maybe_float,
    texts,
    texts,
    mappings,
)
failures = st.builds(Failure, texts, texts, texts, st.booleans(), maybe_float, maybe_int, texts)

thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(results)
def test_a_result_reads_back_equal(result):
    """Every artifact, every text, every number, exactly."""
    assert decode_result(encode_result(result)) == result


@thorough
@given(receipts)
def test_a_receipt_reads_back_equal(receipt):
    """The expected outputs and the plugin's own state included."""
    assert decode_receipt(encode_receipt(receipt)) == receipt


@thorough
@given(failures)
def test_a_failure_reads_back_equal(failure):
    """All of what an error said."""
    assert decode_failure(encode_failure(failure)) == failure


@thorough
@given(mappings)
def test_a_mapping_reads_back_equal(mapping):
    """Plain JSON data, in ASCII, so that any reader takes it."""
    text = encode_mapping(mapping)
    assert text.isascii()
    assert decode_mapping(text) == mapping


def test_money_is_text_and_stays_exact():
    """Trailing zeros too."""
    result = JobResult((), cost=Cost(Decimal("0.030"), Decimal("0.1") + Decimal("0.2")))
    assert json.loads(encode_result(result))["cost"] == {"low": "0.030", "high": "0.3", "reason": ""}
    assert str(decode_result(encode_result(result)).cost.low) == "0.030"


def test_where_a_file_lies_is_not_kept():
    """A location belongs to one machine."""
    result = JobResult((BlobArtifact(FileRef("a" * 64, "image/png", 3), location=Path("/home/me/secret")),))
    assert "location" not in encode_result(result)
    assert "secret" not in encode_result(result)
    assert decode_result(encode_result(result)) == result


def test_what_plugins_put_into_metadata_is_never_a_reason_to_lose_a_result():
    """NaN, tuples, files, paths and odd keys are written as well as JSON can."""
    file = FileRef("a" * 64, "image/png", 3)
    meta = {"nan": float("nan"), "pair": (1, 2), "path": Path("a/b"), "who": object, "d": Decimal("1.50"), "b": b"x"}
    read = decode_result(encode_result(JobResult((TextArtifact("x"),), meta=meta))).meta
    assert read["nan"] != read["nan"]
    assert (read["pair"], read["path"], read["d"]) == ([1, 2], "a/b", "1.50")
    assert decode_mapping(encode_mapping({"image": file, (1, 2): {3}})) == {"image": file.uri, "(1, 2)": ["3"]}


def test_odd_keys_cost_a_result_nothing_else():
    """Its files are read back as files, those in its metadata as what is known of them; a class is no record."""
    file = FileRef("a" * 64, "image/png", 3)
    meta = {(1, 2): {3: file}, "none": None, "kind": FileRef}
    result = JobResult((BlobArtifact(file, location=Path("a/b")),), cost=Cost(Decimal("0.10"), None, "why"), meta=meta)
    read = decode_result(encode_result(result))
    assert (read.artifacts, read.cost) == (result.artifacts, result.cost)
    known = {"sha256": file.sha256, "media_type": "image/png", "bytes": 3, "name": ""}
    assert read.meta == {"(1, 2)": {"3": known}, "none": None, "kind": str(FileRef)}


def test_cycles_are_refused():
    """There is no JSON of them."""
    endless: dict[str, object] = {}
    endless["again"] = endless
    with pytest.raises(CallsheetError, match="cannot be written"):
        encode_mapping(endless)
    with pytest.raises(CallsheetError, match="cannot be written"):
        masked(endless, Redactor())
    with pytest.raises(CallsheetError, match="cannot be written"):
        encode_result(JobResult((TextArtifact("x"),), meta=endless))


KEY = "hunter2-hunter2"


@dataclass(frozen=True)
class _Hiding:
    key: str = field(default=KEY, repr=False)


class _Parsed(BaseModel):
    key: str = Field(default=KEY, repr=False)


@pytest.mark.parametrize(
    "value",
    [
        {"password": "correct horse"},
        KEY,
        (KEY,),
        Path("/srv") / KEY,
        {KEY},
        ValueError(f"no {KEY}"),
        TextPart(KEY),
        FileRef("a" * 64, "image/png", 3, KEY),
        Cost.unknown(KEY),
        [_Hiding()],
        _Parsed(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_is_masked_wherever_it_lies(value):
    """In what is told, in what is written, and in a result whose metadata it is."""
    redactor = Redactor()
    redactor.add(Secret(KEY))
    told, text = masked({"at": value, "n": 1}, redactor)
    for shown in (str(told), text, encode_result(JobResult((), meta=told))):
        assert "[redacted]" in shown
        assert not any(secret in shown for secret in (KEY, "correct", "horse"))
    assert (told["n"], decode_mapping(text)["n"]) == (1, 1)


@thorough
@given(mappings)
def test_what_tells_no_secret_stays_as_it_is(mapping):
    """No JSON data either; what is written is what it was."""
    assert masked(mapping, Redactor()) == (mapping, encode_mapping(mapping))
    odd = {"path": Path("a/b"), "who": ValueError("no"), "pair": (1, FileRef("a" * 64, "image/png", 3)), None: 1}
    told, text = masked({**mapping, "odd": odd}, Redactor())
    assert told == {**mapping, "odd": odd}
    assert text == encode_mapping({**mapping, "odd": odd})


@pytest.mark.parametrize("text", ["the bottom", KEY, f"password={KEY}"])
def test_what_is_very_deep_is_written_all_the_same(text):
    """Without the secret in it: it may be part of a result that was paid for."""
    redactor = Redactor()
    redactor.add(Secret(KEY))
    deep: dict[str, object] = {"at": text}
    for _ in range(350):
        deep = {"deeper": deep}
    with pytest.raises(RecursionError):
        redactor.mapping(deep)
    told, written = masked(deep, redactor)
    assert written == encode_mapping(deep).replace(KEY, "[redacted]") == encode_mapping(told)


def test_what_was_parsed_with_pydantic_is_written_open():
    """Its fields, not its text."""
    parts = (ToolCallPart("1", "look", {"where": _Parsed(key="here")}),)
    read = decode_result(encode_result(JobResult((), parts=parts)))
    assert read.parts == (ToolCallPart("1", "look", {"where": {"key": "here"}}),)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"job_id": "top secret"}', "9" * 5000])
def test_what_is_no_receipt_is_refused(text):
    """A receipt may come from anywhere; the message does not repeat its content."""
    with pytest.raises(CallsheetError) as caught:
        decode_receipt(text)
    assert "top secret" not in str(caught.value)
    if text != '{"job_id": "top secret"}':
        with pytest.raises(CallsheetError):
            decode_mapping(text)
