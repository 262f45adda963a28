"""What is taken out of an exchange before it is written into a cassette: keys, cookies, signatures, account ids."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlsplit

from callsheet.errors import ConfigError
from callsheet.secrets import MASK, Redactor, Secret

__all__ = ["HIDDEN", "CassetteRedactor"]

HIDDEN = "redacted"
"""Stands for what was taken out: letters alone, so that a URL, a header and a JSON text stay valid."""
_SHORTEST = 4
_KEY_LENGTH = 16
"""A shorter parameter called `key` looks something up."""
_ROUNDS = 5
_WHO = r"(?:account|organi[sz]ation|org|user|customer|tenant|workspace|project|team|billing)"
_SECRET_HEADER = re.compile(rf"(?i)auth|cookie|secret|signature|session|api-?key|-key\b|token\b|\b{_WHO}\b")
_CREDENTIAL_HEADER = re.compile(r"(?i)auth|cookie|secret|api-?key|(?<!idempotency)-key$|token$")
_SIGNED = r"signature|sig|credential|token|key|key-pair-id|policy|hmac|verify|x-amz-[a-z-]+|x-goog-[a-z-]+"  # CloudFront, S3, GCS
_SIGNED_NAME = re.compile(rf"(?i)(?:[\w.-]{{0,64}}[-_])?(?:{_SIGNED}|apikey)")
_SCHEME = re.compile(r"(?i)^(?:bearer|basic|token|key)\s+")
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # a parameter of a signed URL, in a JSON text and in HTML as well
    (
        re.compile(rf"(?i)((?:[?&]|\\u0026|&amp;)(?:[\w.-]{{0,64}}[-_])?(?:{_SIGNED})=)[^&\s\"'\\<>#]+"),
        rf"\g<1>{HIDDEN}",
    ),
    (
        re.compile(rf"(?i)(\"(?:{_WHO}[-_]?(?:id|uuid|email)|organi[sz]ation|account|email)\"\s*:\s*\")[^\"\\]+"),
        rf"\g<1>{HIDDEN}",
    ),
    (re.compile(rf"(?i)(\"{_WHO}[-_]?id\"\s*:\s*)\d+"), r"\g<1>0"),
    (
        re.compile(r"\b((?:org|acct|acc|proj|user|usr|cus|ws|team)[-_])(?=[A-Za-z]*\d)[A-Za-z0-9]{10,}\b"),
        rf"\g<1>{HIDDEN}",
    ),
    (re.compile(r"\b(arn:[\w-]*:[\w-]*:[\w-]*:)\d{12}\b"), r"\g<1>000000000000"),
    (re.compile(r"(?<![\w.+/-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,}"), f"{HIDDEN}@example.invalid"),
)


class CassetteRedactor:
    """`hide` are values that only the author knows: an account id, a host, a name. Raises ConfigError for very short ones."""

    def __init__(self, hide: Iterable[str] = ()) -> None:
        self._redactor = Redactor()
        self._values: set[str] = set()
        for value in hide:
            if len(value) < _SHORTEST:
                raise ConfigError(f"`hide` takes values of {_SHORTEST} and more characters: one has {len(value)}")
            self.add(value)

    def add(self, value: str) -> None:
        """Hide this value from now on, in the forms in which it turns up."""
        if len(value) >= _SHORTEST and HIDDEN not in value:
            self._values.add(value)
            self._redactor.add(Secret(value))

    def learn(self, url: str, headers: Mapping[str, str]) -> None:
        """Hide what a request proves itself with, wherever it turns up."""
        for name, value in headers.items():
            if _CREDENTIAL_HEADER.search(name):
                given = _SCHEME.sub("", value.strip())
                self.add(given)
                parts = _basic(given) if value.strip().lower().startswith("basic ") else _cookies(name, value)
                for part in parts:
                    self.add(part)
        for name, value in parse_qsl(urlsplit(url).query):
            if len(value) >= _KEY_LENGTH and _SIGNED_NAME.fullmatch(name):
                self.add(value)

    def text(self, text: str) -> str:
        """The text without them. Done twice it gives the same."""
        for _ in range(_ROUNDS):
            cleaned = self._once(text)
            if cleaned == text:
                break
            text = cleaned
        return text

    def _once(self, text: str) -> str:
        text = self._redactor.text(text).replace(MASK, HIDDEN)
        for value in self._values:
            text = text.replace(value, HIDDEN)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def header(self, name: str, value: str) -> str:
        """A reply's header without them."""
        return HIDDEN if _SECRET_HEADER.search(name) else self.text(value)

    def shown_in(self, data: bytes) -> bool:
        """Whether one of the known values stands in bytes that are no text, where nothing can be taken out."""
        return any(value.encode() in data for value in self._values)


def _cookies(name: str, value: str) -> Iterable[str]:
    """The values of cookies that could be sessions (RFC 6265, section 4.2)."""
    values = [each.partition("=")[2].strip() for each in value.split(";")] if name.lower() == "cookie" else ()
    return [each for each in values if len(each) >= _KEY_LENGTH]


def _basic(credentials: str) -> Iterable[str]:
    """User name and password of basic authentication (RFC 7617)."""
    try:
        return base64.b64decode(credentials, validate=True).decode().split(":", 1)
    except (binascii.Error, UnicodeDecodeError):
        return ()
