"""Strings that match regular expressions, for the ``pattern`` keyword of JSON Schema (ECMA-262 dialect)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from .regex_nodes import Choice, Node, Repeat, Sequel, longest, parse, produce, shortest
from .seeds import Seed

_ATTEMPTS: Final = 80
_EXTRA: Final = (2, 0, 1, 3, 4, 5, 6, 8, 10, 12, 15, 20)  # characters more than the shortest match, tried first
# Unicode property escapes, which Python lacks, as parts of a character class; ASCII is all that is produced.
_PROPERTIES: Final = {"L": "a-zA-Z", "Lu": "A-Z", "Ll": "a-z", "N": "0-9", "Nd": "0-9", "Z": " ", "Zs": " "}
_ESCAPE: Final = re.compile(r"\\(?:([pP])\{(?:\w+=)?(\w+)\}|u\{([0-9A-Fa-f]+)\}|k<(\w+)>|c([A-Za-z])|(z)|.)", re.DOTALL)


def python_pattern(pattern: str) -> str:
    """The pattern in Python's dialect."""
    out: list[str] = []
    inside = False
    place = 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\" and (escape := _ESCAPE.match(pattern, place)):
            out.append(_escape(escape, inside=inside))
            place = escape.end()
            continue
        if not inside and pattern.startswith("(?<", place) and pattern[place + 3 : place + 4] not in ("=", "!"):
            out.append("(?P<")
            place += 3
            continue
        if inside and character in "[&|~" + ("-" if out[-1] == "-" else ""):
            out.append("\\")  # Python warns of these as set operations to come
        elif character == "[":
            inside = True
        elif character == "]":
            inside = False
        out.append(character)
        place += 1
    return "".join(out)


def _escape(escape: re.Match[str], *, inside: bool) -> str:
    """One escape in Python's dialect, inside or outside a character class."""
    kind, name, code, group, control, end = escape.groups()
    if name:
        members = _PROPERTIES.get(name, _PROPERTIES["L"])
        if inside:
            return members
        return f"[{'^' if kind == 'P' else ''}{members}]"
    if code:
        return re.escape(chr(int(code, 16)))
    if group:
        return f"(?P={group})"
    if control:
        return re.escape(chr(ord(control) % 32))
    return "\\Z" if end else escape.group()


def searcher(pattern: str) -> Callable[[str], bool] | None:
    """A function that tells whether the pattern is found in a text; None for what Python cannot compile."""
    try:
        compiled = re.compile(python_pattern(pattern))
    except (re.error, OverflowError, RecursionError):
        return None
    return lambda text: compiled.search(text) is not None


def matching(patterns: Sequence[str], low: int, high: int | None, seed: Seed, offset: int = 0) -> str | None:
    """A text of ``low`` to ``high`` characters in which all patterns are found, or None if none was made.

    ``offset`` starts the search elsewhere, for another text.
    """
    tests = [searcher(pattern) for pattern in patterns]
    trees = [parse(pattern) for pattern in patterns]
    usable = [tree for tree in trees if tree is not None]
    usable += _padded(usable)
    for attempt in range(offset, offset + _ATTEMPTS):
        for number, tree in enumerate(usable):
            text = _sized(tree, low, high, seed.fork(f"{attempt}/{number}"), attempt)
            if text is None or len(text) < low or (high is not None and len(text) > high):
                continue
            if all(test is not None and test(text) for test in tests):
                return text
    return None


def _padded(trees: Sequence[Node]) -> list[Node]:
    """The trees, all in a row too, with letters around them, for patterns that need not match the whole text."""
    padding = Repeat(Choice(((97, 122),)), 0, None)
    padded: list[Node] = [Sequel((padding, tree, padding)) for tree in trees]
    if len(trees) > 1:
        padded.append(Sequel(tuple(part for tree in trees for part in (tree, padding))[:-1]))
    return padded


def _sized(tree: Node, low: int, high: int | None, seed: Seed, attempt: int) -> str | None:
    """A text of the tree with a length in the limits, if it has any; ``attempt`` varies the length."""
    least = max(low, shortest(tree))
    most = min(longest(tree), least + 100 if high is None else high)
    if least > most:
        return None
    size = least + _EXTRA[attempt] if attempt < len(_EXTRA) else seed.integer(least, min(most, least + 64))
    captures: dict[int | str, str] = {}
    return produce(tree, min(size, most), seed, captures)
