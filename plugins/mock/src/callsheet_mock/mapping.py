"""The mock's own mapping: from the general attributes of any operation to a request, without any vendor's plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from callsheet.plugin import CallWarning, Expected, FileRef, Inputs, Job, ProviderRequest, SpeechInputs, WarningKind
from callsheet_mock.formats import makeable, medium_of
from callsheet_mock.promises import complete
from callsheet_mock.sizes import knows_resolution

__all__ = ["request_for"]


def request_for(job: Job) -> ProviderRequest:
    """The request of a job: its attributes and options as they are, and what they promise as output.

    Raises InvalidRequestError for more outputs than anybody makes.
    """
    body = {
        "model": job.ref.model,
        "inputs": {name: value for name, value in _given(job.inputs).items() if value not in (None, ())},
        "options": dict(job.options),
    }
    expected, warnings = complete((), job.inputs)[0], _unknown_words(job.inputs)
    if expected.kind == "blob":
        expected, changes = makeable(expected, medium_of(expected.media_type, job.inputs))
        warnings += changes
    return ProviderRequest(job.ref, job.operation, body, (expected,), _units(job.inputs, expected), warnings)


def _unknown_words(inputs: Inputs) -> tuple[CallWarning, ...]:
    word = getattr(inputs, "resolution", None)
    if not word or getattr(inputs, "size", None) or knows_resolution(word):
        return ()
    text = f"the mock does not know the resolution {word!r} and takes its usual one"
    return (CallWarning(WarningKind.ADJUSTED, text, "resolution"),)


def _given(inputs: Inputs) -> dict[str, object]:
    return {field.name: _plain(getattr(inputs, field.name)) for field in fields(inputs)}


def _plain(value: object) -> object:
    """Plain data: messages and their parts as mappings, files as they are."""
    if isinstance(value, FileRef):
        return value
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _units(inputs: Inputs, expects: Expected) -> dict[str, float]:
    units: dict[str, float] = {"run": 1.0}
    if expects.media_type.startswith("image/"):
        units["image"] = float(expects.count)
    if expects.duration is not None:
        units["second"] = expects.duration * expects.count
    if isinstance(inputs, SpeechInputs):
        units["character"] = float(len(inputs.text or ""))
    return units
