"""Checks of what `prepare` makes of the least job: a request that can be sent, mocked, priced and checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from callsheet.artifacts import FileRef
from callsheet.errors import CallsheetError
from callsheet.inputs import attribute_names
from callsheet.jobs import Expected, ProviderRequest
from callsheet.model_schemas import input_schema
from callsheet.models import ModelInfo, Operation
from callsheet.registry import BoundHandler
from callsheet.testing.expected_media import fits, wanted_media
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.samples import sample_job, variants
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["TABLE"]

_SURELY_COUNTED = frozenset({"image", "run", "character", "request"})
"""Units of which every job says how many it has, before it is sent."""
_WRITTEN = 'Lava \u2013 溶岩 \U0001f30b "quoted" \\ back\nsecond line\ttab <b>&amp;</b> {{x}} %s'
_SPOKEN: Mapping[Operation, str] = {
    Operation.SPEECH_GENERATE: "text",
    Operation.TEXT_EMBED: "text",
    Operation.TEXT_MODERATE: "text",
    Operation.TEXT_GENERATE: "prompt",
    Operation.IMAGE_GENERATE: "prompt",
    Operation.VIDEO_GENERATE: "prompt",
    Operation.MUSIC_GENERATE: "prompt",
    Operation.SOUND_GENERATE: "prompt",
}


def check_least(subject: Subject) -> Iterator[Finding]:
    """The least job of each row gives a ProviderRequest of that row."""
    for bound in subject.bound:
        try:
            request = subject.request(bound)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            what = f"prepare refuses the least that {bound.info.operation} needs: {type(error).__name__}: {error}"
            yield Finding(str(bound.ref), f"{what} (give values it takes in `samples`)")
            continue
        if not isinstance(request, ProviderRequest):
            yield Finding(str(bound.ref), f"prepare gives a {type(request).__name__} and not a ProviderRequest")
        elif (request.ref, request.operation) != (bound.ref, bound.info.operation):
            yield Finding(str(bound.ref), f"prepare gives a request of {request.ref}, {request.operation}")


def _requests(subject: Subject) -> list[tuple[BoundHandler, ProviderRequest]]:
    found = []
    for bound in subject.bound:
        try:
            request = subject.request(bound)
        except Exception:  # noqa: BLE001, S112 - whatever a plugin raises; the check `prepare-least` tells of it
            continue
        if isinstance(request, ProviderRequest):
            found.append((bound, request))
    if not found:
        raise NotApplicableError("no sample job can be prepared: see the check `prepare-least`")
    return found


def check_bodies(subject: Subject) -> Iterator[Finding]:
    """JSON with FileRef leaves."""
    for bound, request in _requests(subject):
        yield from (Finding(f"{bound.ref} body{path}", what) for path, what in _no_json(request.body, ""))


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


def check_body_schemas(subject: Subject) -> Iterator[Finding]:
    """Where a row has a schema, the body, or its part `input`, is valid by it."""
    described = [each for each in _requests(subject) if each[0].info.schema]
    if not described:
        raise NotApplicableError("no row has a schema")
    for bound, request in described:
        try:
            schema = input_schema(bound.info)
        except CallsheetError:
            continue  # the check `schemas` tells of it
        inner = request.body.get("input")
        problems = [schema.problem(each) for each in (request.body, inner) if isinstance(each, Mapping)]
        if all(problems):
            yield Finding(
                str(bound.ref), f"the body of the least job is not valid by {bound.info.schema}: {problems[-1]}"
            )


def check_texts(subject: Subject) -> Iterator[Finding]:
    """A text with signs, line ends and other scripts reaches the body as it is, or is refused."""
    asked = [bound for bound in subject.bound if bound.info.operation in _SPOKEN]
    if not asked:
        raise NotApplicableError("none of its operations takes a text")
    for bound in asked:
        try:
            request = subject.request(bound, **{_SPOKEN[bound.info.operation]: _WRITTEN})
        except Exception:  # noqa: BLE001, S112 - a refusal is one; the check `refusals` tells of others
            continue
        if isinstance(request, ProviderRequest) and not any(_WRITTEN in text for text in _texts(request.body)):
            yield Finding(str(bound.ref), f"the text {_WRITTEN!r} does not stand in the body as it was given")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def check_expects(subject: Subject) -> Iterator[Finding]:
    """What comes out is said, and is something that the operation makes."""
    for bound, request in _requests(subject):
        operation = bound.info.operation
        if not request.expects:
            yield Finding(str(bound.ref), "expects is empty: say what comes out, so that it can be mocked and checked")
        for expected in request.expects:
            made = expected.media_type if expected.kind == "blob" else expected.kind
            if not fits(made, operation):
                told = f"expects {expected.kind} {expected.media_type} of {operation}, {wanted_media(operation)}"
                yield Finding(str(bound.ref), told)
            yield from (Finding(str(bound.ref), what) for what in _bad_sizes(expected))


def _bad_sizes(expected: Expected) -> Iterator[str]:
    for name in ("count", "width", "height", "duration", "fps"):
        value = getattr(expected, name)
        if value is not None and value <= 0:
            yield f"expects {name} = {value}"


def check_row_output(subject: Subject) -> Iterator[Finding]:
    """The row's `output` is what its least job expects."""
    told = [each for each in _requests(subject) if each[0].info.output and each[1].expects]
    if not told:
        raise NotApplicableError("no row says its output")
    for bound, request in told:
        output = bound.info.output.removesuffix("[]")
        if output not in {expected.media_type for expected in request.expects}:
            media = ", ".join(expected.media_type for expected in request.expects)
            yield Finding(str(bound.ref), f"has the output {output}, and its least job expects {media}")


def check_counts(subject: Subject) -> Iterator[Finding]:
    """`count = 2` is expected twice, or warned of, or refused."""
    asked = [bound for bound in subject.bound if hasattr(subject.job(bound).inputs, "count")]
    if not asked:
        raise NotApplicableError("none of its operations takes a count")
    for bound in asked:
        request = _prepared(subject, bound, {"count": 2})
        if request is None or any(warning.attribute == "count" for warning in request.warnings):
            continue
        number = sum(expected.count for expected in request.expects)
        if number != 2:
            yield Finding(str(bound.ref), f"count = 2 is taken, and {number} expected")


def _prepared(subject: Subject, bound: BoundHandler, more: Mapping[str, Any]) -> ProviderRequest | None:
    try:
        request = bound.preparer.prepare(sample_job(bound.info, subject.all_samples, more))
    except Exception:  # noqa: BLE001 - whatever a plugin raises; the check `refusals` tells of it
        return None
    return request if isinstance(request, ProviderRequest) else None


def check_units(subject: Subject) -> Iterator[Finding]:
    """Amounts of units are numbers of 0 or more."""
    for bound, request in _requests(subject):
        for name, amount in request.units.items():
            if (
                isinstance(amount, bool)
                or not isinstance(amount, (int, float))
                or not math.isfinite(amount)
                or amount < 0
            ):
                yield Finding(str(bound.ref), f"counts {amount!r} {name}: units are amounts of 0 or more")


def check_priced_units(subject: Subject) -> Iterator[Finding]:
    """What can be counted before the call is counted, so that a plan tells the cost."""
    priced = [each for each in _requests(subject) if any(row.per in _SURELY_COUNTED for row in each[0].info.price)]
    if not priced:
        raise NotApplicableError("no row has a price per image, run, request or character")
    for bound, request in priced:
        for row in bound.info.price:
            if row.per in _SURELY_COUNTED and not request.units.get(row.per):
                yield Finding(str(bound.ref), f"is priced per {row.per}, and the least job counts none in `units`")


def check_scaling(subject: Subject) -> Iterator[Finding]:
    """Twice the text is twice the characters, two images are two, a longer clip has more seconds: else estimates are wrong."""
    looked = False
    for bound in subject.bound:
        for words, small, large in _sizes(bound, subject):
            one, two = _prepared(subject, bound, small), _prepared(subject, bound, large)
            if one is None or two is None or one.warnings != two.warnings:
                continue
            for unit in sorted({row.per for row in bound.info.price if row.per.startswith(words)}):
                if not one.units.get(unit):
                    continue
                looked = True
                if not two.units.get(unit, 0) > one.units[unit]:
                    told = f"counts {one.units[unit]:g} {unit} for {small or 'the least job'}, and no more for {large}"
                    yield Finding(str(bound.ref), told)
    if not looked:
        raise NotApplicableError(
            "no row has a price per image, character, second or minute of a size that can be asked for"
        )


def _sizes(
    bound: BoundHandler, subject: Subject
) -> Iterator[tuple[tuple[str, ...], dict[str, object], dict[str, object]]]:
    """What units begin with, a job that has few of them, and one that has more."""
    inputs = subject.job(bound).inputs
    text = getattr(inputs, "text", None)
    if isinstance(text, str) and text:
        yield ("character",), {}, {"text": f"{text} {text}"}
    if hasattr(inputs, "count"):
        yield ("image", "output"), {}, {"count": 2}
    if hasattr(inputs, "duration"):
        yield ("second", "minute"), {"duration": 5.0}, {"duration": 10.0}
        yield ("second", "minute"), {"duration": 4.0}, {"duration": 8.0}


def check_refused_fields(subject: Subject) -> Iterator[Finding]:
    """What a row's `data.refuses` names is a field of the vendor, which `put` gets; an attribute's name does nothing."""
    told = [bound for bound in subject.bound if _refuses(bound)]
    if not told:
        raise NotApplicableError("no row has data.refuses")
    for bound in told:
        for name in _refuses(bound):
            if name not in attribute_names(bound.info.operation):
                continue  # it may be a field that only options set
            fewer = tuple(each for each in _refuses(bound) if each != name)
            info = replace(bound.info, data={**bound.info.data, "refuses": fewer})
            if _all_prepared(bound, bound.info, subject) == _all_prepared(bound, info, subject):
                what = (
                    f"data.refuses has {name!r}, and leaves nothing out: no attribute is put into a field of that name"
                )
                yield Finding(str(bound.ref), what)


def _refuses(bound: BoundHandler) -> tuple[str, ...]:
    value = bound.info.data.get("refuses", ())
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()


def _all_prepared(bound: BoundHandler, info: ModelInfo, subject: Subject) -> list[object]:
    """What becomes of the least job, and of one with each value of each attribute."""
    made: list[object] = []
    cases = [
        {**beside, name: value} for name, beside, values in variants(info, subject.all_samples) for value in values
    ]
    for more in ({}, *cases):
        try:
            request = bound.preparer.prepare(sample_job(info, subject.all_samples, more))
            made.append((request.body, request.expects, request.warnings))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises; the check `refusals` tells of it
            made.append(str(error))
    return made


TABLE: tuple[CheckRow, ...] = (
    (
        check_least,
        Check(
            "prepare-least",
            "the least job of each row gives a request of that row",
            "take the least; or say what the model needs: [conformance] samples = { model = { … } } in plugin.toml",
        ),
    ),
    (
        check_bodies,
        Check(
            "bodies",
            "a body is JSON with FileRef leaves",
            "build the body of dicts, lists, texts, numbers, booleans, None and FileRef",
        ),
    ),
    (
        check_body_schemas,
        Check(
            "body-schema",
            "a body is valid by the schema of its row",
            "map to the names and types of the schema; fetch the schema anew when the vendor has changed it",
        ),
    ),
    (
        check_texts,
        Check("texts", "a text reaches the body as it was given", "strip, escape and shorten nothing; refuse instead"),
    ),
    (check_expects, Check("expects", "`expects` says what comes out, and it suits the operation", "fill `expects`")),
    (
        check_row_output,
        Check("expected-output", "the row's `output` is what its least job expects", "correct the row, or `expects`"),
    ),
    (
        check_counts,
        Check(
            "expected-count",
            "`count = 2` expects two, or is warned of, or refused",
            "put the count into Expected, or one Expected for each output",
        ),
    ),
    (
        check_refused_fields,
        Check(
            "refused-fields",
            "what `data.refuses` names is a field that `put` sets",
            "write the vendor's name of the field, the first argument of `put`, and not the attribute's",
        ),
    ),
    (
        check_units,
        Check("units", "`units` are amounts of 0 or more", "count what the job asks for; leave out what is open"),
    ),
    (
        check_priced_units,
        Check(
            "units-priced",
            "a unit that is priced, and known before the call, is counted",
            'count it: ProviderRequest(units={"character": len(text)})',
        ),
    ),
    (
        check_scaling,
        Check("units-scale", "a larger job counts more of what is priced", "count the job that was given"),
    ),
)
