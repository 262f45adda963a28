"""Errors as data and back: what the ledger, events and JSON output say of a failed call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callsheet.errors import (
    BudgetExceededError,
    CallsheetError,
    ConfigError,
    ErrorKind,
    PluginError,
    ProviderError,
    Sent,
    error_for,
)
from callsheet.secrets import Redactor
from callsheet.storage import Failure

__all__ = ["cleanse", "failure_of", "raise_failure"]

_OTHER_KINDS: Mapping[str, type[CallsheetError]] = {
    "budget": BudgetExceededError,
    "config": ConfigError,
    "plugin": PluginError,
}


def cleanse(error: BaseException, redactor: Redactor) -> None:
    """Mask secrets in an error that is about to be raised, and in the errors that it came from.

    A vendor's SDK may put a URL with the key in it into its own exception, and a traceback shows the whole chain.
    """
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if hasattr(link, "__notes__"):
            link.__notes__ = [redactor.text(str(note)) for note in link.__notes__]
        if isinstance(link, BaseExceptionGroup):
            links += link.exceptions
        link.args = tuple(redactor.text(arg) if isinstance(arg, str) else arg for arg in link.args)
        if isinstance(link, ProviderError):
            link.user_message = redactor.text(link.user_message)
            link.prompt = redactor.text(link.prompt)
            link.partial = redactor.text(link.partial)
            link.request_id = redactor.text(link.request_id)
            link.raw = redactor.value(link.raw)
        links.append(link.__cause__ or link.__context__)


def failure_of(error: CallsheetError, redact: Callable[[str], str]) -> Failure:
    """An error as data, redacted."""
    if isinstance(error, ProviderError):
        return Failure(
            kind=error.kind.value,
            sent=error.sent.value,
            message=redact(str(error)),
            retryable=error.retryable,
            retry_after=error.retry_after,
            status_code=error.status_code,
            request_id=redact(error.request_id),
            ref=error.ref,
            user_message=redact(error.user_message),
            docs_url=error.docs_url,
            prompt=redact(error.prompt),
            partial=redact(error.partial),
        )
    kind = next((kind for kind, cls in _OTHER_KINDS.items() if isinstance(error, cls)), "internal")
    return Failure(kind=kind, sent=Sent.NOT_SENT.value, message=redact(str(error)))


def raise_failure(failure: Failure) -> None:
    """Raise the error that a stored failure tells of."""
    if failure.kind not in list(ErrorKind):
        raise _OTHER_KINDS.get(failure.kind, CallsheetError)(failure.message)
    raise error_for(ErrorKind(failure.kind))(
        failure.message,
        sent=Sent(failure.sent) if failure.sent in list(Sent) else Sent.UNKNOWN,
        retryable=failure.retryable,
        retry_after=failure.retry_after,
        status_code=failure.status_code,
        request_id=failure.request_id,
        ref=failure.ref,
        user_message=failure.user_message,
        docs_url=failure.docs_url,
        prompt=failure.prompt,
        partial=failure.partial,
    )
