"""Digests of JSON values: sha256 over canonical JSON (RFC 8785), with files by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePath

from callsheet.artifacts import FileRef
from callsheet.errors import ConfigError

__all__ = ["canonical", "digest", "json_ready"]

_EXACT = 2**53
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False)


def json_ready(value: object) -> object:
    """The value as plain JSON data: dataclasses become objects without their None fields, files become their URI.

    Raises ConfigError for anything else: a key made of an object's repr would be another one tomorrow.
    """
    if type(value) is str:
        return value
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, Enum) else value
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, FileRef):
        return value.uri
    if isinstance(value, (dict, Mapping)):
        return {str(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(v) for v in value)
    if isinstance(value, PurePath):
        return value.as_posix()
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {name: json_ready(v) for name, v in pairs if v is not None}
    if isinstance(value, Decimal):
        return str(value)
    raise ConfigError(f"a {type(value).__name__} is not a JSON value: it has no stable form to make a key of")


def canonical(value: object) -> bytes:
    """Canonical JSON of a value. Raises ConfigError for NaN, infinities and integers beyond 2**53 - 1."""
    import rfc8785

    try:
        if not _is_plain(value):
            value = json_ready(value)
            if not _is_plain(value):
                return rfc8785.dumps(value)  # type: ignore[arg-type]
        return _JSON.encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"a value in the request cannot be written as JSON: {error}") from None


def _is_plain(value: object) -> bool:
    """True for JSON data of which the standard library's encoder, written in C, makes the bytes of RFC 8785.

    It writes whole, very small and very large floats in another way, orders odd keys by code point and not by UTF-16,
    and lets large integers, NaN and infinities through. Exact types: an enumeration is a str as well.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if type(value) is dict:
        return all(type(k) is str and k.isascii() and _is_plain(v) for k, v in value.items())
    if type(value) is list or type(value) is tuple:
        return all(map(_is_plain, value))
    if type(value) is int:
        return -_EXACT < value < _EXACT
    return type(value) is float and 1e-4 <= abs(value) < _EXACT and not value.is_integer()


def digest(value: object) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
