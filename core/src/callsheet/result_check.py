"""Is the result what was promised? Kind, number, media type by signature, and JSON by its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callsheet.artifacts import Artifact, BlobArtifact, JsonArtifact, TextArtifact
from callsheet.errors import MalformedOutputError
from callsheet.jobs import Expected, JobResult
from callsheet.media import HEAD_BYTES, sniff
from callsheet.storage import BlobStore

__all__ = ["check_result", "has_all_files", "schema_problem"]


def check_result(expects: Sequence[Expected], result: JobResult, blobs: BlobStore, ref: str) -> None:
    """Raises MalformedOutputError (paid for, `finished`) when the result is not what the request promised."""
    problem = _problem(expects, result, blobs)
    if problem:
        raise MalformedOutputError(f"{ref} gave a result that is not as promised: {problem}", ref=ref)


def has_all_files(result: JobResult, blobs: BlobStore) -> bool:
    """True when every file of a stored result is still in the store."""
    return all(blobs.has(a.file.sha256) for a in result.artifacts if isinstance(a, BlobArtifact))


def _problem(expects: Sequence[Expected], result: JobResult, blobs: BlobStore) -> str:
    if result.finish in ("content_filter", "refusal", "tool_calls"):
        return ""  # an answer of its own kind; whether it will do is for the caller to say
    wanted = [expected for expected in expects for _ in range(expected.count)]
    if len(result.artifacts) < len(wanted):
        return f"{len(result.artifacts)} of {len(wanted)} outputs"
    for number, (expected, artifact) in enumerate(zip(wanted, result.artifacts, strict=False)):
        problem = _artifact_problem(expected, artifact, blobs)
        if problem:
            return f"output {number}: {problem}"
    return ""


def _artifact_problem(expected: Expected, artifact: Artifact, blobs: BlobStore) -> str:
    if artifact.kind != expected.kind:
        return f"{artifact.kind} instead of {expected.kind}"
    match artifact:
        case TextArtifact(text=text):
            return "" if text.strip() else "the text is empty"
        case JsonArtifact(value=value):
            return schema_problem(value, expected.schema) if expected.schema is not None else ""
        case BlobArtifact():
            return _file_problem(artifact, blobs)


def _file_problem(artifact: BlobArtifact, blobs: BlobStore) -> str:
    if artifact.file.bytes == 0:
        return "the file is empty"
    if not blobs.has(artifact.file.sha256):
        return "the file did not reach the store"
    with blobs.path(artifact.file.sha256).open("rb") as stream:
        real = sniff(stream.read(HEAD_BYTES))
    declared = artifact.media_type.partition(";")[0]
    if real is not None and real.partition("/")[0] != declared.partition("/")[0]:
        return f"declared as {declared}, but the file is {real}"
    return ""


def schema_problem(value: object, schema: Mapping[str, object]) -> str:
    """The first place where a JSON value breaks a schema, or an empty text."""
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(dict(schema))
    except (jsonschema_rs.ValidationError, ValueError) as error:
        return f"the schema itself is not valid: {error}"
    for problem in validator.iter_errors(value):
        path = "/".join(str(part) for part in problem.instance_path)
        return f"at /{path}: {problem.message}"
    return ""
