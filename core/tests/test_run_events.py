"""What events say of a result."""

from __future__ import annotations

import hashlib

import pytest

from callsheet.artifacts import BlobArtifact, FileRef, JsonArtifact, TextArtifact
from callsheet.digests import digest
from callsheet.jobs import JobResult, Usage
from callsheet.run_events import result_summary


def test_artifacts_without_their_bytes() -> None:
    """Each artifact is its kind, type, size and digest; a file also what is known of it."""
    blob = BlobArtifact(FileRef("ab" * 32, "video/mp4", 9, "x.mp4"), width=4, duration=1.5)
    summary = result_summary(JobResult((TextArtifact("secret prose"), JsonArtifact([1]), blob)))
    text, data, video = summary["artifacts"]  # type: ignore[misc]
    assert text["sha256"] == hashlib.sha256(b"secret prose").hexdigest()
    assert (text["bytes"], data["kind"], data["bytes"]) == (12, "json", len(JsonArtifact([1]).data()))
    assert video == {
        "kind": "blob", "media_type": "video/mp4", "sha256": "ab" * 32, "bytes": 9, "width": 4, "duration": 1.5,
    }  # fmt: skip
    assert "secret prose" not in repr(summary)


def test_usage_and_finish() -> None:
    """What was counted is told, what was not is absent."""
    summary = result_summary(JobResult((), usage=Usage(input_tokens=3, units={"image": 2}), finish="length"))
    assert summary["usage"] == {"input_tokens": 3, "units": {"image": 2}}
    assert summary["finish"] == "length"


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**64), 10**5000, float("nan"), float("inf"), "\ud800"],
    ids=["big", "low", "huge", "nan", "inf", "half"],
)
def test_odd_metadata_never_costs_a_paid_result(value: object) -> None:
    """Whatever a provider puts into its metadata, the manifest can be written."""
    summary = result_summary(JobResult((), meta={"id": [value], "seed": 7}, usage=Usage(units={"x": float("inf")})))
    assert len(digest(summary)) == 64
    assert summary["meta"]["seed"] == 7  # type: ignore[index]
    assert isinstance(summary["meta"]["id"][0], str)  # type: ignore[index]
