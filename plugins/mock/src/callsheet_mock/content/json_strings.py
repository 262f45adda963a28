"""Strings for JSON Schema: formats, patterns and readable text that fits the length limits."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from .prose import words
from .regex import matching, searcher
from .seeds import Seed

_LONG_NAMES: Final = (
    "body caption content description message narration note paragraph plot prompt reason script sentence "
    "story summary synopsis text voiceover"
)
_SHORT_NAMES: Final = "author category genre headline label mood name style tag title topic"


def string(
    name: str,
    form: str | None,
    patterns: tuple[str, ...],
    lengths: tuple[int, int | None],
    seed: Seed,
    *,
    offset: int = 0,
) -> str | None:
    """A string for the property ``name`` with a length in the limits; None if none was found.

    A format is kept as far as the other demands allow. Another ``offset`` gives another string.
    """
    low, high = lengths
    if high is not None and low > high:
        return None
    tests = [searcher(pattern) for pattern in patterns]

    def fits(text: str) -> bool:
        long_enough = low <= len(text) and (high is None or len(text) <= high)
        return long_enough and all(test is not None and test(text) for test in tests)

    seed = seed.fork(f"string {offset}")
    formatted = None if form is None else of_format(form, seed.fork("format"))
    if formatted is not None and fits(formatted):
        return formatted
    if patterns:
        return matching(patterns, low, high, seed, offset)
    return _fitted(_plain(name, seed), low, high, seed)


def of_format(form: str, seed: Seed) -> str | None:
    """A string of a JSON Schema or OpenAPI format; None for an unknown one."""
    word = words(seed.fork("word"), 1).lower().rstrip(".")
    date = f"20{seed.integer(10, 29)}-{seed.integer(1, 12):02}-{seed.integer(1, 28):02}"
    time = f"{seed.integer(0, 23):02}:{seed.integer(0, 59):02}:{seed.integer(0, 59):02}Z"
    digits = seed.bytes(16).hex()
    # Version 4, variant 1 (RFC 9562, 5.4).
    uuid = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[seed.integer(0, 3)]}{digits[17:20]}-{digits[20:]}"
    # Hosts and addresses are those set aside for documentation (RFC 2606, 5737, 3849).
    host = f"{word}.example.com"
    plain = {
        "date": date,
        "time": time,
        "date-time": f"{date}T{time}",
        "datetime": f"{date}T{time}",
        "duration": f"PT{seed.integer(1, 59)}M{seed.integer(0, 59)}S",
        "email": f"{word}@example.com",
        "hostname": host,
        "ipv4": f"192.0.2.{seed.integer(1, 254)}",
        "ipv6": f"2001:db8::{seed.integer(1, 65535):x}",
        "uri": f"https://{host}/{word}",
        "uri-reference": f"/{word}",
        "uri-template": f"/{word}/{{id}}",
        "uuid": uuid,
        "json-pointer": f"/{word}/0",
        "relative-json-pointer": f"0/{word}",
        "regex": f"^{word}$",
        "byte": b64encode(word.encode()).decode(),
        "color": f"#{digits[:6]}",
    }
    same = {"idn-email": "email", "idn-hostname": "hostname", "iri": "uri", "iri-reference": "uri-reference"}
    same |= {"url": "uri", "uuid4": "uuid", "guid": "uuid", "base64": "byte", "ip": "ipv4"}
    return plain.get(same.get(form, form))


def _plain(name: str, seed: Seed) -> str:
    """Text of the kind the property name asks for."""
    parts = set(name.replace("-", "_").lower().split("_"))
    if parts & set(_LONG_NAMES.split()):
        return words(seed, seed.integer(9, 22))
    text = words(seed, seed.integer(2, 4)).rstrip(".")
    if parts & {"id", "key", "slug", "code"}:
        return text.lower().replace(" ", "-")
    if parts & set(_SHORT_NAMES.split()):
        return text
    return text.lower()


def _fitted(text: str, low: int, high: int | None, seed: Seed) -> str:
    """The text cut or made longer to have ``low`` to ``high`` characters."""
    while len(text) < low:
        text += " " + words(seed, max(1, (low - len(text)) // 5))
    if high is None or len(text) <= high:
        return text
    cut = text[: high + 1].rfind(" ")
    if cut >= max(1, low):
        return text[:cut]
    # No word ends within the limits; a space at the end is not nice, but a letter is.
    return text[:high] if high == 0 or text[high - 1] != " " else text[: high - 1] + "s"
