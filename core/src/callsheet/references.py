"""References of a call sheet: `P[index]`, `P[index-1]`, `P[0]`, bare `P`, `P[i].all`, and `inputs.name`."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["InputReference", "Reference", "job_id", "parse_reference"]

_FORM = re.compile(
    r"(?P<name>[A-Za-z_]\w*)"
    r"(?:\[\s*(?:(?P<number>\d{1,6})|index\s*(?:(?P<sign>[+-])\s*(?P<offset>\d{1,6}))?)\s*\])?"
    r"(?P<every>\.all)?"
)
_INPUT = re.compile(r"inputs\.([A-Za-z_]\w*)(?:\[(index|\d{1,6})\])?")


def job_id(producer: str, index: int | None) -> str:
    """`producer` or `producer[index]`."""
    return producer if index is None else f"{producer}[{index}]"


@dataclass(frozen=True, slots=True)
class Reference:
    """A producer's cell (`number`, or `offset` from the job's own index), or all its cells when both are None."""

    producer: str
    number: int | None = None
    offset: int | None = None
    every: bool = False

    @property
    def whole(self) -> bool:
        """True for a bare name."""
        return self.number is None and self.offset is None

    def index(self, own: int | None) -> int:
        """The cell's index as seen from a job whose index is `own`."""
        if self.number is not None:
            return self.number
        return (own or 0) + (self.offset or 0)

    def __str__(self) -> str:
        if self.whole:
            inner = ""
        elif self.number is not None:
            inner = f"[{self.number}]"
        else:
            inner = f"[index{self.offset:+d}]" if self.offset else "[index]"
        return f"{self.producer}{inner}{'.all' if self.every else ''}"


@dataclass(frozen=True, slots=True)
class InputReference:
    """`inputs.name`, or one item of a list: `inputs.name[index]`. `item` is None, "index" or a number as text."""

    name: str
    item: str | None = None


def parse_reference(text: str) -> Reference | InputReference | None:
    """Read a reference; None when the text has not the form of one (it is a file's path then)."""
    stripped = text.strip()
    found = _INPUT.fullmatch(stripped)
    if found:
        return InputReference(found[1], found[2])
    match = _FORM.fullmatch(stripped)
    if match is None or match["name"] in ("inputs", "index"):
        return None
    every = match["every"] is not None
    if match["number"] is not None:
        return Reference(match["name"], number=int(match["number"]), every=every)
    if "[" in stripped:
        offset = int((match["sign"] or "+") + (match["offset"] or "0"))
        return Reference(match["name"], offset=offset, every=every)
    return Reference(match["name"], every=every)
