"""What a check found, as data and as text that says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "CheckState", "Finding", "NotApplicableError", "Outcome", "Report"]

SHOWN = 8


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its stable `id`, what it makes sure of, and how a plugin is repaired that fails it."""

    id: str
    holds: str
    remedy: str

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (a model, a file, a method) and what."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


class CheckState(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


class NotApplicableError(Exception):
    """A check has nothing to look at in this plugin; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended; `reason` says why it does not apply."""

    check: Check
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def state(self) -> CheckState:
        """Failed with a finding; not applicable with a reason."""
        if self.findings:
            return CheckState.FAILED
        return CheckState.NOT_APPLICABLE if self.reason else CheckState.PASSED

    @property
    def text(self) -> str:
        """The outcome for people: what was to hold, each finding, and how to repair it."""
        head = f"{self.state:14} {self.check.id}: {self.check.holds}"
        if not self.findings:
            return f"{head} ({self.reason})" if self.reason else head
        lines = [head, *(f"  - {finding}" for finding in self.findings[:SHOWN])]
        if len(self.findings) > SHOWN:
            lines.append(f"  - and {len(self.findings) - SHOWN} more")
        return "\n".join([*lines, f"  repair: {self.check.remedy}"])


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes for one plugin, in the order of the checks."""

    plugin: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """True when no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The outcomes with findings."""
        return tuple(outcome for outcome in self.outcomes if outcome.findings)

    @property
    def text(self) -> str:
        """The report for people, one check a line, findings below it."""
        return "\n".join(outcome.text for outcome in self.outcomes)

    def assert_ok(self) -> None:
        """Raises AssertionError with every finding and its remedy."""
        if self.failed:
            number = f"{len(self.failed)} of {len(self.outcomes)} conformance checks"
            told = "\n".join(outcome.text for outcome in self.failed)
            raise AssertionError(f"{self.plugin} fails {number}:\n{told}")

    def as_json(self) -> dict[str, object]:
        """The report as JSON data: `plugin`, `ok`, `checks` (each `id`, `holds`, `state`, `reason`, `remedy`, `findings`)."""
        checks = [
            {
                "id": each.check.id,
                "holds": each.check.holds,
                "state": each.state.value,
                "reason": each.reason,
                "remedy": each.check.remedy,
                "findings": [{"where": f.where, "problem": f.problem} for f in each.findings],
            }
            for each in self.outcomes
        ]
        return {"plugin": self.plugin, "ok": self.ok, "checks": checks}
