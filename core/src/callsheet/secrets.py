"""Secrets: where they come from, how they hide themselves, and the one redactor in front of every sink."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus

from callsheet.errors import ConfigError

__all__ = ["ChainSecrets", "EnvSecrets", "MappingSecrets", "Redactor", "Secret", "SecretResolver", "SecretScope"]

MASK = "[redacted]"
_SHORTEST = 6
_QUOTED = re.compile("%[0-9A-F]{2}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_NAMES = (
    r"(?:[\w-]{0,64}api[-_]?key|(?:proxy-)?authorization|[\w-]{0,64}secret[-_]?(?:key)?|password|passwd"
    r"|(?:access|refresh|auth|id|bearer)[-_]?token)"
)
_SECRET_KEY = re.compile(
    r"(?i)(?:[\w-]{0,64}api[-_]?key|(?:proxy-)?authorization|client[-_]?secret|password|(?:access|refresh|auth)[-_]?token)"
)
_LIKE_A_KEY = r"(?=[^\s\"'&,;]*(?:\d|[a-z][A-Z]|[A-Z]{2}[a-z]|[^\s\"'&,;]{24}))"
"""Prose has no digits and no capitals inside of its words: `basic understanding` stays, `Basic dXNlcjpwdw==` goes."""
_VALUE = r"(?!\[redacted\])[^\s\"'&,;]{6,}"
_SHAPES = (
    # Authorization: Bearer …, "x-api-key": "…", password=…: marked as a value by `=` or quotation marks
    re.compile(
        rf"(?P<before>\b(?i:{_NAMES})(?:\\?[\"']\s*[:=]\s*\\?[\"']?|\s*=\s*[\"']?|\s*:\s*[\"'])"
        rf"(?i:(?:bearer|basic|token|key)\s+)?){_VALUE}"
    ),
    # the same after a colon, where only what looks like a key is one
    re.compile(rf"(?P<before>\b(?i:{_NAMES})\s*:\s*(?i:(?:bearer|basic|token|key)\s+)?){_LIKE_A_KEY}{_VALUE}"),
    re.compile(rf"(?P<before>\b(?i:bearer|basic|token)\s+){_LIKE_A_KEY}(?!\[redacted\])[\w.~+/=-]{{8,}}"),
    re.compile(r"(?P<before>[?&](?i:(?:[\w-]{0,64}[-_])?(?:key|sig|signature|token|credential))=)" + _VALUE),
    re.compile(r"(?P<before>\b)(?:(?:sk|pk|rk)[-_][\w-]{16,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"),
)


class Secret:
    """A secret text that hides itself in repr, str, logs and pickles; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: for the header it goes into, and for nothing else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        raise TypeError("a secret is not written anywhere")


class SecretResolver(Protocol):
    """Looks a secret up by its name (`OPENAI_API_KEY`)."""

    async def get(self, name: str) -> Secret | None:
        """The secret, or None when this resolver has none of that name."""
        ...


class EnvSecrets:
    """Secrets from environment variables of the same name; an empty variable counts as absent."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    async def get(self, name: str) -> Secret | None:
        """The variable's value without surrounding white space."""
        value = self._environ.get(name, "").strip()
        return Secret(value) if value else None


class MappingSecrets:
    """Secrets that the application hands over."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name: Secret(value) for name, value in values.items() if value}

    async def get(self, name: str) -> Secret | None:
        """The value given for this name."""
        return self._values.get(name)


class ChainSecrets:
    """Asks resolvers in turn; the first that knows the name wins."""

    def __init__(self, *resolvers: SecretResolver) -> None:
        self._resolvers = resolvers

    async def get(self, name: str) -> Secret | None:
        """The first resolver's answer that is not None."""
        for resolver in self._resolvers:
            found = await resolver.get(name)
            if found is not None:
                return found
        return None


class Redactor:
    """Masks known secret values, in the forms in which they turn up, and texts shaped like credentials.

    Redact before cutting: half a key is still half a key.
    """

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: Secret) -> None:
        """Mask this secret from now on, plain, quoted, escaped, in hex and in base64. Very short ones are left alone."""
        value = secret.reveal()
        if len(value) < _SHORTEST or value in self._forms:
            return
        self._forms |= _forms_of(value)
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in longest_first))

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for shape in _SHAPES:
            text = shape.sub(lambda match: f"{match['before']}{MASK}", text)
        return text

    def value(self, value: object) -> object:
        """JSON data with every secret in its texts and keys masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self._keyed(str(k), v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(v) for v in value]
        return value

    def _keyed(self, key: str, value: object) -> object:
        is_secret = isinstance(value, str) and len(value) >= _SHORTEST and _SECRET_KEY.fullmatch(key)
        return MASK if is_secret else self.value(value)


def _forms_of(value: str) -> set[str]:
    """How a secret shows itself: as it is, URL-quoted, escaped once or twice, in hex and inside of base64."""
    raw = value.encode(errors="surrogatepass")
    quoted = {quote(raw, safe=safe) for safe in ("", "/", ":/", "/:=+@,;&$!*'()~")} | {quote_plus(raw)}
    quoted |= {form.replace("~", "%7E") for form in quoted}
    quoted |= {_QUOTED.sub(lambda match: match[0].lower(), form) for form in quoted}
    escaped = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    escaped |= {json.dumps(form)[1:-1] for form in escaped} | {value.replace("/", "\\/"), repr(value)[1:-1]}
    escaped |= {html.escape(value), html.escape(value, quote=False)}
    return {value, raw.hex(), raw.hex().upper(), *quoted, *escaped, *_base64_forms(raw)}


def _base64_forms(raw: bytes) -> set[str]:
    """What base64 shows of the bytes wherever they stand in a text: all but the letters shared with neighbours."""
    forms = {base64.b64encode(raw).rstrip(b"=")}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        stable = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(stable) >= _SHORTEST:
            forms.add(stable)
    return {form.decode() for form in forms} | {form.translate(_URL_SAFE).decode() for form in forms}


class SecretScope:
    """What one plugin may look up: the names its manifest declares. Everything handed out is known to the redactor.

    For a borrowed wire it is the one name in `[providers.NAME] secret`, and never one of the lender's.
    """

    def __init__(self, resolver: SecretResolver, redactor: Redactor, declared: Collection[str], owner: str) -> None:
        self._resolver = resolver
        self._redactor = redactor
        self._declared = declared
        self._owner = owner

    async def get(self, name: str) -> Secret | None:
        """The secret or None. Raises ConfigError for a name that the plugin's manifest does not declare."""
        if name not in self._declared:
            where = "its plugin.toml (for a lent wire, `secret` in callsheet.toml)"
            raise ConfigError(f"{self._owner} asked for the secret {name}, which {where} does not declare")
        secret = await self._resolver.get(name)
        if secret is not None:
            self._redactor.add(secret)
        return secret

    async def key(self) -> Secret | None:
        """The provider's key, whatever it is called: the first declared name. None when nothing is declared.

        Raises ConfigError (exit code 3) that says how to set it when it is declared and there is none.
        """
        name = next(iter(self._declared), None)
        return None if name is None else await self.require(name)

    async def require(self, name: str) -> Secret:
        """The secret. Raises ConfigError (exit code 3) that says how to set it when there is none."""
        secret = await self.get(name)
        if secret is None:
            raise ConfigError(f"{self._owner} needs the secret {name}: set it with `export {name}=…`", missing=True)
        return secret
