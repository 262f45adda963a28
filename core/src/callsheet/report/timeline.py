"""Who worked when: the jobs' times as places on a bar, in per cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["bars", "seconds_text"]

NARROWEST = 0.4
"""Per cent; a shorter bar could not be seen."""


def bars(jobs: Sequence[Mapping[str, Any]], anchors: Mapping[str, str]) -> list[dict[str, str]]:
    """A bar for each job that was started, in the order of their starts. `waits` is its part spent with the provider."""
    timed = [job for job in jobs if {"started", "finished"} <= job.keys()]
    if not timed:
        return []
    first = min(float(job["started"]) for job in timed)
    span = max(max(float(job["finished"]) for job in timed) - first, 1e-6)
    rows = []
    for job in sorted(timed, key=lambda each: float(each["started"])):
        began, ended = float(job["started"]), float(job["finished"])
        left = min(100 * (began - first) / span, 100 - NARROWEST)
        width = min(max(100 * (ended - began) / span, NARROWEST), 100 - left)
        submitted = float(job.get("submitted", ended))
        waits = 100 * (ended - min(max(submitted, began), ended)) / max(ended - began, 1e-6)
        rows.append(
            {
                "id": str(job["id"]),
                "anchor": anchors[str(job["id"])],
                "status": str(job.get("status", "")),
                "left": f"{left:.2f}",
                "width": f"{width:.2f}",
                "waits": f"{min(waits, 100.0):.2f}",
                "took": seconds_text(ended - began),
            }
        )
    return rows


def seconds_text(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
