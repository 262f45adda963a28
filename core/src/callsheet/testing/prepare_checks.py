"""Checks of `prepare`: pure, deterministic, JSON, and honest about what it leaves out."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from callsheet.artifacts import FileRef
from callsheet.digests import digest
from callsheet.errors import CallsheetError, ConfigError, ErrorKind, ProviderError
from callsheet.jobs import Expected, Job, ProviderRequest
from callsheet.models import Operation
from callsheet.registry import BoundHandler
from callsheet.testing.child import run_child
from callsheet.testing.purity import watched
from callsheet.testing.report import Finding
from callsheet.testing.samples import sample_job, variants
from callsheet.testing.subject import Subject

__all__ = [
    "check_attributes",
    "check_bodies",
    "check_determinism",
    "check_purity",
    "check_refusals",
    "request_digests",
]

_REFUSALS = (ErrorKind.CAPABILITY_UNSUPPORTED, ErrorKind.INVALID_REQUEST)
_UNKNOWN_OPTION = "callsheet_conformance_option"
_MADE: Mapping[Operation, tuple[str, ...]] = {
    Operation.TEXT_GENERATE: ("text", "json"),
    Operation.IMAGE_GENERATE: ("image/",),
    Operation.VIDEO_GENERATE: ("video/",),
    Operation.SPEECH_GENERATE: ("audio/",),
    Operation.MUSIC_GENERATE: ("audio/",),
    Operation.SOUND_GENERATE: ("audio/",),
    Operation.AUDIO_TRANSCRIBE: ("text", "json"),
    Operation.TEXT_EMBED: ("json",),
    Operation.TEXT_MODERATE: ("json",),
    Operation.VIDEO_ASSEMBLE: ("video/",),
}


def check_purity(subject: Subject) -> Iterator[Finding]:
    """No network at any time; once its modules are loaded no file, clock, chance or environment; the job stays as it is."""
    for bound in subject.bound:
        job = subject.job(bound)
        before = copy.deepcopy((job.inputs, dict(job.options)))
        for network_only in (True, False):
            with watched(network_only=network_only) as acts:
                _prepare(bound, job)
            yield from (Finding(f"{bound.ref} ({place})", f"prepare {what}") for what, place in acts)
        yield from _changes(bound, job, before)


def _changes(bound: BoundHandler, job: Job, before: tuple[object, ...]) -> Iterator[Finding]:
    if (job.inputs, dict(job.options)) != before:
        yield Finding(str(bound.ref), "prepare changes the inputs or options that it was given")
        return
    # What the job holds may not stand in the body as the same object either, where `prepare` could change it.
    deep = {"type": "object", "properties": {"a": {"type": "string"}}}
    options = {"nested": {"list": [1, 2]}}
    more: dict[str, Any] = {"output_schema": deep} if bound.info.operation is Operation.TEXT_GENERATE else {}
    kept = copy.deepcopy((deep, options))
    _prepare(bound, Job(job.id, job.ref, job.model, job.operation, replace(job.inputs, **more), options))
    if (deep, options) != kept:
        yield Finding(str(bound.ref), "prepare changes the output_schema or the options that it was given")


def _prepare(bound: BoundHandler, job: Job) -> ProviderRequest | None:
    """The request, or None when it is refused or breaks: other checks tell of that."""
    try:
        return bound.preparer.prepare(job)
    except Exception:  # noqa: BLE001 - whatever a plugin raises
        return None


def check_determinism(subject: Subject) -> Iterator[Finding]:
    """The same request twice in this process, and in another one with another hash seed."""
    here, again = request_digests(subject), request_digests(subject)
    there = run_child("request_digests", (subject.name, dict(subject.samples)), hash_seed=7)
    for model, given in here.items():
        if given != again[model]:
            yield Finding(model, "prepare gives another request for the same job in the same process")
        elif given != there.get(model):
            yield Finding(
                model, "prepare gives another request for the same job in another process (an order of a set?)"
            )


def request_digests(subject: Subject) -> dict[str, str]:
    """For each model the digest of a sample request, or what `prepare` raised."""
    return {str(bound.ref): _request_digest(subject, bound) for bound in subject.bound}


def _request_digest(subject: Subject, bound: BoundHandler) -> str:
    told = []
    for more in ({}, {"options": {"b": 1, "a": [2, 3]}}):
        try:
            request = subject.request(bound, **more)
            told.append(digest({"body": request.body, "expects": list(request.expects), "units": request.units}))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            told.append(f"{type(error).__name__}: {error}")
    return " ".join(told)


def check_bodies(subject: Subject) -> Iterator[Finding]:
    """JSON with FileRef leaves, and a promise of what comes out that fits the operation."""
    for bound in subject.bound:
        try:
            request = subject.request(bound)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            what = f"prepare refuses the least that {bound.info.operation} needs: {type(error).__name__}: {error}"
            yield Finding(str(bound.ref), f"{what} (give values it takes in `samples`)")
            continue
        if not isinstance(request, ProviderRequest):
            yield Finding(str(bound.ref), f"prepare gives a {type(request).__name__} and not a ProviderRequest")
            continue
        yield from (Finding(f"{bound.ref} body{path}", what) for path, what in _no_json(request.body, ""))
        yield from (Finding(str(bound.ref), what) for what in _implausible(request, bound.info.operation))


def _no_json(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                yield path, f"has the key {key!r}, which is no text"
            yield from _no_json(each, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _no_json(each, f"{path}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"is {value}, which JSON does not have"
    elif not (value is None or isinstance(value, (str, bool, int, float, FileRef))):
        yield path, f"is a {type(value).__name__}: the body is JSON, and files are FileRef"


def _implausible(request: ProviderRequest, operation: Operation) -> Iterator[str]:
    if not request.expects:
        yield "expects is empty: say what comes out, so that it can be mocked and checked"
    for expected in request.expects:
        made = expected.media_type if expected.kind == "blob" else expected.kind
        if not made.startswith(_MADE[operation]):
            yield f"expects {expected.kind} {expected.media_type} of {operation}, which makes {' or '.join(_MADE[operation])}"
        yield from _bad_sizes(expected)
    if any(not math.isfinite(amount) or amount < 0 for amount in request.units.values()):
        yield f"units must be amounts of 0 or more: {dict(request.units)}"


def _bad_sizes(expected: Expected) -> Iterator[str]:
    for name in ("count", "width", "height", "duration", "fps"):
        value = getattr(expected, name)
        if value is not None and value <= 0:
            yield f"expects {name} = {value}"


def check_attributes(subject: Subject) -> Iterator[Finding]:
    """Every general attribute changes the body, is warned of, or is refused."""
    for bound in subject.bound:
        for name, beside, values in variants(bound.info, subject.samples):
            instead = None in beside.values()
            told = {_told(subject, bound, {**beside, name: value}) for value in values}
            # What stands in another attribute's place changes the body anyway: its values must differ from each other.
            plain = _told(subject, bound, {} if instead else beside)
            only = told.pop() if len(told) == 1 else None
            if only and plain and only[1] == plain[1] and (instead or only == plain):
                yield Finding(
                    str(bound.ref), f"{name} is left out in silence: it changes neither the body nor the warnings"
                )
        plain = _told(subject, bound, {})
        if plain is not None and _told(subject, bound, {"options": {_UNKNOWN_OPTION: 1}}) == plain:
            yield Finding(str(bound.ref), "an option that it does not know is left out in silence")


def _told(subject: Subject, bound: BoundHandler, more: Mapping[str, object]) -> tuple[str, int] | None:
    """A digest of the body and the number of warnings; None when the job is refused or no job at all."""
    try:
        request = subject.request(bound, **more)
        return digest(request.body), len(request.warnings)
    except Exception:  # noqa: BLE001 - whatever a plugin raises; `check_refusals` and `check_bodies` tell of it
        return None


def check_refusals(subject: Subject) -> Iterator[Finding]:
    """What a model cannot do is a warning or a refusal of the right class."""
    for bound in subject.bound:
        cases = [
            (name, {**beside, name: v})
            for name, beside, values in variants(bound.info, subject.samples)
            for v in values
        ]
        cases.append(("an unknown option", {"options": {_UNKNOWN_OPTION: 1}}))
        told: set[str] = set()
        for name, more in cases:
            try:
                job = sample_job(bound.info, subject.samples, more)
            except ConfigError:
                continue
            problem = _wrong_refusal(bound, job)
            if problem and name not in told:
                told.add(name)
                yield Finding(str(bound.ref), f"{name}: {problem}")


def _wrong_refusal(bound: BoundHandler, job: Job) -> str:
    try:
        bound.preparer.prepare(job)
    except ProviderError as error:
        return "" if error.kind in _REFUSALS else f"prepare raises {type(error).__name__} ({error.kind})"
    except CallsheetError as error:
        return f"prepare raises {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        return f"prepare breaks: {type(error).__name__}: {error}"
    return ""
