"""The course of a played remote job, as its receipt carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from callsheet.plugin import JobLostError, Receipt
from callsheet_mock.subject import Subject

__all__ = ["Course"]


@dataclass(frozen=True, slots=True)
class Course:
    """When a job is done (seconds since the epoch), whether it ever is, and whether it fails then."""

    subject: Subject
    ready: float
    hangs: bool = False
    fails: bool = False

    @classmethod
    def of(cls, receipt: Receipt) -> Course:
        """Read a receipt, which may come from anywhere. Raises JobLostError for one that is not of the mock."""
        try:
            course = cls(
                Subject.of_receipt(receipt),
                float(str(receipt.state["ready"])),
                receipt.state["hangs"] is True,
                receipt.state["fails"] is True,
            )
        except (KeyError, ValueError):
            course = None
        if course is None or not isfinite(course.ready):
            raise JobLostError(f"the mock knows no job by the receipt of {receipt.ref}", ref=str(receipt.ref))
        return course

    def to_state(self) -> Mapping[str, object]:
        """As JSON for a receipt."""
        return {**self.subject.to_state(), "ready": self.ready, "hangs": self.hangs, "fails": self.fails}

    def left(self, now: float) -> float:
        """The seconds until the job is done; infinite for one that hangs."""
        return float("inf") if self.hangs else max(0.0, self.ready - now)
