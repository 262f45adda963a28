"""The files of a call sheet: data with limits, and prompts, schemas and attachments that stay inside the project."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path

from callsheet.errors import ConfigError

__all__ = [
    "MAX_DATA_BYTES",
    "check_limits",
    "inside",
    "is_file",
    "is_template_file",
    "parse_json",
    "read_data",
    "read_text",
]

MAX_DATA_BYTES = 4 << 20
MAX_DEPTH = 64
MAX_DIGITS = 40

_TEMPLATE_FILE = re.compile(r"[^\s{}]+\.(?:md|txt|j2)")
_LONG_NUMBER = re.compile(rf"(?<![\w.])[+-]?\d{{{MAX_DIGITS + 1},}}")


def read_text(path: Path, where: str) -> str:
    """A UTF-8 text file of at most MAX_DATA_BYTES. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_DATA_BYTES:
            raise ConfigError(f"{path.name} is larger than {MAX_DATA_BYTES >> 20} MiB", where=where)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text (byte {error.start})", where=where) from None
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror or error}", where=where) from None


def read_data(path: Path) -> dict[str, object]:
    """A TOML or JSON (by extension) document whose top is a table. Raises ConfigError with the line."""
    text = read_text(path, str(path))
    data = parse_json(text, path.name) if path.suffix == ".json" else _parse_toml(text, path.name)
    if not isinstance(data, dict):
        raise ConfigError("the document must be a table (object) at its top", where=path.name)
    return data


def parse_json(text: str, where: str) -> object:
    """JSON with limits on depth and numbers; NaN and infinities are refused. Raises ConfigError with the line."""

    def refuse(constant: str) -> object:
        raise ConfigError(f"{constant} is not JSON", where=where)

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_DIGITS:
            raise ConfigError(f"{_line_of_number(text)}a number of more than {MAX_DIGITS} digits", where=where)
        return int(digits)

    def table(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = dict(pairs)
        if len(keys) < len(pairs):
            twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
            raise ConfigError(f"the key {twice!r} stands twice in one object", where=where)
        return keys

    try:
        value: object = json.loads(text, parse_constant=refuse, parse_int=integer, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        raise ConfigError(f"line {error.lineno}, column {error.colno}: {error.msg}", where=where) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=where) from None
    check_limits(value, where)
    return value


def _parse_toml(text: str, where: str) -> object:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", where=where) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=where) from None
    except ValueError:  # CPython refuses to convert more than 4,300 digits
        raise ConfigError(f"{_line_of_number(text)}a number of more than {MAX_DIGITS} digits", where=where) from None
    check_limits(value, where, text)
    return value


def _line_of_number(text: str) -> str:
    match = _LONG_NUMBER.search(text)
    return f"line {text.count(chr(10), 0, match.start()) + 1}: " if match else ""


def check_limits(value: object, where: str, text: str = "") -> None:
    """Raises ConfigError for data nested more than MAX_DEPTH deep, NaN, infinities and numbers of too many digits.

    With the `text` that the data was read from, a long number's line is told.
    """
    level: list[object] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for table in level:
            for item in table.values() if isinstance(table, dict) else table if isinstance(table, list) else ():
                _check_number(item, where, text)
                if isinstance(item, (dict, list)):
                    below.append(item)
        if not below:
            return
        level = below
    raise ConfigError(f"is nested more than {MAX_DEPTH} deep", where=where)


def _check_number(value: object, where: str, text: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{value} is no number that can be sent", where=where)
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ConfigError(f"{_line_of_number(text)}a number of more than {MAX_DIGITS} digits", where=where)


def is_template_file(text: str, folder: Path) -> bool:
    """True when a text attribute names a file: it looks like `some/prompt.md`, or a file of that name is there."""
    if "\n" in text or len(text) > 255 or not text.endswith((".md", ".txt", ".j2")):
        return False
    return bool(_TEMPLATE_FILE.fullmatch(text)) or is_file(folder / text)


def is_file(path: Path) -> bool:
    """True when there is such a file; a name that no file can have is not an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def inside(project: Path, folder: Path, name: str, where: str) -> Path:
    """The file `name` as seen from `folder`; it must exist and lie inside the project. Raises ConfigError."""
    if not name or "\0" in name:
        raise ConfigError("wants a file name", where=where)
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, not encodable, or a circle of links
        raise ConfigError(f"{name[:300]!r} cannot be the name of a file", where=where) from None
    if not path.is_relative_to(project.resolve()):
        raise ConfigError(f"{name!r} lies outside of the project {project.name!r}: copy it into it", where=where)
    if not is_file(path):
        raise ConfigError(f"there is no file {name[:300]!r} in {folder.name!r}", where=where)
    return path
