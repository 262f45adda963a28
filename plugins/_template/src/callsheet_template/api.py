"""The vendor's API: where the key goes, what its errors mean."""

from __future__ import annotations

from callsheet.plugin import ErrorKind, JsonApi

__all__ = ["API"]

API = JsonApi(
    key_header="authorization",
    key_prefix="Bearer ",
    # {"error": {"code": "no_credit", "message": "…"}}
    message="error.message",
    code="error.code",
    # what a code says beyond its status
    kinds={"no_credit": ErrorKind.QUOTA_EXCEEDED, "unsafe_prompt": ErrorKind.CONTENT_REJECTED},
    # [job]
    # seconds that the vendor wants to pass between two questions about a job
    poll_after=1.0,
    # [/job]
)
