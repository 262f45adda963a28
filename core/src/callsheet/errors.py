"""The error tree.

CallsheetError
- ConfigError                     the sheet, the configuration or the command is wrong; `exit_code` 2 or 3
- PluginError                     a plugin is missing, broken or breaks the contract
- BudgetExceededError             the budget does not allow the call; nothing was sent
- ProviderError                   a call failed; has `kind` and `sent`
  - AuthenticationError           the key is missing or refused
  - AccessDeniedError             the key may not do this
  - QuotaExceededError            the account has no credit left
  - RateLimitedError              too many requests; see `retry_after`
  - OverloadedError               the provider is busy
  - InvalidRequestError           the provider does not accept the request
  - ContentRejectedError          refused for its content; `prompt` holds what was refused
  - ModelNotFoundError            no such model there
  - CapabilityUnsupportedError    the model cannot do what was asked
  - ProviderTimeoutError          no answer in time
  - ConnectionFailedError         no connection, or a cut one
  - JobFailedError                the provider reports that the job failed
  - JobLostError                  the provider no longer knows the job
  - MalformedOutputError          the answer is incomplete or not what was asked for
  - JobCancelledError             cancelled by the caller
"""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = [
    "AccessDeniedError",
    "AuthenticationError",
    "BudgetExceededError",
    "CallsheetError",
    "CapabilityUnsupportedError",
    "ConfigError",
    "ConnectionFailedError",
    "ContentRejectedError",
    "ErrorKind",
    "InvalidRequestError",
    "JobCancelledError",
    "JobFailedError",
    "JobLostError",
    "MalformedOutputError",
    "ModelNotFoundError",
    "OverloadedError",
    "PluginError",
    "ProviderError",
    "ProviderTimeoutError",
    "QuotaExceededError",
    "RateLimitedError",
    "Sent",
    "error_for",
    "excerpt",
]


class ErrorKind(StrEnum):
    """Why a call failed; stable words for logs, other processes and policies."""

    AUTHENTICATION = "authentication"
    ACCESS_DENIED = "access_denied"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    INVALID_REQUEST = "invalid_request"
    CONTENT_REJECTED = "content_rejected"
    MODEL_NOT_FOUND = "model_not_found"
    CAPABILITY_UNSUPPORTED = "capability_unsupported"
    TIMEOUT = "timeout"
    CONNECTION_FAILED = "connection_failed"
    JOB_FAILED = "job_failed"
    JOB_LOST = "job_lost"
    MALFORMED_OUTPUT = "malformed_output"
    CANCELLED = "cancelled"

    @property
    def needs_user(self) -> bool:
        """True when no retry helps until a person changes something (the prompt, the key, the account)."""
        return self in _NEEDS_USER


class Sent(StrEnum):
    """What is known of the request: it decides whether trying again could pay twice."""

    NOT_SENT = "not_sent"
    """Name resolution, connection or TLS failed: the provider has seen nothing."""
    REJECTED = "rejected"
    """A complete refusal (4xx but 408 and 409; 429, 503, 529): nothing was started."""
    FINISHED = "finished"
    """The provider reports a terminal failure of an accepted job: another try is another paid attempt."""
    UNKNOWN = "unknown"
    """Nobody can say (408, 409, 500, 502, 504, a cut or silent reply)."""


_NEEDS_USER = frozenset(
    {
        ErrorKind.AUTHENTICATION,
        ErrorKind.ACCESS_DENIED,
        ErrorKind.QUOTA_EXCEEDED,
        ErrorKind.INVALID_REQUEST,
        ErrorKind.CONTENT_REJECTED,
        ErrorKind.MODEL_NOT_FOUND,
        ErrorKind.CAPABILITY_UNSUPPORTED,
    }
)


class CallsheetError(Exception):
    """Everything callsheet raises on purpose."""

    exit_code = 1


class ConfigError(CallsheetError):
    """The sheet, the configuration or the command line is wrong.

    `where` is a file and key (`sheet.toml: producers.clip.image`). `missing` is True when something is absent from the
    machine rather than wrong in a file (a plugin, a secret): exit code 3 instead of 2.
    """

    def __init__(self, message: str, *, where: str = "", missing: bool = False) -> None:
        self.where = "".join(c if c.isprintable() else repr(c)[1:-1] for c in where)
        super().__init__(f"{self.where}: {message}" if where else message)
        self.exit_code = 3 if missing else 2


class PluginError(CallsheetError):
    """A plugin is missing, does not import, or breaks the contract; `plugin` names its distribution."""

    exit_code = 3

    def __init__(self, message: str, *, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin


class BudgetExceededError(CallsheetError):
    """The budget does not allow a call, so it was not sent. `later`: an earlier one was refused, and nothing new is paid for."""

    def __init__(self, message: str, *, later: bool = False) -> None:
        super().__init__(message)
        self.later = later


class ProviderError(CallsheetError):
    """A provider's call failed.

    `sent` says what is known of the request; `retry_after` is in seconds; `raw` is what the vendor said, for people
    (redacted before it is stored or shown); `prompt` is set when the content was refused; `partial` is the text that had
    come of a stream that was cut.
    """

    kind: ErrorKind = ErrorKind.JOB_FAILED
    default_sent: Sent = Sent.UNKNOWN
    default_retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        sent: Sent | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        status_code: int | None = None,
        request_id: str = "",
        ref: str = "",
        user_message: str = "",
        docs_url: str = "",
        prompt: str = "",
        partial: str = "",
        raw: object = None,
    ) -> None:
        super().__init__(message)
        self.sent = self.default_sent if sent is None else sent
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.status_code = status_code
        self.request_id = request_id
        self.ref = ref
        self.user_message = user_message or message
        self.docs_url = docs_url
        self.prompt = prompt
        self.partial = partial
        self.raw = raw

    @property
    def needs_user(self) -> bool:
        """True when a person has to change something before another try makes sense."""
        return self.kind.needs_user

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """3 for a refused key, 4 for a refused input, else 1."""
        if self.kind in (ErrorKind.AUTHENTICATION, ErrorKind.ACCESS_DENIED):
            return 3
        return 4 if self.kind in (ErrorKind.INVALID_REQUEST, ErrorKind.CONTENT_REJECTED) else 1


class AuthenticationError(ProviderError):
    """The key is missing or refused."""

    kind = ErrorKind.AUTHENTICATION
    default_sent = Sent.REJECTED


class AccessDeniedError(ProviderError):
    """The key is good but may not do this."""

    kind = ErrorKind.ACCESS_DENIED
    default_sent = Sent.REJECTED


class QuotaExceededError(ProviderError):
    """The account has no credit left, or has reached its own limit."""

    kind = ErrorKind.QUOTA_EXCEEDED
    default_sent = Sent.REJECTED


class RateLimitedError(ProviderError):
    """Too many requests for now."""

    kind = ErrorKind.RATE_LIMITED
    default_sent = Sent.REJECTED
    default_retryable = True


class OverloadedError(ProviderError):
    """The provider is busy for everybody."""

    kind = ErrorKind.OVERLOADED
    default_sent = Sent.REJECTED
    default_retryable = True


class InvalidRequestError(ProviderError):
    """The provider does not accept the request as it is."""

    kind = ErrorKind.INVALID_REQUEST
    default_sent = Sent.REJECTED


class ContentRejectedError(ProviderError):
    """The prompt, an input file or the output was refused for its content."""

    kind = ErrorKind.CONTENT_REJECTED
    default_sent = Sent.REJECTED


class ModelNotFoundError(ProviderError):
    """The provider knows no such model, or not for this account."""

    kind = ErrorKind.MODEL_NOT_FOUND
    default_sent = Sent.REJECTED


class CapabilityUnsupportedError(ProviderError):
    """The model cannot do what was asked; found before anything was sent."""

    kind = ErrorKind.CAPABILITY_UNSUPPORTED
    default_sent = Sent.NOT_SENT


class ProviderTimeoutError(ProviderError):
    """No answer in time."""

    kind = ErrorKind.TIMEOUT
    default_retryable = True


class ConnectionFailedError(ProviderError):
    """No connection could be made (`not_sent`) or it was cut (`unknown`)."""

    kind = ErrorKind.CONNECTION_FAILED
    default_retryable = True


class JobFailedError(ProviderError):
    """The provider reports that the accepted job failed."""

    kind = ErrorKind.JOB_FAILED
    default_sent = Sent.FINISHED
    default_retryable = True


class JobLostError(ProviderError):
    """The provider no longer knows the job (deleted, expired)."""

    kind = ErrorKind.JOB_LOST
    default_sent = Sent.UNKNOWN


class MalformedOutputError(ProviderError):
    """The answer is cut, not of the promised type, or not valid against its schema; it was paid for."""

    kind = ErrorKind.MALFORMED_OUTPUT
    default_sent = Sent.FINISHED
    default_retryable = True


class JobCancelledError(ProviderError):
    """Cancelled by the caller."""

    kind = ErrorKind.CANCELLED


_BY_KIND: dict[ErrorKind, type[ProviderError]] = {
    cls.kind: cls
    for cls in (
        AuthenticationError,
        AccessDeniedError,
        QuotaExceededError,
        RateLimitedError,
        OverloadedError,
        InvalidRequestError,
        ContentRejectedError,
        ModelNotFoundError,
        CapabilityUnsupportedError,
        ProviderTimeoutError,
        ConnectionFailedError,
        JobFailedError,
        JobLostError,
        MalformedOutputError,
        JobCancelledError,
    )
}


def error_for(kind: ErrorKind) -> type[ProviderError]:
    """The class whose `kind` this is."""
    return _BY_KIND[kind]


_LAST_WORD = re.compile(r"[^\s\"'<>,{}\[\]]+\Z")


def excerpt(text: str | bytes, most: int = 200) -> str:
    """The beginning of what came from outside, for a message: at most `most` characters (or bytes), and no half word.

    A key that is cut in two is one that no redactor knows.
    """
    start = text[:most]
    shown = start if isinstance(start, str) else start.decode(errors="replace")
    return shown if len(text) <= most else _LAST_WORD.sub("", shown) + "…"
