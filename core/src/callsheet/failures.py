"""Errors as data and back: what the ledger, events and JSON output say of a failed call."""

from __future__ import annotations

from collections.abc import Callable

from callsheet.errors import CallsheetError, ConfigError, ErrorKind, PluginError, ProviderError, Sent, error_for
from callsheet.secrets import Redactor
from callsheet.storage import Failure

__all__ = ["cleanse", "failure_of", "raise_failure"]


def cleanse(error: BaseException, redactor: Redactor) -> None:
    """Mask secrets in an error that is about to be raised, and in the errors that it came from.

    A vendor's SDK may put a URL with the key in it into its own exception, and a traceback shows the whole chain.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.args = tuple(redactor.text(arg) if isinstance(arg, str) else arg for arg in link.args)
        if isinstance(link, ProviderError):
            link.user_message = redactor.text(link.user_message)
            link.prompt = redactor.text(link.prompt)
            link.partial = redactor.text(link.partial)
            link.request_id = redactor.text(link.request_id)
            link.raw = redactor.value(link.raw)
        link = link.__cause__ or link.__context__


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
    kind = "config" if isinstance(error, ConfigError) else "plugin" if isinstance(error, PluginError) else "internal"
    return Failure(kind=kind, sent=Sent.NOT_SENT.value, message=redact(str(error)))


def raise_failure(failure: Failure) -> None:
    """Raise the error that a stored failure tells of."""
    if failure.kind not in list(ErrorKind):
        raise {"plugin": PluginError, "config": ConfigError}.get(failure.kind, CallsheetError)(failure.message)
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
