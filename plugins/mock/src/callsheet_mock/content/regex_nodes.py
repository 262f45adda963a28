"""A tree for the common subset of regular expressions, and texts made from it.

Anchors and look-arounds are read but stand for nothing: a text made must be checked against the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .seeds import Seed

Span = tuple[int, int]  # code points, both included

_ENDLESS: Final = 1 << 20
_PRINTABLE: Final = ((32, 126),)
_DIGITS: Final = ((48, 57),)
_WORD: Final = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final = ((9, 13), (32, 32))
_ANY: Final = ((33, 33), (35, 36), (45, 46), (48, 57), (64, 90), (95, 95), (97, 122))  # '.': the readable ones
_CLASSES: Final[Mapping[str, tuple[Span, ...]]] = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_LETTERS: Final = ((65, 90), (97, 122))
_PROPERTIES: Final[Mapping[str, tuple[Span, ...]]] = {
    "Lu": ((65, 90),),
    "Ll": ((97, 122),),
    "N": _DIGITS,
    "Nd": _DIGITS,
    "Z": ((32, 32),),
    "Zs": ((32, 32),),
}
_COUNT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")
_OPENING: Final = re.compile(r"\?(?:P?<(\w+)>|(P=\w+)|(<?[=!])|[a-zA-Z]*(?:-[a-zA-Z]+)?:|>|([a-zA-Z]+)\))")
_HEX: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]+)\}")
_PROPERTY: Final = re.compile(r"([pP])\{(?:\w+=)?(\w+)\}")


@dataclass(frozen=True)
class Choice:
    """One character of the spans."""

    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Sequel:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """One of the options."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """The part ``low`` to ``high`` times."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True)
class Capture:
    """A part remembered under a number and maybe a name."""

    part: Node
    keys: tuple[int | str, ...]


@dataclass(frozen=True)
class Recall:
    """What a capture has remembered."""

    key: int | str


Node = Choice | Sequel | Either | Repeat | Capture | Recall
_NOTHING: Final = Sequel(())


def parse(pattern: str) -> Node | None:
    """The tree of a pattern, or None for syntax outside the subset."""
    try:
        return _Parser(pattern).whole()
    except (ValueError, IndexError, RecursionError):
        return None


def _invert(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Printable ASCII without the spans; beyond ASCII when nothing is left."""
    for first, last in (*_PRINTABLE, (0xA1, 0x2FF)):
        left = [code for code in range(first, last + 1) if not any(a <= code <= b for a, b in spans)]
        if left:
            return tuple((code, code) for code in left)
    raise ValueError("an empty character class")


def _readable(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The printable ASCII of the spans, or all when there is none."""
    kept = tuple((max(a, 32), min(b, 126)) for a, b in spans if a <= 126 and b >= 32)
    return kept or tuple(spans)


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._place = 0
        self._captures = 0

    def whole(self) -> Node:
        node = self._either()
        if self._place < len(self._text):
            raise ValueError("a closing parenthesis too many")
        return node

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self) -> str:
        self._place += 1
        return self._text[self._place - 1]

    def _match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self._text, self._place)
        if found:
            self._place = found.end()
        return found

    def _either(self) -> Node:
        options = [self._sequel()]
        while self._peek() == "|":
            self._take()
            options.append(self._sequel())
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _sequel(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._counted(self._atom()))
        return Sequel(tuple(parts))

    def _counted(self, atom: Node) -> Node:
        """The atom with the quantifier that follows, if any."""
        while self._peek() in ("*", "+", "?", "{"):
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._peek(), (0, 0))
            if self._peek() != "{":
                self._take()
            elif found := self._match(_COUNT):
                low = int(found[1])
                high = int(found[3]) if found[3] else None if found[2] else low
            else:
                return atom
            if self._peek() in ("?", "+"):
                self._take()  # lazy or possessive: the same texts
            atom = Repeat(atom, low, high)
        return atom

    def _atom(self) -> Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return Choice(self._class())
        if character == ".":
            return Choice(_ANY)
        if character in "^$":
            return _NOTHING
        if character == "\\":
            return self._escape()
        return Choice(((ord(character), ord(character)),))

    def _group(self) -> Node:
        keys: tuple[int | str, ...] = ()
        around = None
        if self._peek() == "?":
            found = self._match(_OPENING)
            if not found:
                raise ValueError("an unknown group")
            name, recall, around, flags = found.groups()
            if flags:
                return _NOTHING
            if recall:
                self._place += 1
                return Recall(recall[2:])
            if name:
                self._captures += 1
                keys = (self._captures, name)
        else:
            self._captures += 1
            keys = (self._captures,)
        part = self._either()
        if self._take() != ")":
            raise ValueError("a group without an end")
        if around:
            return _NOTHING
        return Capture(part, keys) if keys else part

    def _escape(self) -> Node:
        if self._peek() in "bBAZz":
            self._take()
            return _NOTHING
        if self._peek() in "123456789":
            return Recall(int(self._take()))
        if self._peek() == "k":
            name = self._text[self._place + 2 : self._text.index(">", self._place)]
            self._place += len(name) + 3
            return Recall(name)
        return Choice(_readable(self._escaped()))

    def _escaped(self) -> tuple[Span, ...]:
        """The characters an escape stands for, in or outside a class."""
        if found := self._match(_HEX):
            code = int(found[1] or found[2] or found[3], 16)
            return ((code, code),)
        if found := self._match(_PROPERTY):
            spans = _PROPERTIES.get(found[2], _LETTERS)
            return spans if found[1] == "p" else _invert(spans)
        character = self._take()
        if character.lower() in _CLASSES:
            spans = _CLASSES[character.lower()]
            return spans if character.islower() else _invert(spans)
        if character == "c":
            return ((ord(self._peek()) % 32, ord(self._take()) % 32),)
        code = _CONTROLS.get(character, ord(character))
        return ((code, code),)

    def _class(self) -> tuple[Span, ...]:
        """A class in brackets, after the opening one."""
        inverted = self._peek() == "^"
        if inverted:
            self._take()
        spans: list[Span] = []
        while self._peek() != "]" or not spans:
            member = self._member()
            ranged = self._peek() == "-" and self._text[self._place + 1] != "]"
            if ranged and len(member) == 1 and member[0][0] == member[0][1]:
                self._take()
                member = ((member[0][0], self._member()[-1][1]),)
                if member[0][0] > member[0][1]:
                    raise ValueError("a range from high to low")
            spans += member
        self._take()
        return _invert(spans) if inverted else _readable(spans)

    def _member(self) -> tuple[Span, ...]:
        character = self._take()
        if character != "\\":
            return ((ord(character), ord(character)),)
        if self._peek() == "b":
            self._take()
            return ((8, 8),)
        return self._escaped()


def shortest(node: Node) -> int:
    """The fewest characters the node stands for."""
    match node:
        case Choice():
            return 1
        case Sequel(parts):
            return sum(map(shortest, parts))
        case Either(options):
            return min(map(shortest, options))
        case Repeat(part, low, _):
            return shortest(part) * low if low else 0
        case Capture(part, _):
            return shortest(part)
        case Recall():
            return 0


def longest(node: Node) -> int:
    """The most characters the node stands for; a large number when there is no limit."""
    match node:
        case Choice():
            return 1
        case Sequel(parts):
            return min(_ENDLESS, sum(map(longest, parts)))
        case Either(options):
            return max(map(longest, options))
        case Repeat(part, _, high):
            size = longest(part)
            return min(_ENDLESS, size * (_ENDLESS if high is None else high))
        case Capture(part, _):
            return longest(part)
        case Recall():
            return 0


def produce(node: Node, size: int, seed: Seed, captures: dict[int | str, str]) -> str:
    """A text of the node, ``size`` characters long as far as that is possible."""
    match node:
        case Choice(spans):
            first, last = seed.choice(spans) if len(spans) < 9 else _weighted(spans, seed)
            return chr(seed.integer(first, last))
        case Sequel(parts):
            return _shared(parts, size, seed, captures)
        case Either(options):
            able = [option for option in options if shortest(option) <= size <= longest(option)]
            return produce(seed.choice(able or options), size, seed, captures)
        case Repeat(part, low, high):
            return _shared((part,) * _times(part, low, high, size, seed), size, seed, captures)
        case Capture(part, keys):
            text = produce(part, size, seed, captures)
            captures.update(dict.fromkeys(keys, text))
            return text
        case Recall(key):
            return captures.get(key, "")


def _weighted(spans: Sequence[Span], seed: Seed) -> Span:
    """Letters and digits more often than signs, where there are many to choose from."""
    plain = [span for span in spans if chr(span[0]).isalnum()]
    return seed.choice(plain if plain and seed.integer(0, 3) else spans)


def _times(part: Node, low: int, high: int | None, size: int, seed: Seed) -> int:
    """How often to repeat the part for a text of ``size`` characters."""
    least, most = shortest(part), longest(part)
    fewest = max(low, -(-size // most)) if most else low
    largest = min(_ENDLESS if high is None else high, size // least if least else fewest + 2)
    return seed.integer(fewest, largest) if largest > fewest else fewest if high is None else min(fewest, high)


def _shared(parts: Sequence[Node], size: int, seed: Seed, captures: dict[int | str, str]) -> str:
    """The parts one after the other, with the characters shared out among them at random."""
    least = [shortest(part) for part in parts]
    spare = [longest(part) - few for part, few in zip(parts, least, strict=True)]
    slack, later = max(0, size - sum(least)), sum(spare)
    out = []
    for part, few, room in zip(parts, least, spare, strict=True):
        later -= room
        lowest, highest = max(0, slack - later), min(room, slack)
        extra = seed.integer(lowest, highest) if lowest < highest else highest
        slack -= extra
        out.append(produce(part, few + extra, seed, captures))
    return "".join(out)
