"""TOML from outside: files with limits, and tables read key by key with errors that name file, key and remedy."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

from callsheet.errors import CallsheetError

__all__ = ["Fail", "Table", "in_mib", "near_or_known", "plain", "quoted", "read_toml", "url_problem"]

Fail = Callable[[str], CallsheetError]
"""Makes the error to raise from a message that already says where."""

_TOO_LONG = re.compile(r"\d{4301}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHOWN = 300


def plain(text: object) -> str:
    """Text from outside as it may be shown: control characters escaped, at most 300 characters."""
    given = str(text)[: _SHOWN + 1]
    shown = (
        given
        if given.isprintable()
        else "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in given)
    )
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def quoted(text: object) -> str:
    """Text from outside in quotation marks, as it may be shown."""
    shown = str(text)
    return repr(shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…")


def in_mib(size: int) -> str:
    """A size in bytes as `4 MiB`."""
    return f"{size >> 20} MiB"


def near_or_known(name: str, known: Collection[str]) -> str:
    """The end of an error about a wrong name: the nearest known one, else all of them."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}" if known else ""


def read_toml(path: Path, *, limit: int, fail: Fail) -> dict[str, object]:
    """The TOML document at `path`, at most `limit` bytes. Raises what `fail` makes: what is wrong, in which line."""
    where = plain(path)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise fail(f"{where}: cannot be read: {error.strerror or error}") from None
    if len(data) > limit:
        raise fail(f"{where}: is larger than {in_mib(limit)}")
    try:
        text = data.decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise fail(f"{where}: line {line} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise fail(f"{where}: is not valid TOML: {plain(error)}") from None
    except RecursionError:
        raise fail(f"{where}: is nested too deeply") from None
    except ValueError as error:
        # CPython refuses numbers of more than 4,300 digits without saying where.
        long = _TOO_LONG.search(text)
        place = f"line {text.count(chr(10), 0, long.start()) + 1} " if long else ""
        raise fail(f"{where}: {place}has a value that cannot be read: {plain(error)}") from None


def url_problem(url: str, *, https_only: bool = False) -> str:
    """Why this is no base URL (`https://host[/path]`), or the empty text. Loopback hosts may use http everywhere."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
        return "must be a URL like https://api.example.com"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return "must be a URL without user name, query and fragment"
    if https_only and parts.scheme != "https" and host not in _LOOPBACK:
        return "must begin with https://"
    return ""


def is_loopback(url: str) -> bool:
    """True for a URL of this very machine."""
    return urlsplit(url).hostname in _LOOPBACK


class Table:
    """One TOML table. Each method takes a key and checks its value; `only` refuses keys that nobody knows.

    `where` names the file and the table; `fail` makes the error to raise.
    """

    def __init__(self, values: object, where: str, fail: Fail) -> None:
        self.where = where
        self._fail = fail
        if not isinstance(values, Mapping):
            raise self.error(f"must be a table, not {_kind(values)}")
        self.values: Mapping[str, object] = values

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, message: str) -> CallsheetError:
        """The error to raise about this table."""
        return self._fail(f"{self.where}: {message}")

    def only(self, known: Collection[str], hint: str = "") -> None:
        """Raises for a key that is not in `known`, with the nearest one that is."""
        for key in self.values:
            if key not in known:
                raise self.error(f"unknown key {quoted(key)}{near_or_known(key, known)}{hint}")

    def text(self, key: str, default: str = "", *, form: re.Pattern[str] | None = None, wanted: str = "") -> str:
        """A text of one line, of the given form; `wanted` says the form in words."""
        if key not in self.values:  # most keys of most rows are not there, and rows come by the thousand
            return default
        value = self.values[key]
        if not isinstance(value, str):
            raise self.error(f"{key} must be text, not {_kind(value)}")
        if not value.isprintable():
            raise self.error(f"{key} must be one line without control characters")
        if form is not None and value and not form.fullmatch(value):
            raise self.error(f"{key} must be {wanted}, not {quoted(value)}")
        return value

    def flag(self, key: str) -> bool:
        """A boolean, False when absent."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(f"{key} must be true or false, not {_kind(value)}")
        return value

    def whole(self, key: str, *, least: int, most: int) -> int | None:
        """An integer between `least` and `most`, None when absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(f"{key} must be a whole number from {least} to {most}")
        return value

    def number(self, key: str, *, least: float, most: float) -> float | None:
        """A number between `least` and `most`, None when absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise self.error(f"{key} must be a number from {least:,} to {most:,}")
        return float(value)

    def amount(self, key: str) -> Decimal:
        """US dollars, 0 or more, exactly as they are written; a text for what a float cannot hold."""
        value = self.values.get(key)
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise InvalidOperation
            amount = Decimal(str(value))
        except InvalidOperation:
            example = f'{key} = 0.03 or {key} = "0.00000125"'
            raise self.error(f"{key} must be an amount in US dollars, for example {example}") from None
        if not amount.is_finite() or amount < 0:
            raise self.error(f"{key} must be 0 or more")
        return amount

    def texts(self, key: str, *, form: re.Pattern[str] | None = None, wanted: str = "") -> tuple[str, ...]:
        """A list of texts, empty when absent."""
        if key not in self.values:
            return ()
        values = self.values[key]
        if not isinstance(values, list) or not all(isinstance(v, str) and v.isprintable() for v in values):
            raise self.error(f'{key} must be a list of texts, for example {key} = ["one", "two"]')
        for value in values:
            if form is not None and not form.fullmatch(value):
                raise self.error(f"{key} must be {wanted}, not {quoted(value)}")
        return tuple(values)

    def choices(self, key: str, known: Collection[str]) -> tuple[str, ...]:
        """A list of texts, each out of `known`."""
        values = self.texts(key)
        for value in values:
            if value not in known:
                raise self.error(f"{key} has no {value!r}{near_or_known(value, known)}")
        return values

    def mapping(self, key: str) -> Mapping[str, object]:
        """A table of any values, empty when absent."""
        if key not in self.values:
            return {}
        return Table(self.values.get(key, {}), f"{self.where}: {key}", self._fail).values

    def pairs(self, key: str) -> dict[str, str]:
        """A table of texts, empty when absent."""
        table = self.table(key)
        return {name: table.text(name) for name in table.values}

    def table(self, key: str) -> Table:
        """A table inside this one, empty when absent."""
        return Table(self.values.get(key, {}), f"{self.where}: [{plain(key)}]", self._fail)

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of `[[key]]`, in order."""
        values = self.values.get(key, [])
        if not isinstance(values, list):
            raise self.error(f"{key} must be a list of tables: write [[{key}]] above each")
        for number, value in enumerate(values, 1):
            yield Table(value, f"{self.where}: {key} {number}", self._fail)


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")
