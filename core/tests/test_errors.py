"""The error tree: kinds, classes, what is known of the request, and exit codes."""

from __future__ import annotations

import pickle
import re

import pytest

from callsheet import errors
from callsheet.errors import (
    CallsheetError,
    ConfigError,
    ErrorKind,
    JobFailedError,
    PluginError,
    ProviderError,
    RateLimitedError,
    Sent,
    error_for,
    excerpt,
)

UNKNOWN = {ErrorKind.TIMEOUT, ErrorKind.CONNECTION_FAILED, ErrorKind.JOB_LOST, ErrorKind.CANCELLED}
FINISHED = {ErrorKind.JOB_FAILED, ErrorKind.MALFORMED_OUTPUT}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_has_its_class(kind: ErrorKind) -> None:
    """`error_for` is total, and the class says the kind it stands for."""
    cls = error_for(kind)
    assert issubclass(cls, ProviderError)
    assert cls.kind is kind
    assert cls("x").needs_user is kind.needs_user


@pytest.mark.parametrize("kind", ErrorKind)
def test_what_is_known_of_the_request_by_default(kind: ErrorKind) -> None:
    """A refusal is `rejected`, an end that the provider tells is `finished`, and silence is `unknown`."""
    expected = Sent.REJECTED
    if kind in UNKNOWN:
        expected = Sent.UNKNOWN
    elif kind in FINISHED:
        expected = Sent.FINISHED
    elif kind is ErrorKind.CAPABILITY_UNSUPPORTED:
        expected = Sent.NOT_SENT
    assert error_for(kind)("x").sent is expected
    assert error_for(kind)("x", sent=Sent.NOT_SENT).sent is Sent.NOT_SENT


@pytest.mark.parametrize("kind", ErrorKind)
def test_what_needs_a_person_is_not_retried(kind: ErrorKind) -> None:
    """No error that only a person can mend is retryable by default."""
    error = error_for(kind)("x")
    assert not (error.needs_user and error.retryable)
    assert error_for(kind)("x", retryable=True).retryable


def test_exit_codes() -> None:
    """2 for a wrong sheet, 3 for what is missing or a refused key, 4 for a refused input, else 1."""
    assert CallsheetError("x").exit_code == 1
    assert ConfigError("x").exit_code == 2
    assert ConfigError("x", missing=True).exit_code == 3
    assert PluginError("x").exit_code == 3
    codes = {kind: error_for(kind)("x").exit_code for kind in ErrorKind}
    assert {k for k, code in codes.items() if code == 3} == {ErrorKind.AUTHENTICATION, ErrorKind.ACCESS_DENIED}
    assert {k for k, code in codes.items() if code == 4} == {ErrorKind.INVALID_REQUEST, ErrorKind.CONTENT_REJECTED}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The module's page names every class, and each under its parent."""
    lines = re.findall(r"^( *)- (\w+)", errors.__doc__ or "", re.MULTILINE)
    below = {name for indent, name in lines if indent}
    classes = {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, Exception)}
    assert {name for _, name in lines} | {"CallsheetError"} == set(classes)
    assert below == {n for n, c in classes.items() if issubclass(c, ProviderError) and c is not ProviderError}
    assert set(classes) | {"ErrorKind", "Sent", "error_for", "excerpt"} == set(errors.__all__)


def test_where_stands_in_front_and_shows_no_control_characters() -> None:
    """File and key lead the message; a key from outside cannot move the terminal's cursor."""
    assert str(ConfigError("is wrong", where="sheet.toml: a")) == "sheet.toml: a: is wrong"
    assert "\x1b" not in str(ConfigError("is wrong", where="sheet.toml: \x1b[2J"))


def test_fields_and_pickle() -> None:
    """What a call's error knows survives the way to another process."""
    error = RateLimitedError("slow down", retry_after=2.5, status_code=429, request_id="r", ref="p:m", raw={"a": 1})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is RateLimitedError
    assert vars(again) == vars(error)
    assert error.user_message == "slow down"
    assert JobFailedError("x", user_message="y").user_message == "y"


@pytest.mark.parametrize("at", range(40))
@pytest.mark.parametrize("form", ["{} {}", '{}"{}"', "{}<b>{}</b>", "{}{}"])
def test_an_excerpt_has_no_half_word(form: str, at: int) -> None:
    """Wherever it is cut: a key is there whole or not at all, in text and in bytes."""
    key = "Zq8fK2mN7pLw4RtY9vBxQ3"
    text = form.format("x" * at, key) + " and so on"
    for shown in (excerpt(text, 40), excerpt(text.encode(), 40)):
        assert len(shown) <= 41
        assert key in shown or key[:4] not in shown
        assert text.startswith(shown.removesuffix("…"))
    assert excerpt(text, len(text)) == text
