"""Errors as data and back."""

from __future__ import annotations

import traceback
from dataclasses import replace

import pytest

from callsheet.errors import CallsheetError, ConfigError, ErrorKind, PluginError, ProviderError, Sent, error_for
from callsheet.failures import cleanse, failure_of, raise_failure
from callsheet.secrets import Redactor, Secret
from callsheet.storage import Failure


def hide(text: str) -> str:
    """A redactor of one word."""
    return text.replace("hunter2", "[redacted]")


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize("sent", Sent)
def test_round_trip(kind: ErrorKind, sent: Sent) -> None:
    """A stored failure raises the error that it was, with all that a policy needs."""
    error = error_for(kind)(
        "x", sent=sent, retryable=True, retry_after=1.5, status_code=429, request_id="r", ref="p:m",
        user_message="u", docs_url="https://d", prompt="q", raw={"not": "stored"},
    )  # fmt: skip
    with pytest.raises(ProviderError) as caught:
        raise_failure(failure_of(error, hide))
    again = caught.value
    assert type(again) is type(error)
    assert {**vars(again), "raw": None} == {**vars(error), "raw": None}


def test_everything_shown_is_redacted() -> None:
    """Message, the user's message and the prompt go through the redactor; what the vendor said is not kept."""
    error = error_for(ErrorKind.CONTENT_REJECTED)("hunter2", user_message="hunter2!", prompt="hunter2?", raw="hunter2")
    assert "hunter2" not in repr(failure_of(error, hide))


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConfigError("x", where="w"), "config"), (PluginError("x"), "plugin"), (CallsheetError("x"), "internal")],
)
def test_other_errors(error: CallsheetError, kind: str) -> None:
    """Errors of our own side were not sent, and come back as what they were."""
    failure = failure_of(error, hide)
    assert (failure.kind, failure.sent, failure.message) == (kind, "not_sent", str(error))
    with pytest.raises(type(error), match="x") as caught:
        raise_failure(failure)
    assert type(caught.value) is type(error)


def test_failures_of_another_version() -> None:
    """A word that this version does not know is not taken for a safe one."""
    failure = Failure("timeout", "perhaps", "x")
    with pytest.raises(ProviderError) as caught:
        raise_failure(failure)
    assert caught.value.sent is Sent.UNKNOWN
    with pytest.raises(CallsheetError, match="x"):
        raise_failure(replace(failure, kind="brand_new"))


def test_every_text_of_a_vendor_is_redacted() -> None:
    """A header may quote the key as well as a message may."""
    error = ProviderError(
        "hunter2", request_id="req hunter2", user_message="hunter2", prompt="hunter2", partial="hunter2"
    )
    failure = failure_of(error, hide)
    assert "hunter2" not in repr(failure)
    redactor = Redactor()
    redactor.add(Secret("hunter2"))
    cleanse(error, redactor)
    assert "hunter2" not in f"{error!r} {error.request_id} {error.user_message} {error.prompt} {error.partial}"


def test_notes_and_groups_are_redacted() -> None:
    """A traceback shows the notes of an error, and all the errors of a group."""
    redactor = Redactor()
    redactor.add(Secret("hunter2"))
    inner = ValueError("hunter2")
    inner.add_note("with hunter2")
    error = PluginError("broken")
    error.__cause__ = ExceptionGroup("several", [inner, KeyError("hunter2")])
    inner.__context__ = error  # a circle ends, too
    cleanse(error, redactor)
    assert "hunter2" not in "".join(traceback.format_exception(error))
    assert inner.__notes__ == ["with [redacted]"]
