"""Falling back: when the next model of a list may be asked instead, and what is told of it."""

from __future__ import annotations

from dataclasses import fields

from callsheet.errors import CallsheetError, CapabilityUnsupportedError, ErrorKind, ProviderError, Sent
from callsheet.inputs import file_attributes
from callsheet.jobs import CallWarning, Expected, ProviderRequest, WarningKind
from callsheet.models import Operation

__all__ = ["changed_outputs", "may_fall_back", "refuse_lacking", "told_of", "unusable"]

_NEEDED = frozenset({"output_schema", "messages", "duration", "diarize", "timestamps", "dimensions"})
"""With the files, the attributes without which a result is another thing, and not only another look."""
_NO_OTHER_MODEL_HELPS = frozenset({ErrorKind.CONTENT_REJECTED, ErrorKind.INVALID_REQUEST, ErrorKind.CANCELLED})


def may_fall_back(error: ProviderError, *, insists: bool = False) -> bool:
    """Only when the failed call is surely over, and the next model could do better with the same input.

    `insists` says that the user (or the default for what is cheap) takes the chance that both are paid.
    """
    over = error.sent in (Sent.NOT_SENT, Sent.REJECTED, Sent.FINISHED)
    overdue = insists and error.sent is Sent.UNKNOWN and error.kind is ErrorKind.TIMEOUT
    return (over or overdue) and error.kind not in _NO_OTHER_MODEL_HELPS


def told_of(error: ProviderError, ref: str, then: str) -> CallWarning:
    """What the result of the next model says about the one before."""
    return CallWarning(WarningKind.OTHER, f"{ref} failed ({error.kind}), so {then} was asked: {error}")


def refuse_lacking(primary: ProviderRequest, fallback: ProviderRequest) -> None:
    """Raises CapabilityUnsupportedError for a fallback that leaves out what the result cannot do without.

    What the primary model leaves out as well is no reason.
    """
    lacking = [name for name in _left_out(fallback) if name not in _left_out(primary)]
    if lacking:
        text = f"{fallback.ref} takes no {', '.join(lacking)}, and {primary.ref} does"
        raise CapabilityUnsupportedError(text, ref=str(fallback.ref))


def unusable(ref: str, what: str, error: CallsheetError) -> CallWarning:
    """Why a fallback takes no part."""
    return CallWarning(WarningKind.UNSUPPORTED, f"the fallback {ref} cannot take {what}: {error}")


def _left_out(request: ProviderRequest) -> list[str]:
    needed = _NEEDED | frozenset(file_attributes(Operation(request.operation)))
    told = (w.attribute for w in request.warnings if w.kind is WarningKind.UNSUPPORTED)
    return [name for name in dict.fromkeys(told) if name in needed]


def changed_outputs(primary: ProviderRequest, fallback: ProviderRequest) -> tuple[CallWarning, ...]:
    """How the outputs of a fallback will differ from those of the primary model, as far as both are known."""
    told: list[str] = []
    for one, other in zip(primary.expects, fallback.expects, strict=False):
        told += [text for name in _SHOWN if (text := _difference(name, one, other))]
    if len(primary.expects) != len(fallback.expects):
        told.append(f"{len(fallback.expects)} outputs instead of {len(primary.expects)}")
    text = f"{fallback.ref} gives {', '.join(dict.fromkeys(told))}"
    return (CallWarning(WarningKind.ADJUSTED, text),) if told else ()


_SHOWN = tuple(each.name for each in fields(Expected) if each.name not in ("kind", "schema"))


def _difference(name: str, one: Expected, other: Expected) -> str:
    before, now = getattr(one, name), getattr(other, name)
    if before is None or now is None or before == now:
        return ""
    return f"{name.replace('_', ' ')} {now} instead of {before}"
