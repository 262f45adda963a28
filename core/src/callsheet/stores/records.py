"""Records as JSON text and back: receipts, results, failures, messages and plain mappings.

Money is written as text, so that it stays exact; where a file lies on this machine (`BlobArtifact.location`) is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.digests import json_ready
from callsheet.errors import CallsheetError
from callsheet.jobs import Expected, JobResult, Receipt
from callsheet.messages import Message
from callsheet.money import Cost
from callsheet.secrets import Redactor
from callsheet.storage import Failure

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "decode_cost",
    "decode_expects",
    "decode_failure",
    "decode_mapping",
    "decode_message",
    "decode_receipt",
    "decode_result",
    "encode_cost",
    "encode_failure",
    "encode_mapping",
    "encode_message",
    "encode_receipt",
    "encode_result",
    "masked",
]

T = TypeVar("T")


def encode_receipt(receipt: Receipt) -> str:
    """A receipt as JSON text."""
    return _encode(receipt)


def decode_receipt(text: str) -> Receipt:
    """A receipt from JSON text. Raises CallsheetError when it is not one."""
    return _decode(Receipt, text)


def encode_result(result: JobResult) -> str:
    """A result as JSON text."""
    return _encode(result)


def decode_result(text: str) -> JobResult:
    """A result from JSON text. Raises CallsheetError when it is not one."""
    return _decode(JobResult, text)


def encode_failure(failure: Failure) -> str:
    """A failure as JSON text."""
    return _encode(failure)


def decode_failure(text: str) -> Failure:
    """A failure from JSON text. Raises CallsheetError when it is not one."""
    return _decode(Failure, text)


def encode_message(message: Message) -> str:
    """A message as JSON text."""
    return _encode(message)


def decode_message(text: str) -> Message:
    """A message from JSON text. Raises CallsheetError when it is not one."""
    return _decode(Message, text)


def encode_cost(cost: Cost) -> str:
    """A cost as JSON text."""
    return _dumps({"low": cost.low, "high": cost.high, "reason": cost.reason})


def decode_cost(text: str) -> Cost:
    """A cost from JSON text. Raises CallsheetError when it is not one."""
    return _decode(Cost, text)


def decode_expects(value: object) -> tuple[Expected, ...]:
    """What was expected of a call, from its record; nothing when the record does not say."""
    return tuple(_decode(Expected, _dumps(each)) for each in value) if isinstance(value, list) else ()


def encode_mapping(mapping: Mapping[str, object]) -> str:
    """A mapping as JSON text; files are written as their URI, as in a request's digest."""
    return _dumps(mapping) if mapping else "{}"


def decode_mapping(text: str) -> dict[str, object]:
    """A mapping from JSON text. Raises CallsheetError when it is not one."""
    value = _loads(text)
    if not isinstance(value, dict):
        raise CallsheetError("a record is not a JSON object")
    return value


def masked(mapping: Mapping[str, object], redactor: Redactor) -> tuple[Mapping[str, object], str]:
    """The mapping and its JSON text, with masks in the place of secrets. Raises as `encode_mapping` does."""
    try:
        text = _STRICT.encode(mapping)
        if redactor.value(mapping) == mapping:
            return mapping, text
    except (TypeError, ValueError, RecursionError):
        pass  # no JSON data (a path, say), or very deep
    opened = _encode(mapping)  # all that may be written of it
    told = _loads(opened)
    try:
        clean = redactor.value(told)
    except RecursionError:  # too deep for a look at each text in it, and perhaps part of what was paid for
        clean = _loads(redactor.text(opened))
    return (mapping, encode_mapping(mapping)) if clean == told else (cast("Mapping[str, object]", clean), _dumps(clean))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _encode(record: object) -> str:
    return _dumps(record, is_record=True)


def _decode(kind: type[T], text: str) -> T:
    from pydantic import ValidationError

    value, adapter = _loads(text), _adapter(cast("Any", kind))
    try:
        found: T = adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CallsheetError(f"this is not a valid {kind.__name__}: {place}: {first['msg']}") from None
    return found


def _dumps(value: object, *, is_record: bool = False) -> str:
    """ASCII JSON; NaN and infinities are written as Python reads them."""
    encoder = _RECORD if is_record else _JSON
    try:
        return encoder.encode(value)
    except (TypeError, ValueError, RecursionError):
        pass  # keys of odd types, or cycles
    try:
        return encoder.encode(_opened(value) if is_record else json_ready(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise CallsheetError(f"a record cannot be written as JSON: {error}") from None


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CallsheetError(f"a record is not valid JSON: {error}") from None


def _leaf(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, FileRef):
        return value.uri
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(type(value)) or isinstance(value, (set, frozenset, Path)):
        return json_ready(value)
    dump = getattr(value, "model_dump", None)  # what a plugin or an application has parsed with pydantic
    return dump() if callable(dump) and not isinstance(value, type) else str(value)


def _field(value: object) -> object:
    """As `_leaf`, but what is a record, or in one, is written with all of its fields: it is read back."""
    kind = type(value)
    return {name: getattr(value, name) for name in _kept(kind)} if is_dataclass(kind) else _leaf(value)


@cache
def _kept(kind: type) -> tuple[str, ...]:
    left_out = "location" if issubclass(kind, BlobArtifact) else ""
    return tuple(each.name for each in fields(kind) if each.name != left_out)


def _opened(value: object) -> object:
    """A record as plain objects and lists, whose keys are texts."""
    if is_dataclass(type(value)):
        value = _field(value)
    if isinstance(value, Mapping):
        return {str(key): _opened(each) for key, each in value.items()}
    return [_opened(each) for each in value] if isinstance(value, (list, tuple)) else value


_STRICT = json.JSONEncoder(separators=(",", ":"))
_JSON = json.JSONEncoder(default=_leaf, separators=(",", ":"))
_RECORD = json.JSONEncoder(default=_field, separators=(",", ":"))
