"""Checks of `prepare`: pure, deterministic, and honest about what it leaves out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

from callsheet.batching import files_in
from callsheet.digests import digest
from callsheet.errors import CallsheetError, CapabilityUnsupportedError, ConfigError, ErrorKind, ProviderError, Sent
from callsheet.inputs import attribute_names, file_attributes
from callsheet.jobs import CallWarning, Job, ProviderRequest, WarningKind
from callsheet.models import Operation
from callsheet.registry import BoundHandler
from callsheet.testing.child import run_child
from callsheet.testing.purity import watched
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.samples import sample_job, variants
from callsheet.testing.subject import CheckRow, Subject
from callsheet.testing.wishes import UNKNOWN_OPTION, check_attributes, check_options

__all__ = ["TABLE", "request_digests"]

_REFUSALS = (ErrorKind.CAPABILITY_UNSUPPORTED, ErrorKind.INVALID_REQUEST)
_TWO_MEANINGS = frozenset({"audio"})
"""Capabilities that say what a model makes, and attributes that say what it is given."""


def check_offline(subject: Subject) -> Iterator[Finding]:
    """No network and no process, not even the first time."""
    for bound in subject.bound:
        yield from _acts(bound, subject.job(bound), network_only=True)


def check_purity(subject: Subject) -> Iterator[Finding]:
    """Once its modules are loaded: no file, clock, chance or environment."""
    for bound in subject.bound:
        job = subject.job(bound)
        _prepare(bound, job)
        yield from _acts(bound, job, network_only=False)


def _acts(bound: BoundHandler, job: Job, *, network_only: bool) -> Iterator[Finding]:
    with watched(network_only=network_only) as acts:
        _prepare(bound, job)
    yield from (Finding(f"{bound.ref} ({place})", f"prepare {what}") for what, place in acts)


def check_silence(subject: Subject) -> Iterator[Finding]:
    """Stdout is for data: a plan in JSON has to stay one document."""
    for bound in subject.bound:
        printed = StringIO()
        with redirect_stdout(printed):
            _prepare(bound, subject.job(bound))
        if printed.getvalue():
            yield Finding(str(bound.ref), f"prepare prints {printed.getvalue()[:40]!r}")


def check_job_kept(subject: Subject) -> Iterator[Finding]:
    """The job stays as it is, as do the tables in it, now and when the request is changed."""
    for bound in subject.bound:
        job = subject.job(bound)
        before = copy.deepcopy((job.inputs, dict(job.options)))
        _prepare(bound, job)
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
    for changes in ({}, more) if more else ({},):  # who takes no schema refuses it before it reads the options
        _prepare(bound, Job(job.id, job.ref, job.model, job.operation, replace(job.inputs, **changes), options))
    if (deep, options) != kept:
        yield Finding(str(bound.ref), "prepare changes the output_schema or the options that it was given")


def _prepare(bound: BoundHandler, job: Job) -> ProviderRequest | None:
    """The request, or None when it is refused or breaks: other checks tell of that."""
    try:
        return bound.preparer.prepare(job)
    except Exception:  # noqa: BLE001 - whatever a plugin raises
        return None


def check_repeats(subject: Subject) -> Iterator[Finding]:
    """The same request again, in this process."""
    here, again = request_digests(subject), request_digests(subject)
    for model, given in here.items():
        if given != again[model]:
            yield Finding(model, "prepare gives another request for the same job in the same process")


def check_determinism(subject: Subject) -> Iterator[Finding]:
    """The same request in another process, with another hash seed."""
    here = request_digests(subject)
    there = run_child("request_digests", (subject.name, dict(subject.samples)), hash_seed=7)
    for model, given in here.items():
        if given != there.get(model):
            what = "prepare gives another request for the same job in another process (an order of a set?)"
            yield Finding(model, what)


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


def check_refusals(subject: Subject) -> Iterator[Finding]:
    """What a model cannot do is a warning or a refusal of the right class."""
    yield from _problems(subject, _wrong_refusal)


def check_refusals_told(subject: Subject) -> Iterator[Finding]:
    """A refusal says who refuses, or what, and that nothing was sent."""
    yield from _problems(subject, _mute_refusal)


def _problems(subject: Subject, wrong: Callable[[BoundHandler, Job, str], str]) -> Iterator[Finding]:
    """What is wrong with any attribute's refusal, once for each attribute of a model."""
    for bound in subject.bound:
        told: set[str] = set()
        for name, job in _cases(subject, bound):
            problem = wrong(bound, job, name)
            if problem and name not in told:
                told.add(name)
                yield Finding(str(bound.ref), f"{name}: {problem}")


def _cases(subject: Subject, bound: BoundHandler) -> Iterator[tuple[str, Job]]:
    cases: list[tuple[str, Mapping[str, object]]] = [
        (name, {**beside, name: value})
        for name, beside, values in variants(bound.info, subject.all_samples)
        for value in values
    ]
    for name, more in [*cases, ("an unknown option", {"options": {UNKNOWN_OPTION: 1}})]:
        try:
            yield name, sample_job(bound.info, subject.all_samples, more)
        except ConfigError:
            continue


def _wrong_refusal(bound: BoundHandler, job: Job, _name: str) -> str:
    try:
        bound.preparer.prepare(job)
    except ProviderError as error:
        return "" if error.kind in _REFUSALS else f"prepare raises {type(error).__name__} ({error.kind})"
    except CallsheetError as error:
        return f"prepare raises {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        return f"prepare breaks: {type(error).__name__}: {error}"
    return ""


def _mute_refusal(bound: BoundHandler, job: Job, name: str) -> str:
    try:
        bound.preparer.prepare(job)
    except ProviderError as error:
        if error.sent is not Sent.NOT_SENT:
            return f"prepare raises {type(error).__name__} with sent = {error.sent}: nothing was sent"
        if not any(each in f"{error.ref} {error}" for each in (bound.info.model, name, *job.options)):
            return f"prepare raises {type(error).__name__} that names neither the model nor what it refuses: {error}"
    except Exception:  # noqa: BLE001 - whatever a plugin raises; `check_refusals` tells of it
        return ""
    return ""


def check_files(subject: Subject) -> Iterator[Finding]:
    """A picture or recording that a model cannot take is not left out with a warning: the answer would be of no use."""
    looked = False
    for bound in subject.bound:
        for name, beside, values in variants(bound.info, subject.all_samples):
            if name not in file_attributes(bound.info.operation):
                continue
            looked = True
            try:
                request = subject.request(bound, **{**beside, name: values[0]})
            except CapabilityUnsupportedError:
                continue
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises
                yield Finding(str(bound.ref), f"{name}: prepare raises {type(error).__name__}: {error}")
                continue
            others = subject.request(bound, **beside).body if beside else {}
            if sum(1 for _ in files_in(request.body)) <= sum(1 for _ in files_in(others)):
                yield Finding(str(bound.ref), f"{name}: the file is not in the body, and the job not refused")
    if not looked:
        raise NotApplicableError("none of its operations takes a file that could be left out")


def check_declared(subject: Subject) -> Iterator[Finding]:
    """What a row lists under capabilities, and is an attribute, is taken."""
    looked = False
    for bound in subject.bound:
        for name, beside, values in variants(bound.info, subject.all_samples):
            if name not in bound.info.capabilities - _TWO_MEANINGS:
                continue
            looked = True
            if not any(_taken(subject, bound, name, {**beside, name: value}) for value in values):
                yield Finding(str(bound.ref), f"declares {name}, and takes none of its usual values")
    if not looked:
        raise NotApplicableError("no row declares a capability that is an attribute")


def _taken(subject: Subject, bound: BoundHandler, name: str, more: Mapping[str, Any]) -> bool:
    try:
        request = subject.request(bound, **more)
    except Exception:  # noqa: BLE001 - whatever a plugin raises
        return False
    kinds = {warning.kind for warning in request.warnings if warning.attribute == name}
    return WarningKind.UNSUPPORTED not in kinds


def check_warnings(subject: Subject) -> Iterator[Finding]:
    """A warning says which wish it is about, in words."""
    looked = False
    for bound in subject.bound:
        told: set[str] = set()
        for name, job in _cases(subject, bound):
            request = _prepare(bound, job)
            for warning in request.warnings if isinstance(request, ProviderRequest) else ():
                looked = True
                known = {*attribute_names(bound.info.operation), *job.options}
                problem = _mute_warning(warning, known)
                if problem and problem not in told:
                    told.add(problem)
                    yield Finding(f"{bound.ref} {name}", problem)
    if not looked:
        raise NotApplicableError("prepare warns of nothing")


def _mute_warning(warning: CallWarning, known: set[str]) -> str:
    if not warning.message.strip():
        return f"a warning ({warning.kind}, {warning.attribute!r}) has no message"
    needed = warning.kind in (WarningKind.UNSUPPORTED, WarningKind.ADJUSTED, WarningKind.EMULATED)
    if needed and warning.attribute not in known:
        return (
            f"a warning is about {warning.attribute!r}, which is neither an attribute nor an option: {warning.message}"
        )
    return ""


TABLE: tuple[CheckRow, ...] = (
    (
        check_offline,
        Check("prepare-offline", "prepare reaches no network and starts no process", "move it into invoke or submit"),
    ),
    (
        check_purity,
        Check(
            "prepare-pure",
            "prepare uses no file, clock, chance or environment",
            "move it into invoke or submit; load data files with the module, or once",
        ),
    ),
    (
        check_silence,
        Check("prepare-silent", "prepare prints nothing", "leave the print out; warn where a user has to know"),
    ),
    (
        check_job_kept,
        Check("prepare-keeps-job", "prepare changes nothing that it is given", "copy what you change"),
    ),
    (
        check_repeats,
        Check("prepare-repeats", "the same job gives the same request again", "use no counter and no id()"),
    ),
    (
        check_determinism,
        Check(
            "prepare-deterministic",
            "the same job gives the same request in another process",
            "use no order of a set and no hash(): sort, or keep a list",
        ),
    ),
    (
        check_attributes,
        Check(
            "no-silent-drop",
            "every general attribute reaches the body, or is warned of, or refused",
            "add it to the body, or a CallWarning(WarningKind.UNSUPPORTED, …, attribute) to the request",
        ),
    ),
    (
        check_options,
        Check(
            "options",
            "every option reaches the body, or is warned of, or refused; none replaces the model, or what `expects` promises",
            "send options as they are, or warn of those that the model does not know; name in Draft(…, ours=…) the vendor's"
            " fields for the model and for what `expects` and `units` say",
        ),
    ),
    (
        check_refusals,
        Check(
            "refusals",
            "what a model cannot take is a warning, CapabilityUnsupportedError or InvalidRequestError",
            "raise CapabilityUnsupportedError (InvalidRequestError for a value out of range), and nothing else",
        ),
    ),
    (
        check_refusals_told,
        Check(
            "refusals-told",
            "a refusal names the model or what it refuses, and says that nothing was sent",
            "pass ref=str(job.ref), and sent=Sent.NOT_SENT to InvalidRequestError",
        ),
    ),
    (
        check_files,
        Check(
            "undeclared-files",
            "a file that a model cannot take is refused with CapabilityUnsupportedError",
            "raise CapabilityUnsupportedError where a file would be left out",
        ),
    ),
    (
        check_declared,
        Check(
            "declared-capabilities",
            "what a row declares as a capability is taken",
            "correct the row's capabilities, or what prepare does",
        ),
    ),
    (
        check_warnings,
        Check(
            "warnings-told",
            "a warning says in words which attribute or option it is about",
            "fill `message` and `attribute` of the CallWarning",
        ),
    ),
)
