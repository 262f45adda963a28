"""Writing TOML: plain values as lines that read back as the same values."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, time

from callsheet.errors import ConfigError

__all__ = ["dotted_key", "toml_lines", "toml_value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_lines(table: Mapping[str, object]) -> str:
    """`key = value` in a line each. Raises ConfigError for what TOML cannot hold (None, half a character, a huge number)."""
    try:
        text = "".join(f"{_key(key)} = {toml_value(value)}\n" for key, value in table.items())
        text.encode("utf-8")
        same = tomllib.loads(text) == _plain(table)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot be written as TOML: {error}") from None
    if not same:
        raise ConfigError("cannot be written as TOML: it would read back as something else")
    return text


def dotted_key(names: Sequence[str]) -> str:
    """`retry."acme/model".attempts`."""
    return ".".join(map(_key, names))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: object) -> str:
    """A value on the right of `=`. Raises TypeError for what TOML cannot hold."""
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    raise TypeError(f"it has a {type(value).__name__}")


def _plain(value: object) -> object:
    """The value as TOML gives it back."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
