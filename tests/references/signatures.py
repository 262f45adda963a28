"""Signatures as text, and the page of all that `callsheet.plugin` has: each name with its parameters, methods and what they do."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from textwrap import fill

from references.pages import CODE, read, table

from callsheet import plugin

__all__ = ["kind_of", "plain_value", "signature", "signatures", "way_of"]

_HEAD = """\
# Signatures

What `callsheet.plugin` has, as `help(callsheet.plugin.JsonApi)` and the like show it. [For authors](plugin-module.md) says what is
for what. This page is written by `nox -s references`, and a test compares it with the code. Classes of errors are in
[Errors](errors.md#the-tree).
"""
_WIDTH = 126
_INDENT = " " * 4


def signature(of: object) -> str:
    """The parameters of a function or a class, and what a function gives."""
    found = inspect.signature(of)
    parameters = [
        each.replace(annotation=each.empty if each.annotation is each.empty else _Shown(kind_of(each.annotation)))
        for each in found.parameters.values()
        if each.name not in ("self", "cls")
    ]
    shown = [
        each if each.default is each.empty else each.replace(default=_Shown(plain_value(each.default)))
        for each in parameters
    ]
    gives = "" if isinstance(of, type) or found.return_annotation is found.empty else kind_of(found.return_annotation)
    return str(found.replace(parameters=shown, return_annotation=found.empty)) + (f" -> {gives}" if gives else "")


def way_of(function: object) -> str:
    """Whether it is awaited."""
    return "async " if inspect.iscoroutinefunction(function) else ""


class _Shown:
    """Shows itself in a signature as the text it holds."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def kind_of(annotation: object) -> str:
    """An annotation, as it is written."""
    return annotation if isinstance(annotation, str) else plain_value(annotation)


def plain_value(value: object) -> str:
    """A value without the modules and addresses that say nothing to a reader."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__name__
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(plain_value, value)))}}}"
    return re.sub(
        r"\b(?:callsheet|typing|collections\.abc|pathlib)\.(?:\w+\.)*(?=[A-Z])|(?<=<)(.*) at 0x\w+", r"\1", repr(value)
    )


def signatures() -> str:
    """The page, in the order of the table of all names."""
    lines = [_HEAD]
    for kind, names in table(read("reference/plugin-module.md"), "kind"):
        shown = [name for name in CODE.findall(names) if _is_shown(getattr(plugin, name))]
        lines += [f"## {kind[:1].upper()}{kind[1:]}", ""]
        for name in shown:
            lines += [f"### {name}", "", "```text", *_named(name, getattr(plugin, name)), "```", ""]
    return "\n".join(lines)


def _is_shown(value: object) -> bool:
    """Not the classes of errors, which differ in nothing but their names, and not pluggy's marker."""
    known = isinstance(value, type) and issubclass(value, plugin.CallsheetError)
    return value is not plugin.hookimpl and (not known or value is plugin.ProviderError)


def _named(name: str, value: object) -> Iterator[str]:
    if isinstance(value, type) and issubclass(value, enum.Enum):
        yield from _wrapped(f"{name}: {', '.join(f'{each.name} = {each.value!r}' for each in value)}", "")
        yield from _told(value, "")
    elif isinstance(value, type):
        yield from _shape(f"class {name}{'' if getattr(value, '_is_protocol', False) else signature(value)}", "")
        yield from _told(value, "")
        yield from _members(value)
    elif inspect.isfunction(value):
        yield from _shape(f"{way_of(value)}{name}{signature(value)}", "")
        yield from _told(value, "")
    else:
        yield from _wrapped(f"{name} = {plain_value(value)}", "")


def _members(cls: type) -> Iterator[str]:
    if getattr(cls, "_is_protocol", False):
        for key, annotation in inspect.get_annotations(cls).items():
            yield from ("", f"{_INDENT}{key}: {kind_of(annotation)}")
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if (name.startswith("_") and name != "__call__") or not inspect.isfunction(function):
            continue
        head = f"{name} -> {signature(function).partition(' -> ')[2]}" if isinstance(value, property) else ""
        yield ""
        yield from _shape(head or f"{way_of(function)}{name}{signature(function)}", _INDENT)
        yield from _told(function, _INDENT)


def _told(value: object, indent: str) -> Iterator[str]:
    for number, paragraph in enumerate((inspect.getdoc(value) or "").split("\n\n")):
        yield from [""] * bool(number)
        yield from _wrapped(paragraph, indent + _INDENT, indent + _INDENT)


def _shape(text: str, indent: str) -> Iterator[str]:
    """On one line, or with a line for each parameter."""
    if len(indent + text) <= _WIDTH:
        yield indent + text
        return
    opened = text.index("(") + 1
    yield indent + text[:opened]
    start, depth = opened, 0
    for at in range(opened, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth < 0:
            yield from _wrapped(f"{text[start:at]},", indent + _INDENT)
            yield indent + text[at:]
            return
        if depth == 0 and text[at] == ",":
            yield from _wrapped(text[start : at + 1], indent + _INDENT)
            start = at + 2


def _wrapped(text: str, indent: str, further: str | None = None) -> list[str]:
    below = indent + _INDENT * 2 if further is None else further
    plain = " ".join(text.split())
    return fill(plain, _WIDTH, initial_indent=indent, subsequent_indent=below, break_long_words=False).split("\n")
