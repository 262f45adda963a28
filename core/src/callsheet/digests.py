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
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, Enum) else value
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, FileRef):
        return value.uri
    if isinstance(value, Mapping):
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
        ready = json_ready(value)
        if _is_plain(ready):
            return _JSON.encode(ready).encode()
        return rfc8785.dumps(ready)  # type: ignore[arg-type]
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"a value in the request cannot be written as JSON: {error}") from None


def _is_plain(ready: object) -> bool:
    """True when the standard library's encoder, which is written in C, gives the bytes of RFC 8785.

    It writes floats in another way, orders odd keys by code point and not by UTF-16, and lets large integers through.
    """
    match ready:
        case None | bool() | str():
            return True
        case int():
            return -_EXACT < ready < _EXACT
        case dict():
            return all(k.isascii() and _is_plain(v) for k, v in ready.items())
        case list():
            return all(map(_is_plain, ready))
    return False


def digest(value: object) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
