"""A link out of a provider's answer, taken apart and judged by its text; where it really leads is checked at connect."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from callsheet.errors import MalformedOutputError
from callsheet.transfer.addresses import address_problem, host_name
from callsheet.transfer.endpoint import Origin

__all__ = ["Link"]

LONGEST_LINK = 16 * 1024
_SAFE = "/%:@!$&'()*+,;=~-._?"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a file is. `own` is True for the provider's configured origin, which alone may see the key.

    `target` is path and query; `shown` is for messages and has no query, where signatures stand.
    """

    url: str
    origin: Origin
    target: str
    own: bool
    shown: str

    @classmethod
    def of(cls, url: str, own: Origin | None) -> Link:
        """Raises MalformedOutputError for a link that is not https to a public host (nor to the origin `own`)."""
        shown = _shown(url)
        if len(url) > LONGEST_LINK or "\\" in url or any(c.isspace() or not c.isprintable() for c in url):
            raise _refusal(shown, "it has characters that no URL has, or too many of them")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _refusal(shown, "it is no URL") from None
        if parts.scheme not in ("http", "https") or not host:
            raise _refusal(shown, f"its scheme is {parts.scheme or 'missing'!r:.30}, not https")
        if "@" in parts.netloc:
            raise _refusal(shown, "it has a user name")
        if port == 0:
            raise _refusal(shown, "its port is 0")
        target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
        try:
            # The configured origin is the user's word, and may be any host of his.
            origin = Origin.at(parts.scheme, host.removesuffix(".").lower() if own else host_name(host), port)
            if own is not None and origin.shown == own.shown:
                return cls(url, origin, target, own=True, shown=shown)
            name = host_name(host)
        except ValueError as error:
            raise _refusal(shown, str(error)) from None
        if parts.scheme != "https":
            raise _refusal(shown, "it is not https")
        problem = address_problem(name) if ":" in name or name[-1].isdigit() else ""
        if problem and problem != "no address":
            raise _refusal(shown, f"its address is {problem}")
        return cls(url, Origin.at("https", name, port), target, own=False, shown=shown)

    def redirected(self, location: str, own: Origin | None) -> Link:
        """The next link. Raises MalformedOutputError as `of` does.

        Who has once led away from the provider's origin cannot lead back into it: no key, no exemption.
        """
        if not location:
            raise _refusal(self.shown, "it is a redirect to nowhere")
        try:
            url = urljoin(self.url, location)
        except ValueError:
            raise _refusal(self.shown, "it is a redirect to what is no URL") from None
        return Link.of(url, own if self.own else None)


def _refusal(shown: str, why: str) -> MalformedOutputError:
    return MalformedOutputError(f"the provider's link {shown} is not fetched: {why}", retryable=False)


def _shown(url: str) -> str:
    plain = url.partition("#")[0].partition("?")[0]
    scheme, mark, rest = plain.partition("://")
    if mark:
        host, slash, path = rest.partition("/")
        plain = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    text = "".join(c if c.isprintable() else "?" for c in plain)
    return text if len(text) <= 120 else f"{text[:117]}..."
