"""Secrets: where they come from, how they hide themselves, and the one redactor in front of every sink."""

from __future__ import annotations

import base64
import hmac
import html
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable
from urllib.parse import quote, quote_plus

from callsheet.errors import ConfigError

__all__ = [
    "MASK",
    "ChainSecrets",
    "EnvSecrets",
    "ExplainsSecrets",
    "MappingSecrets",
    "Redactor",
    "Secret",
    "SecretResolver",
    "SecretScope",
]

MASK = "[redacted]"
_SHORTEST = 6
_RECURS = 80
"""Texts up to this length come again and again (keys, names, digests): those without a secret are remembered."""
_REMEMBERED = 4096
_PLAIN = frozenset({int, float, bool, type(None)})
_ACCOUNT = b"callsheet account"
_QUOTED = re.compile("%[0-9A-F]{2}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_NAMES = (
    r"(?:api[-_]?key|\b(?:proxy-)?authorization|secret[-_]?(?:(?:access[-_]?)?key)?|\bpassword|\bpasswd"
    r"|(?:access|refresh|auth|api|bearer|session|\bid)[-_]?token|(?-i:[A-Z]_TOKEN))"
)
_SECRET_KEY = re.compile(
    r"(?i)(?:[\w-]{0,64}api[-_]?key|(?:proxy-)?authorization|client[-_]?secret|password|(?:access|refresh|auth|api)[-_]?token)"
)
_LIKE_A_KEY = r"(?=[^\s\"'&,;]*(?:\d|[a-z][A-Z]|[A-Z]{2}[a-z]|[^\s\"'&,;]{24}))"
"""Prose has no digits and no capitals inside of its words: `basic understanding` stays, `Basic dXNlcjpwdw==` goes."""
_VALUE = r"(?!\[redacted\])[^\s\"'&,;]{6,}"


class _Shape(NamedTuple):
    """What a credential looks like; no text without one of the `words` (in small letters) has it.

    Looking for the words first is what keeps redaction cheap: most texts have none of them.
    """

    words: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]


_MARKED = (
    *("apikey", "api-key", "api_key", "authorization", "secret", "passw"),
    *(
        f"{which}{sign}token"
        for which in ("access", "refresh", "auth", "api", "bearer", "session", "id")
        for sign in ("", "-")
    ),
    *(f"_token{end}" for end in ("=", ":", '"', "'", " =", " :", "\\")),  # and no `input_tokens`
)
_ISSUED = "r8_|hf_|gh[oprsu]_|github_pat_|glpat-|gsk_|xai-|xox[abprs]-|whsec_"
"""How vendors' keys begin, so that they can be told from other texts."""
_SHAPES = (
    _Shape(
        _MARKED,
        (
            # Authorization: Bearer …, "x-api-key": "…", password=…: marked as a value by `=` or quotation marks
            re.compile(
                rf"(?P<before>(?i:{_NAMES})(?:\\?[\"']\s*[:=]\s*\\?[\"']?|\s*=\s*[\"']?|\s*:\s*[\"'])"
                rf"(?i:(?:bearer|basic|token|key)\s+)?){_VALUE}"
            ),
            # the same after a colon, where only what looks like a key is one
            re.compile(rf"(?P<before>(?i:{_NAMES})\s*:\s*(?i:(?:bearer|basic|token|key)\s+)?){_LIKE_A_KEY}{_VALUE}"),
        ),
    ),
    _Shape(
        tuple(word + space for word in ("bearer", "basic", "token") for space in " \t\r\n"),
        (re.compile(rf"(?P<before>\b(?i:bearer|basic|token)\s+){_LIKE_A_KEY}(?!\[redacted\])[\w.~+/=-]{{8,}}"),),
    ),
    _Shape(
        ("key=", "sig=", "signature=", "token=", "credential="),
        (re.compile(r"(?P<before>[?&](?i:(?:[\w-]{0,64}[-_])?(?:key|sig|signature|token|credential))=)" + _VALUE),),
    ),
    _Shape(
        ("://",),
        (
            # user name and password, or a token in their place
            re.compile(
                r"(?P<before>(?<=[a-zA-Z])://)(?!\[redacted\])(?:[^\s/?#@:\"'<>]{0,256}:[^\s/?#@\"'<>]{1,256}"
                r"|[^\s/?#@:\"'<>]{16,256})(?=@)"
            ),
        ),
    ),
    _Shape(("sk-", "sk_", "pk-", "pk_", "rk-", "rk_"), (re.compile(r"(?P<before>\b)(?:sk|pk|rk)[-_][\w-]{16,}"),)),
    _Shape(
        ("r8_", "hf_", "gh", "glpat-", "gsk_", "xai-", "xox", "whsec_"),
        (re.compile(rf"(?P<before>\b)(?:{_ISSUED})(?=[\w-]*\d)[\w-]{{16,}}"),),
    ),
    _Shape(
        ("eyj", "akia", "aiza"),
        (re.compile(r"(?P<before>\b)(?:eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+|AKIA[0-9A-Z]{16}\b|AIza[\w-]{35})"),),
    ),
    _Shape(
        ("private key-----",),
        (
            re.compile(
                r"(?P<before>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?!\[redacted\]).+?(?=-----END|\Z)", re.DOTALL
            ),
        ),
    ),
)

_WORDS = tuple(word for shape in _SHAPES for word in shape.words)
_ALNUM_WORDS = ("akia", "aiza")
"""What is enough where there is no other sign than letters and digits: of all shapes, only these keys have none."""


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


@runtime_checkable
class SecretResolver(Protocol):
    """Looks a secret up by its name (`OPENAI_API_KEY`)."""

    async def get(self, name: str) -> Secret | None:
        """The secret, or None when this resolver has none of that name."""
        ...


@runtime_checkable
class ExplainsSecrets(Protocol):
    """A resolver that can also say where it has looked for a secret that it has not."""

    def looked_in(self, name: str) -> str:
        """The places, as words for a message; the empty text when there is nothing to say."""
        ...


class EnvSecrets:
    """Secrets from environment variables of the same name; an empty variable counts as absent."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    async def get(self, name: str) -> Secret | None:
        """The variable's value without surrounding white space."""
        return self.look(name)

    def look(self, name: str) -> Secret | None:
        """As `get`, which has nothing to wait for."""
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
        self._forms: frozenset[str] = frozenset()
        self._compiled: tuple[frozenset[str] | None, re.Pattern[str]] = (None, re.compile(""))
        self._clean: set[str] = set()
        self._open: set[str] = set()

    def add(self, secret: Secret) -> None:
        """Mask this secret from now on, plain, quoted, escaped, in hex and in base64. Very short ones are left alone."""
        value = secret.reveal()
        if len(value) < _SHORTEST or value in self._forms:
            return
        self._forms |= _forms_of(value)
        self._clean, self._open = set(), set()

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        clean = self._clean  # taken before the look: what is looked at while a secret is added is forgotten with it
        if text in clean:
            return text
        masked = self._searched(text)
        if masked == text and len(text) <= _RECURS:
            if len(clean) >= _REMEMBERED:
                clean.clear()
            clean.add(text)
        return masked

    def _searched(self, text: str) -> str:
        if _has_any(text, self._forms):
            text = self._known().sub(MASK, text)
        lowered = text.lower()
        if not _has_any(lowered, _ALNUM_WORDS if text.isalnum() else _WORDS):
            return text
        for shape in _SHAPES:
            if _has_any(lowered, shape.words):
                for pattern in shape.patterns:
                    text = pattern.sub(_masked, text)
        return text

    def _known(self) -> re.Pattern[str]:
        # Compiled when it is first needed, and kept with what it was made from: other threads redact, too.
        forms, pattern = self._compiled
        if forms is not self._forms:
            forms = self._forms
            pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
            self._compiled = (forms, pattern)
        return pattern

    def value(self, value: object) -> object:
        """JSON data with every secret in its texts and keys masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.mapping(value)
        if isinstance(value, (list, tuple)):
            return [self.value(v) for v in value]
        return value

    def mapping(self, value: Mapping[str, object]) -> dict[str, object]:
        """As `value`, of an object."""
        shown: dict[str, object] = {}
        for key, each in value.items():  # most is known to be clean: that is seen here, without a call for each
            kind = type(each)
            plain = kind in _PLAIN and key in self._clean
            text = kind is str and key in self._open and each in self._clean
            if type(key) is str and (plain or text):
                shown[key] = each
            else:
                name, masked = self._item(str(key), each)
                shown[name] = masked
        return shown

    def _item(self, key: str, value: object) -> tuple[str, object]:
        if type(value) in _PLAIN:
            return self.text(key), value
        if not isinstance(value, str):
            return self.text(key), self.value(value)
        if key in self._open or self._is_open(key):
            return key, self.text(value)
        is_secret = len(value) >= _SHORTEST and _SECRET_KEY.fullmatch(key)
        return self.text(key), MASK if is_secret else self.text(value)

    def _is_open(self, key: str) -> bool:
        """True for a name that is no secret and names none; it is remembered with the other clean texts."""
        known = self._open
        if _SECRET_KEY.fullmatch(key) or self.text(key) != key or len(key) > _RECURS:
            return False
        if len(known) >= _REMEMBERED:
            known.clear()
        known.add(key)
        return True


def _has_any(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words is in the text: much cheaper than a search for a pattern, and mostly False."""
    for word in words:  # noqa: SIM110 - a generator costs more than what it does here
        if word in text:
            return True
    return False


def _masked(match: re.Match[str]) -> str:
    return f"{match['before']}{MASK}"


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

    async def account(self) -> str:
        """A fingerprint of the provider's key, which tells accounts apart; "" where there is no key.

        It is an HMAC-SHA256 of a constant with the key as its key, cut to 8 bytes: the same on every machine and in
        every project, because a receipt is to be compared where it is collected (a salt would prevent that); not the
        key's own digest; and of a key that a vendor draws at random it reveals nothing. An account has as many of them
        as it has keys, so two that differ are a hint, and no proof, of two accounts.
        """
        name = next(iter(self._declared), None)
        key = None if name is None else await self.get(name)
        if key is None:
            return ""
        return hmac.digest(key.reveal().encode(errors="surrogatepass"), _ACCOUNT, "sha256")[:8].hex()

    async def require(self, name: str) -> Secret:
        """The secret. Raises ConfigError (exit code 3) that says how to set it when there is none."""
        secret = await self.get(name)
        if secret is None:
            looked = self._resolver.looked_in(name) if isinstance(self._resolver, ExplainsSecrets) else ""
            what = f"{self._owner} needs the secret {name}: set it with `export {name}=…`"
            raise ConfigError(f"{what} (looked in {looked})" if looked else what, missing=True)
        return secret
