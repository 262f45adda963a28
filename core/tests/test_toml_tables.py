"""TOML files with limits, and tables whose errors name file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import ConfigError
from callsheet.toml_tables import Table, plain, read_toml, url_problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = \n", "at line 2"),
        (b"a = 1\n\nb = '\xff'\n", "line 3 is not UTF-8"),
        (b"a = 1\nb = " + b"9" * 5000, "line 2 has a value"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"x = '" + b"a" * 200 + b"'", "is larger than"),
        (b"a = 2026-02-31", "Invalid date"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    """Syntax, encoding, numbers, depth and size are each told with the place."""
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    limit = 100 if said == "is larger than" else 100_000
    with pytest.raises(ConfigError, match=said) as error:
        read_toml(path, limit=limit, fail=ConfigError)
    assert str(path) in str(error.value)


def test_a_missing_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """The operating system's reason is told."""
    with pytest.raises(ConfigError, match="No such file"):
        read_toml(tmp_path / "no.toml", limit=10, fail=ConfigError)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path, limit=100, fail=ConfigError) == {"a": 1}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: t.text("number"), "number must be text, not a number"),
        (lambda t: t.text("lines"), "one line without control characters"),
        (lambda t: t.flag("number"), "number must be true or false"),
        (lambda t: t.whole("flag", least=1, most=3), "flag must be a whole number from 1 to 3"),
        (lambda t: t.whole("number", least=1, most=3), "whole number from 1 to 3"),
        (lambda t: t.number("words", least=0.5, most=2000), r"words must be a number from 0.5 to 2,000"),
        (lambda t: t.number("flag", least=0, most=2), "flag must be a number from 0 to 2"),
        (lambda t: t.number("number", least=0, most=2), "number must be a number from 0 to 2"),
        (lambda t: t.amount("flag"), "flag must be an amount in US dollars, for example flag = 0.03"),
        (lambda t: t.amount("absent"), "absent must be an amount"),
        (lambda t: t.texts("number"), "number must be a list of texts"),
        (lambda t: t.texts("mixed"), "mixed must be a list of texts"),
        (lambda t: t.choices("words", ("once", "two")), "words has no 'one'; did you mean 'once'"),
        (lambda t: t.table("number"), r"\[number\]: must be a table, not a number"),
        (lambda t: list(t.tables("number")), r"write \[\[number\]\]"),
        (lambda t: list(t.tables("words")), "words 1: must be a table, not text"),
        (lambda t: t.mapping("words"), "must be a table, not a list"),
        (lambda t: t.pairs("sub"), "n must be text"),
        (lambda t: t.only(("number", "flags")), "unknown key 'flag'; did you mean 'flags'"),
    ],
)
def test_a_wrong_value_names_where_and_what(call, said: str) -> None:
    """Every check names the table, the key and what it wants."""
    values = {"number": 7, "flag": True, "lines": "a\nb", "mixed": ["a", 1], "words": ["one"], "sub": {"n": 1}}
    with pytest.raises(ConfigError, match=said) as error:
        call(Table(values, "x.toml", ConfigError))
    assert str(error.value).startswith("x.toml")


def test_absent_values_have_defaults() -> None:
    """Nothing is required unless its reader says so."""
    table = Table({}, "x.toml", ConfigError)
    assert (table.text("a"), table.flag("a"), table.whole("a", least=1, most=2), table.texts("a")) == (
        "",
        False,
        None,
        (),
    )
    assert table.number("a", least=1, most=2) is None
    assert table.mapping("a") == {} == table.pairs("a")
    assert list(table.tables("a")) == []


def test_text_from_outside_is_shown_without_control_characters() -> None:
    """Escapes for terminals, lone surrogates and endless names come out harmless."""
    assert plain("a\x1b[31mb\u202e\udc80") == r"a\x1b[31mb\u202e\udc80"
    assert len(plain("x" * 10_000)) == 301


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://api.example.com", ""),
        ("https://api.example.com/v1", ""),
        ("http://127.0.0.1:8080", ""),
        ("http://api.example.com", "must begin with https"),
        ("ftp://example.com", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://user:pw@example.com", "without user name"),
        ("https://example.com?x=1", "without user name, query"),
        ("https://exa mple.com", "must be a URL"),
        ("https://example.com:port", "is not a URL"),
        ("http://[::1", "is not a URL"),
    ],
)
def test_base_urls_are_checked(url: str, problem: str) -> None:
    """A base URL has a host, no credentials, no query, and https unless it is on this machine."""
    assert problem in url_problem(url, https_only=True)
    assert bool(problem) == bool(url_problem(url, https_only=True))
