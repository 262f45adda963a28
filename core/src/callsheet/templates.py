"""Prompt templates: Jinja2 in an immutable sandbox, where dotted names read JSON keys and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

from callsheet.errors import ConfigError
from callsheet.references import Reference

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["MAX_RENDERED", "Missing", "Template", "is_template"]

MAX_RENDERED = 1 << 20
"""The largest text that a template may render to, in characters."""

_MARKS = ("{{", "{%", "{#")
_ONE_EXPRESSION = re.compile(r"\s*\{\{(?P<expression>(?:(?!\}\}|\{\{).)*)\}\}\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a value that a template must not use; `why` is what the user is told."""

    why: str


def is_template(text: str) -> bool:
    """True when the text has Jinja marks."""
    return any(mark in text for mark in _MARKS)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined, Undefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class PromptEnvironment(ImmutableSandboxedEnvironment):
        """Names after a dot are JSON keys; repetition and powers are refused, since they make text without end."""

        intercepted_binops = frozenset({"*", "**"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            return self.getitem(obj, attribute)

        def getitem(self, obj: Any, argument: Any) -> Any:
            if isinstance(obj, Undefined):
                return obj
            if isinstance(obj, Mapping) and argument in obj:
                return self._open(obj[argument])
            if _is_list(obj) and isinstance(argument, int) and 0 <= argument < len(obj):
                return self._open(obj[argument])
            return self.undefined(hint=f"there is no {argument!r} in {_described(obj)}")

        def _open(self, value: Any) -> Any:
            return self.undefined(hint=value.why) if isinstance(value, Missing) else value

        def call_binop(self, _context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "*" and all(isinstance(v, (int, float)) for v in (left, right)):
                return left * right
            raise SecurityError(f"the operator {operator} is not for prompts (numbers may be multiplied)")

    environment = PromptEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False, finalize=_finalize
    )
    environment.globals = {"range": environment.globals["range"]}
    for unbounded in ("center", "format", "indent", "pprint", "xmlattr", "urlize", "attr", "map", "random"):
        environment.filters.pop(unbounded, None)
    return environment


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _described(value: object) -> str:
    if isinstance(value, Mapping):
        return f"an object with {', '.join(sorted(str(k) for k in value)[:12]) or 'no keys'}"
    if _is_list(value):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


def _finalize(value: Any) -> Any:
    """JSON data shows as JSON in a prompt, not as Python."""
    if isinstance(value, Missing):
        raise ConfigError(value.why)
    if _is_list(value):
        return json.dumps([_finalize(v) if isinstance(v, Missing) else v for v in value], ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if value is None or isinstance(value, (bool, Mapping)) else value


class Template:
    """A prompt's text. `where` (file or key) goes into every error."""

    def __init__(self, source: str, where: str) -> None:
        self.source = source
        self.where = where

    def references(self, producers: Collection[str]) -> list[Reference]:
        """The producers' cells that the text names. Raises ConfigError for broken syntax and unknown names."""
        if not is_template(self.source):
            return []
        from jinja2 import meta, nodes

        tree = self._parse()
        for banned in (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends):
            if tree.find(banned) is not None:
                raise ConfigError("templates cannot include or import other files", where=self.where)
        known = {"inputs", "index", "range", *producers}
        for name in sorted(meta.find_undeclared_variables(tree) - known):
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known - {'range'}))}"
            raise ConfigError(f"the template uses the unknown name {name!r}{hint}", where=self.where)
        return _collect(tree, frozenset(producers) & meta.find_undeclared_variables(tree))

    def render(self, values: Mapping[str, object]) -> str:
        """The text with its values. Raises ConfigError for a missing value or a text that grows too long."""
        if not is_template(self.source):
            return self.source
        from jinja2 import TemplateError

        size, parts = 0, []
        try:
            for part in _environment().from_string(self.source).generate(_opened(values)):
                size += len(part)
                if size > MAX_RENDERED:
                    raise ConfigError(f"the text grows over {MAX_RENDERED:,} characters", where=self.where)
                parts.append(part)
        except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"the template cannot be filled in: {error}", where=self.where) from None
        return "".join(parts)

    def evaluate(self, values: Mapping[str, object]) -> object:
        """The value itself where the text is one `{{ expression }}` (a number stays a number), else `render`."""
        match = _ONE_EXPRESSION.fullmatch(self.source)
        if match is None:
            return self.render(values)
        from jinja2 import StrictUndefined, TemplateError

        try:
            compiled = _environment().compile_expression(match["expression"], undefined_to_none=False)
            value = compiled(**_opened(values))
            if isinstance(value, StrictUndefined):
                str(value)  # raises with the hint
        except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"the template cannot be filled in: {error}", where=self.where) from None
        return value

    def _parse(self) -> nodes.Template:
        from jinja2 import TemplateSyntaxError

        try:
            return _environment().parse(self.source)
        except TemplateSyntaxError as error:
            raise ConfigError(f"line {error.lineno}: {error.message}", where=self.where) from None
        except RecursionError:
            raise ConfigError("the template is nested too deeply", where=self.where) from None


def _opened(values: Mapping[str, object]) -> dict[str, object]:
    """Top-level values; a Missing one becomes an undefined name that tells why when it is used."""
    undefined = _environment().undefined
    return {k: undefined(hint=v.why) if isinstance(v, Missing) else v for k, v in values.items()}


def _collect(tree: nodes.Template, producers: frozenset[str]) -> list[Reference]:
    from jinja2 import nodes

    found: list[Reference] = []

    def visit(node: nodes.Node) -> None:
        if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name) and node.node.name in producers:
            found.append(_cell(node.node.name, node.arg))
            visit(node.arg)
            return
        if isinstance(node, nodes.Name) and node.ctx == "load" and node.name in producers:
            found.append(Reference(node.name))
        for child in node.iter_child_nodes():
            visit(child)

    visit(tree)
    return list(dict.fromkeys(found))


def _cell(producer: str, argument: nodes.Node) -> Reference:
    """The one cell that the subscript names, else all cells."""
    from jinja2 import nodes

    match argument:
        case nodes.Const(value=int() as number) if number >= 0:
            return Reference(producer, number=number)
        case nodes.Name(name="index"):
            return Reference(producer, offset=0)
        case nodes.Add(left=nodes.Name(name="index"), right=nodes.Const(value=int() as offset)):
            return Reference(producer, offset=offset)
        case nodes.Sub(left=nodes.Name(name="index"), right=nodes.Const(value=int() as offset)):
            return Reference(producer, offset=-offset)
    return Reference(producer)
