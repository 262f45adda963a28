"""From the HTTP library's exceptions to the error tree: what happened, and whether the request can have left."""

from __future__ import annotations

import httpcore2

from callsheet.errors import (
    ConnectionFailedError,
    InvalidRequestError,
    MalformedOutputError,
    ProviderError,
    ProviderTimeoutError,
    Sent,
    excerpt,
)

__all__ = ["FAULTS", "fault"]

FAULTS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    OSError,  # TimeoutError and ssl.SSLError are
)
"""What an exchange can raise; anything else is a mistake of ours."""


def fault(error: BaseException, where: str, total: float) -> ProviderError:
    """The error to raise `from None`: the original's text may quote a header."""
    said = str(error) or type(error).__name__
    match error:
        case httpcore2.PoolTimeout():
            return ProviderTimeoutError(f"{where}: no free connection in time", sent=Sent.NOT_SENT)
        case httpcore2.ConnectTimeout():
            return ProviderTimeoutError(f"{where}: no connection in time ({said})", sent=Sent.NOT_SENT)
        case httpcore2.TimeoutException():
            return ProviderTimeoutError(f"{where}: no answer in time ({said})", sent=Sent.UNKNOWN)
        case httpcore2.ConnectError() | httpcore2.UnsupportedProtocol():
            return ConnectionFailedError(f"{where}: no connection ({said})", sent=Sent.NOT_SENT)
        case httpcore2.ProxyError():
            return ConnectionFailedError(f"{where}: the proxy refuses ({said})", sent=Sent.NOT_SENT)
        case httpcore2.LocalProtocolError():
            message = (
                f"{where}: the request is not valid HTTP: a header's name or value has characters that are not allowed"
            )
            return InvalidRequestError(message, sent=Sent.NOT_SENT)
        case httpcore2.RemoteProtocolError() if "closed" not in said and "disconnected" not in said:
            return MalformedOutputError(f"{where}: the answer is not valid HTTP ({excerpt(said)})", sent=Sent.UNKNOWN)
        case TimeoutError():
            return ProviderTimeoutError(f"{where}: not done after {total:g} s", sent=Sent.UNKNOWN)
    return ConnectionFailedError(f"{where}: the connection was cut ({excerpt(said)})", sent=Sent.UNKNOWN)
