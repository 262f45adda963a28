"""Is the result what was promised?"""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.artifacts import Artifact, BlobArtifact, JsonArtifact, TextArtifact
from callsheet.errors import MalformedOutputError, Sent
from callsheet.jobs import Expected, JobResult, Usage
from callsheet.models import Operation
from callsheet.result_check import check_result, has_all_files, schema_fault, schema_problem
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.records import decode_result, encode_result

PNG = b"\x89PNG\r\n\x1a\n"
MP4 = b"\0\0\0\x20ftypisom"
TEXT, JSON, IMAGE = Expected("text", "text/plain"), Expected("json", "application/json"), Expected("blob", "image/png")


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of these tests."""
    return "asyncio"


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """An empty store."""
    return LocalBlobs(tmp_path)


def problem(blobs: LocalBlobs, expected: Expected, *artifacts: Artifact, **more: str) -> str:
    """What the check says, empty when all is well."""
    try:
        made = JobResult(artifacts, **more)  # type: ignore[arg-type]
        check_result([expected], made, blobs, "p:m", Operation.TEXT_GENERATE)
    except MalformedOutputError as error:
        known, told = (error.sent, error.ref), str(error)
        assert known == (Sent.FINISHED, "p:m")
        return told
    return ""


@pytest.mark.parametrize(
    ("data", "declared", "promised", "told"),
    [
        (PNG, "image/png", "image/png", ""),
        (b"\xff\xd8\xff", "image/jpeg", "image/png", ""),
        (PNG, "application/octet-stream", "image/png", ""),
        (MP4, "audio/mp4", "audio/mp4", ""),
        (b"\x1aE\xdf\xa3", "audio/webm", "audio/mpeg", ""),
        (b"\0\0\0\x20ftypavif", "image/avif", "image/png", ""),
        (b"whatever", "video/mp4", "video/mp4", ""),
        (PNG, "image/png", "application/octet-stream", ""),
        (b"", "image/png", "image/png", "the file is empty"),
        (PNG, "video/mp4", "video/mp4", "declared as video/mp4, but the file is image/png"),
        (PNG, "image/png", "video/mp4", "image/png instead of video/mp4"),
        (b"<html>", "text/html", "image/png", "text/html instead of image/png"),
        (MP4, "video/mp4", "image/png", "video/mp4 instead of image/png"),
    ],
)
async def test_files(blobs: LocalBlobs, data: bytes, declared: str, promised: str, told: str) -> None:
    """The signature counts: a file is of the promised medium and what it was declared as."""
    file = await blobs.put(data, declared)
    found = problem(blobs, Expected("blob", promised), BlobArtifact(file))
    assert told in found
    assert bool(told) is bool(found)


async def test_files_that_are_gone(blobs: LocalBlobs) -> None:
    """A file that is not in the store is no result, now or later."""
    file = await blobs.put(PNG, "image/png")
    result = JobResult((BlobArtifact(file), TextArtifact("x")))
    assert has_all_files(result, blobs)
    blobs.path(file.sha256).unlink()
    assert not has_all_files(result, blobs)
    assert "did not reach the store" in problem(blobs, IMAGE, BlobArtifact(file))


@pytest.mark.parametrize(
    ("expected", "artifacts", "told"),
    [
        (TEXT, [TextArtifact("x")], ""),
        (TEXT, [TextArtifact("x"), TextArtifact("more")], ""),
        (TEXT, [TextArtifact(" \n")], "the text is empty"),
        (TEXT, [JsonArtifact(1)], "json instead of text"),
        (TEXT, [], "0 of 1 outputs"),
        (Expected("text", "text/plain", count=2), [TextArtifact("x")], "1 of 2 outputs"),
        (JSON, [JsonArtifact(None)], ""),
        (JSON, [JsonArtifact({"a": float("nan")})], "the value is not JSON"),
        (JSON, [JsonArtifact({"a": object()})], "the value is not JSON"),
        (
            Expected("json", "application/json", schema={"type": "string"}),
            [JsonArtifact(1)],
            'at /: 1 is not of type "string"',
        ),
    ],
)
def test_number_and_kind(blobs: LocalBlobs, expected: Expected, artifacts: list[Artifact], told: str) -> None:
    """Too few, of another kind, empty, or no JSON at all: each says so."""
    found = problem(blobs, expected, *artifacts)
    assert told in found
    assert bool(told) is bool(found)


def test_silence_is_an_empty_transcript(blobs: LocalBlobs) -> None:
    """Nobody spoke: that is an answer, where a text that was to be written is none."""
    check_result([TEXT], JobResult((TextArtifact(""),)), blobs, "p:m", Operation.AUDIO_TRANSCRIBE)
    with pytest.raises(MalformedOutputError, match="the text is empty"):
        check_result([TEXT], JobResult((TextArtifact(""),)), blobs, "p:m", Operation.TEXT_GENERATE)


@pytest.mark.parametrize("finish", ["content_filter", "refusal", "tool_calls"])
def test_answers_of_their_own_kind(blobs: LocalBlobs, finish: str) -> None:
    """A refusal is a result with a class, not a malformed one."""
    assert problem(blobs, IMAGE, finish=finish) == ""
    assert problem(blobs, IMAGE, finish="length") != ""


def test_schema_problems() -> None:
    """The first place that breaks the schema is named; references inside of it work."""
    schema = {"properties": {"a": {"items": {"$ref": "#/$defs/n"}}}, "$defs": {"n": {"type": "number"}}}
    assert schema_problem({"a": [1, 2]}, schema) == ""
    assert schema_problem({"a": [1, "x"]}, schema).startswith("at /a/1: ")
    assert schema_fault(schema) == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nope"},
        {"pattern": "("},
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"$ref": "#/$defs/absent"}}},
    ],
)
def test_schemas_that_are_none(schema: dict[str, object]) -> None:
    """A broken schema says so in one line, and nothing is ever fetched for one."""
    assert schema_fault(schema)
    assert "\n" not in schema_fault(schema)
    assert "sending request" not in schema_fault(schema)
    assert "schema itself is not valid" in schema_problem({"a": 1}, schema)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(1, 2, 3, 4, {"run": 1.5, "second": 2}),
        Usage(12.0),  # type: ignore[arg-type]
        Usage("12"),  # type: ignore[arg-type]
        Usage(output_tokens=1.5),  # type: ignore[arg-type]
        Usage(cached_tokens={}),  # type: ignore[arg-type]
        Usage(reasoning_tokens=float("inf")),  # type: ignore[arg-type]
        Usage(units={"run": "many"}),  # type: ignore[dict-item]
    ],
)
def test_what_could_not_be_read_again_is_refused(blobs: LocalBlobs, usage: Usage) -> None:
    """A record with such a usage could be written, and would keep its call from ever being used or made again."""
    made = JobResult((TextArtifact("x"),), usage=usage)
    if problem(blobs, TEXT, *made.artifacts, usage=usage):  # type: ignore[arg-type]
        assert usage not in (Usage(), Usage(12.0))  # type: ignore[arg-type]
    else:
        assert decode_result(encode_result(made)) == made
