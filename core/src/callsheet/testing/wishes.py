"""What `prepare` makes of attributes and options: each reaches the body, or is warned of, or refused; none is bent in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from callsheet.digests import digest
from callsheet.jobs import ProviderRequest
from callsheet.registry import BoundHandler
from callsheet.testing.report import Finding
from callsheet.testing.samples import variants
from callsheet.testing.subject import Subject

__all__ = ["UNKNOWN_OPTION", "check_attributes", "check_options"]

UNKNOWN_OPTION = "callsheet_conformance_option"
_AMOUNTS = frozenset({"duration", "fps", "temperature"})
_AS_GIVEN: Mapping[str, tuple[float, ...]] = {"seed": (41, 0), "max_tokens": (333,), "temperature": (0.0,)}
"""Numbers that every vendor writes as they are: the 0 among them is what `if value` loses."""
_PROMISED = frozenset({"size", "aspect_ratio", "resolution", "count", "format", "duration", "fps"})
_ANOTHER = "callsheet-conformance-model"


def check_attributes(subject: Subject) -> Iterator[Finding]:
    """Every general attribute changes the body, is warned of, or is refused."""
    for bound in subject.bound:
        for name, beside, values in variants(bound.info, subject.all_samples):
            instead = None in beside.values()
            told = {_told(subject, bound, {**beside, name: value}) for value in values}
            # What stands in another attribute's place changes the body anyway: its values must differ from each other.
            plain = _told(subject, bound, {} if instead else beside)
            only = told.pop() if len(told) == 1 else None
            if only and plain and only[1] == plain[1] and (instead or only == plain):
                what = f"{name} is left out in silence: it changes neither the body nor the warnings"
                yield Finding(str(bound.ref), what)
                continue
            if name in _AMOUNTS:
                yield from _confused(subject, bound, name, values)
            yield from _lost(subject, bound, name)


def _confused(subject: Subject, bound: BoundHandler, name: str, values: Sequence[object]) -> Iterator[Finding]:
    """Two amounts that become one, and neither is warned of: the nearest was taken in silence."""
    seen: dict[str, object] = {}
    plain = _told(subject, bound, {})
    for value in values:
        told = _told(subject, bound, {name: value})
        if told is None or plain is None or told[1] > plain[1]:
            continue  # refused, or warned of
        if seen.setdefault(told[0], value) is not value:
            yield Finding(str(bound.ref), f"{name} {value} becomes what {seen[told[0]]} becomes, without a warning")


def _lost(subject: Subject, bound: BoundHandler, name: str) -> Iterator[Finding]:
    """A number that does not stand in the body, and is not warned of: it was changed, or taken for nothing."""
    plain = _prepared(subject, bound, {})
    for value in _AS_GIVEN.get(name, ()):
        asked = _prepared(subject, bound, {name: value})
        if asked is None or plain is None or len(asked.warnings) > len(plain.warnings):
            continue  # refused, or warned of
        if not any(leaf in (value, str(value)) for leaf in _leaves(asked.body)):
            yield Finding(str(bound.ref), f"{name} {value:g} does not stand in the body, and is not warned of")


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    elif not isinstance(value, bool):
        yield value


def check_options(subject: Subject) -> Iterator[Finding]:
    """An option goes to the model as it is, or is warned of, or refused; it makes no other call of it than is promised."""
    for bound in subject.bound:
        plain = _prepared(subject, bound, {})
        if plain is None:
            continue
        if _told(subject, bound, {"options": {UNKNOWN_OPTION: 1}}) == _told(subject, bound, {}):
            yield Finding(str(bound.ref), "an option that it does not know is left out in silence")
        for name, value in plain.body.items():
            if name == "model" or value == bound.info.model:
                asked = _prepared(subject, bound, {"options": {name: _ANOTHER}})
                if asked is not None and asked.body.get(name) == _ANOTHER:
                    yield Finding(
                        str(bound.ref),
                        f"the option {name} calls another model than the row: name it in Draft(…, ours=…)",
                    )
        yield from _unkept(subject, bound)


def _unkept(subject: Subject, bound: BoundHandler) -> Iterator[Finding]:
    """The same body by an attribute and by the vendor's field as an option, and two promises of what comes or costs."""
    told: set[str] = set()
    for name, beside, values in variants(bound.info, subject.all_samples):
        plain = _prepared(subject, bound, beside) if name in _PROMISED else None
        for value in values if plain is not None else ():
            asked = _prepared(subject, bound, {**beside, name: value})
            if asked is None or plain is None or _promise(asked) == _promise(plain):
                continue
            for field, wanted in _changed(plain.body, asked.body):
                given = _prepared(subject, bound, {**beside, "options": {field: wanted}})
                same = given is not None and digest(given.body) == digest(asked.body)
                if given is None or not same or field in told or not _contradicts(given, asked):
                    continue
                told.add(field)
                if len(given.warnings) <= len(plain.warnings):
                    what = f"the option {field} sends what {name} = {value} sends, and not what it promises"
                    yield Finding(str(bound.ref), f"{what}: {_OURS}")


_OURS = "name it in Draft(…, ours=…), or make `expects` and `units` of what is sent"


def _promise(request: ProviderRequest) -> dict[str, object]:
    """What is said of the outputs and of the price; what is left open is not in it."""
    fields = ("kind", "media_type", "count", "width", "height", "fps", "duration")
    said = {f"{at}.{name}": getattr(each, name) for at, each in enumerate(request.expects) for name in fields}
    return {name: value for name, value in {**said, **request.units}.items() if value is not None}


def _contradicts(one: ProviderRequest, other: ProviderRequest) -> bool:
    """True where both say something, and not the same."""
    said, promised = _promise(one), _promise(other)
    return any(said[name] != promised[name] for name in said.keys() & promised.keys())


def _changed(plain: Mapping[str, object], asked: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The fields of a body, or of a table in it, that are others."""
    for field, value in asked.items():
        before = plain.get(field)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _changed(before, value)
        elif value != before:
            yield field, value


def _prepared(subject: Subject, bound: BoundHandler, more: Mapping[str, object]) -> ProviderRequest | None:
    """The request; None when the job is refused or no job at all: `check_refusals` and `check_bodies` tell of it."""
    try:
        request = subject.request(bound, **more)
        digest(request.body)
    except Exception:  # noqa: BLE001 - whatever a plugin raises
        return None
    return request


def _told(subject: Subject, bound: BoundHandler, more: Mapping[str, object]) -> tuple[str, int] | None:
    """A digest of the body and the number of warnings; None where there is no request."""
    request = _prepared(subject, bound, more)
    return None if request is None else (digest(request.body), len(request.warnings))
