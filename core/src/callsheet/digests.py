"""Digests of JSON values: sha256 over canonical JSON (RFC 8785), with files by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePath

from callsheet.artifacts import FileRef
from callsheet.errors import ConfigError

__all__ = ["canonical", "digest", "json_ready"]


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
        return rfc8785.dumps(json_ready(value))  # type: ignore[arg-type]
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"a value in the request cannot be written as JSON: {error}") from None


def digest(value: object) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
