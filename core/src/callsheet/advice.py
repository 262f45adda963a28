"""What to do about an error, in one line for each kind: the terminal and the report say the same."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.errors import ErrorKind

__all__ = ["advice"]

_ADVICE: Mapping[str, str] = {
    ErrorKind.AUTHENTICATION: "check the provider's API key: `callsheet secrets list` says where it comes from",
    ErrorKind.ACCESS_DENIED: "ask for access to this model at the provider, or choose another one",
    ErrorKind.QUOTA_EXCEEDED: "add credit or raise the limit at the provider, then go on",
    ErrorKind.RATE_LIMITED: "go on later: what is paid for is kept",
    ErrorKind.OVERLOADED: "go on later: what is paid for is kept",
    ErrorKind.INVALID_REQUEST: "change what the message names in the sheet or on the command line",
    ErrorKind.CONTENT_REJECTED: "change the prompt or the input files, or choose another model",
    ErrorKind.MODEL_NOT_FOUND: "`callsheet models` lists what there is",
    ErrorKind.CAPABILITY_UNSUPPORTED: "choose another model, or leave the attribute out",
    ErrorKind.TIMEOUT: "go on later: what is paid for is kept",
    ErrorKind.CONNECTION_FAILED: "check the network, then go on",
    "budget": "raise the bound to go on: `callsheet resume RUN --max-cost USD` for a run, --max-cost for a call, or [money] "
    "in callsheet.toml",
}


def advice(kind: str) -> str:
    """What to do about an error of this kind, or the empty text where the message says it."""
    return _ADVICE.get(kind, "")
