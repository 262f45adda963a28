"""What the checks found, as data and as text that says what to do, and the tier that follows from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Check",
    "CheckStatus",
    "Examined",
    "Finding",
    "NotApplicableError",
    "Outcome",
    "Report",
    "Tier",
    "causes",
    "follows",
]

SHOWN = 8
_PORT = re.compile(r"127\.0\.0\.1:\d+")
"""Each server has another: what is wrong does not depend on it."""
_BROKEN = "mend what breaks: the check could not look at what it is for"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its stable `id`, what it makes sure of, and how a plugin is repaired that fails it."""

    id: str
    holds: str
    repair: str

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (a model, a file, a method) and what.

    `breaks` is what kept the check from looking at all: an error in the words of `problem`.
    """

    where: str
    problem: str
    breaks: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem

    @property
    def cause(self) -> str:
        """What is equal for findings that one cause has."""
        return _PORT.sub("127.0.0.1", self.breaks or self.problem)


class CheckStatus(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    NOT_APPLICABLE = "not_applicable"


class Tier(StrEnum):
    """How far a plugin can be relied on, as far as checks can tell."""

    VERIFIED = "verified"
    COMPATIBLE = "compatible"
    FAILING = "failing"


class NotApplicableError(Exception):
    """A check has nothing to look at in this plugin; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended; `reason` says why it does not apply, or why the plugin's author refuses it."""

    check: Check
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    refused: bool = False

    @property
    def status(self) -> CheckStatus:
        """Failed with a finding; refused, or not applicable, with a reason."""
        if self.findings:
            return CheckStatus.FAILED
        if self.refused:
            return CheckStatus.REFUSED
        return CheckStatus.NOT_APPLICABLE if self.reason else CheckStatus.PASSED

    @property
    def text(self) -> str:
        """The outcome for people: what was to hold, each finding, and how to repair it."""
        head = f"{self.status:14} {self.check.id}: {self.check.holds}"
        if not self.findings:
            return f"{head} ({self.reason})" if self.reason else head
        told = {(each.cause if each.breaks else str(each)): str(each) for each in reversed(self.findings)}
        lines = [head, *(f"  - {finding}" for finding in [*reversed(told.values())][:SHOWN])]
        if len(told) > SHOWN:
            lines.append(f"  - and {len(told) - SHOWN} more")
        return "\n".join([*lines, f"  repair: {self.repair}"])

    @property
    def repair(self) -> str:
        """What to do: how the check is passed means nothing while it cannot look."""
        return _BROKEN if self.findings and all(each.breaks for each in self.findings) else self.check.repair

    def as_json(self) -> dict[str, object]:
        """The outcome as JSON data."""
        return {
            "id": self.check.id,
            "status": self.status.value,
            "holds": self.check.holds,
            "findings": [{"where": each.where, "problem": each.problem} for each in self.findings],
            "reason": self.reason,
            "repair": self.repair,
        }


def causes(outcome: Outcome) -> frozenset[str]:
    """What is wrong, whatever model or check found it."""
    return frozenset(finding.cause for finding in outcome.findings)


def follows(outcome: Outcome, earlier: Iterable[Outcome]) -> Outcome | None:
    """The first of these outcomes that tells all that is wrong here; an error that broke one check is known in others."""
    wrong = causes(outcome)
    for other in earlier if wrong else ():
        errors = [finding.cause for finding in other.findings if finding.breaks]
        if all(cause in causes(other) or any(error in cause for error in errors) for cause in wrong):
            return other
    return None


def _with_followers(text: str, ids: list[str]) -> str:
    if not ids:
        return text
    number = "one more check fails" if len(ids) == 1 else f"{len(ids)} more checks fail"
    return f"{text}\n  and {number} for the same reason: {', '.join(ids)}"


@dataclass(frozen=True, slots=True)
class Examined:
    """What was examined: the plugin's package, its distribution and version, and the api it is written for.

    `unheard` are the operations of its models that gave no result against the vendor's counterpart; `counterpart` says
    whether there is one.
    """

    plugin: str
    distribution: str = ""
    version: str = ""
    api: int | None = None
    counterpart: bool = False
    unheard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes for one plugin, in the order of the checks."""

    plugin: str
    outcomes: tuple[Outcome, ...]
    examined: Examined = field(default_factory=lambda: Examined(""))

    @property
    def ok(self) -> bool:
        """True when no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The outcomes with findings."""
        return tuple(outcome for outcome in self.outcomes if outcome.findings)

    @property
    def tier(self) -> Tier:
        """Verified: no check failed or is refused, and each operation gave a result against the vendor's counterpart."""
        if self.failed:
            return Tier.FAILING
        return Tier.COMPATIBLE if self._short_of_verified() else Tier.VERIFIED

    @property
    def why(self) -> str:
        """What the tier is for."""
        if self.failed:
            return f"{len(self.failed)} of {len(self.outcomes)} checks failed"
        return self._short_of_verified() or "every operation gave a result against the vendor's counterpart"

    def _short_of_verified(self) -> str:
        refused = [outcome.check.id for outcome in self.outcomes if outcome.status is CheckStatus.REFUSED]
        if refused:
            return f"refused: {', '.join(refused)}"
        if not self.examined.counterpart:
            return "there is no counterpart of the vendor to call"
        if self.examined.unheard:
            return f"not called against the vendor's counterpart: {', '.join(self.examined.unheard)}"
        return ""

    @property
    def text(self) -> str:
        """The report for people: one check a line, findings below it, and the tier at the end."""
        return "\n".join([*(outcome.text for outcome in self.outcomes), self._verdict])

    @property
    def summary(self) -> str:
        """What is worth a person's look: what failed, what is refused, why others do not apply, numbers, and the tier."""
        told = [*self._failures, *(each.text for each in self.outcomes if each.status is CheckStatus.REFUSED)]
        reasons: dict[str, list[str]] = {}
        for each in self.outcomes:
            if each.status is CheckStatus.NOT_APPLICABLE:
                reasons.setdefault(each.reason, []).append(each.check.id)
        idle = [f"not applicable, because {reason}: {', '.join(ids)}" for reason, ids in reasons.items()]
        numbers = ", ".join(f"{number} {status.replace('_', ' ')}" for status, number in self._numbers.items())
        return "\n".join([*told, *idle, f"{len(self.outcomes)} checks: {numbers}", self._verdict])

    @property
    def _failures(self) -> list[str]:
        """The failed checks; those that fail for what another one has told are named beside it."""
        followers: dict[str, list[str]] = {}
        shown: list[Outcome] = []
        for each in self.failed:
            first = follows(each, shown)
            if first is None:
                shown.append(each)
            else:
                followers.setdefault(first.check.id, []).append(each.check.id)
        return [_with_followers(each.text, followers.get(each.check.id, [])) for each in shown]

    @property
    def _verdict(self) -> str:
        return f"{self.plugin}: {self.tier}, {self.why}"

    @property
    def _numbers(self) -> dict[str, int]:
        counted = Counter(outcome.status for outcome in self.outcomes)
        return {status.value: counted[status] for status in CheckStatus}

    def assert_ok(self) -> None:
        """Raises AssertionError with every finding and its repair."""
        if self.failed:
            number = f"{len(self.failed)} of {len(self.outcomes)} conformance checks"
            told = "\n".join(self._failures)
            raise AssertionError(f"{self.plugin} fails {number}:\n{told}")

    def as_json(self) -> dict[str, object]:
        """The report as JSON data: what was examined, the tier and `why`, a number for each status, and `checks`."""
        from callsheet import __version__

        return {
            "callsheet": __version__,
            "plugin": self.plugin,
            "distribution": self.examined.distribution,
            "version": self.examined.version,
            "api": self.examined.api,
            "tier": self.tier.value,
            "why": self.why,
            **self._numbers,
            "checks": [outcome.as_json() for outcome in self.outcomes],
        }
