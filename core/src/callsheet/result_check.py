"""Is the result what was promised? Kind, number, media type by signature, and JSON by its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callsheet.artifacts import Artifact, BlobArtifact, JsonArtifact, TextArtifact
from callsheet.errors import MalformedOutputError
from callsheet.jobs import Expected, JobResult, Usage
from callsheet.media import HEAD_BYTES, sniff
from callsheet.model_schemas import closed_validator
from callsheet.models import Operation
from callsheet.storage import BlobStore

__all__ = ["check_result", "has_all_files", "schema_fault", "schema_problem"]

_MEDIA = frozenset({"audio", "image", "video"})
_CONTAINERS = frozenset({"video/mp4", "video/webm", "video/quicktime", "audio/ogg", "audio/mp4"})


def check_result(
    expects: Sequence[Expected], result: JobResult, blobs: BlobStore, ref: str, operation: Operation
) -> None:
    """Raises MalformedOutputError (paid for, `finished`) when the result is not what the request promised."""
    problem = _problem(expects, result, blobs, operation)
    if problem:
        raise MalformedOutputError(f"{ref} gave a result that is not as promised: {problem}", ref=ref)


def has_all_files(result: JobResult, blobs: BlobStore) -> bool:
    """True when every file of a stored result is still in the store."""
    return all(blobs.has(a.file.sha256) for a in result.artifacts if isinstance(a, BlobArtifact))


def _problem(expects: Sequence[Expected], result: JobResult, blobs: BlobStore, operation: Operation) -> str:
    if not _is_readable(result.usage):
        return "its usage is counted in something else than numbers"
    if result.finish in ("content_filter", "refusal", "tool_calls"):
        return ""  # an answer of its own kind; whether it will do is for the caller to say
    wanted = [expected for expected in expects for _ in range(expected.count)]
    if len(result.artifacts) < len(wanted):
        return f"{len(result.artifacts)} of {len(wanted)} outputs"
    for number, (expected, artifact) in enumerate(zip(wanted, result.artifacts, strict=False)):
        problem = _artifact_problem(expected, artifact, blobs, operation)
        if problem:
            return f"output {number}: {problem}"
    return ""


def _is_readable(usage: Usage) -> bool:
    """False for what could be written to the ledger and never be read again, with all that was paid for beside it."""
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    whole = all(n is None or isinstance(n, int) or (isinstance(n, float) and n.is_integer()) for n in counts)
    return whole and all(isinstance(amount, (int, float)) for amount in usage.units.values())


def _artifact_problem(expected: Expected, artifact: Artifact, blobs: BlobStore, operation: Operation) -> str:
    if artifact.kind != expected.kind:
        return f"{artifact.kind} instead of {expected.kind}"
    match artifact:
        case TextArtifact(text=text):
            # nobody speaks in silence
            fits = text.strip() or operation is Operation.AUDIO_TRANSCRIBE
            return "" if fits else "the text is empty"
        case JsonArtifact():
            return _json_problem(artifact, expected.schema)
        case BlobArtifact():
            return _file_problem(expected, artifact, blobs)


def _json_problem(artifact: JsonArtifact, schema: Mapping[str, object] | None) -> str:
    try:
        artifact.data()
    except (ValueError, TypeError, RecursionError) as error:
        return f"the value is not JSON: {error}"
    return schema_problem(artifact.value, schema) if schema is not None else ""


def _file_problem(expected: Expected, artifact: BlobArtifact, blobs: BlobStore) -> str:
    if artifact.file.bytes == 0:
        return "the file is empty"
    if not blobs.has(artifact.file.sha256):
        return "the file did not reach the store"
    with blobs.path(artifact.file.sha256).open("rb") as stream:
        real = sniff(stream.read(HEAD_BYTES))
    declared = artifact.media_type.partition(";")[0].strip().lower()
    if real is not None and not _same_medium(real, declared):
        return f"declared as {declared}, but the file is {real}"
    found = real or declared
    if not _same_medium(found, expected.media_type):
        return f"{found} instead of {expected.media_type}"
    return ""


def _same_medium(found: str, promised: str) -> bool:
    """True for one medium, for what the signature cannot tell (MP4, WebM and Ogg hold sound too), and for no promise."""
    one, other = found.partition("/")[0], promised.partition("/")[0]
    if other not in _MEDIA or one == other:
        return True
    return found in _CONTAINERS and other in ("audio", "video")


def schema_problem(value: object, schema: Mapping[str, object]) -> str:
    """The first place where a JSON value breaks a schema, or an empty text."""
    try:
        for problem in closed_validator(schema).iter_errors(value):
            path = "/".join(str(part) for part in problem.instance_path)
            return f"at /{path}: {problem.message}"
    except ValueError as error:
        return f"the schema itself is not valid: {_first_line(error)}"
    return ""


def schema_fault(schema: Mapping[str, object]) -> str:
    """What is wrong with a schema itself, or an empty text: found before anything is paid."""
    try:
        closed_validator(schema)
    except ValueError as error:
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
