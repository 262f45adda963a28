"""Prompt templates: Jinja2 in an immutable sandbox, where dotted names read JSON keys and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

from callsheet.errors import ConfigError
from callsheet.references import Reference

if TYPE_CHECKING:
    from jinja2 import Template as CompiledTemplate
    from jinja2 import nodes
    from jinja2.environment import TemplateExpression
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["MAX_RENDERED", "MAX_WORK", "Missing", "Template", "is_template", "opened", "plain_value"]

MAX_RENDERED = 1 << 20
"""The largest text that a template may render to, in characters."""
MAX_WORK = 16 << 20
"""How much a template may do: characters made on the way, and turns of loops (each counts as 64)."""

_MARKS = ("{{", "{%", "{#")
_ONE_EXPRESSION = re.compile(r"\s*\{\{[-+]?(?P<expression>(?:(?!\}\}|\{\{).)*?)-?\}\}\s*", re.DOTALL)
_MAX_BITS = 1024
_TURN = 64
_MAX_INDENT = 8
_LOOP_NAMES = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem"}
    | {"cycle", "changed"}
)
_FILTERS = frozenset(
    {"abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "groupby", "int"}
    | {"items", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select"}
    | {"selectattr", "sort", "string", "striptags", "sum", "title", "trim", "truncate", "unique", "upper", "wordcount"}
)
_work: ContextVar[list[int]] = ContextVar("work done by the template that is being filled in")


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a value that a template must not use; `why` is what the user is told."""

    why: str


def is_template(text: str) -> bool:
    """True when the text has Jinja marks."""
    return any(mark in text for mark in _MARKS)


def opened(value: object) -> object:
    """The value as templates see it: a Missing one is an undefined name that tells why as soon as it is used."""
    return _environment().undefined(hint=value.why) if isinstance(value, Missing) else value


def _spend(amount: int) -> None:
    from jinja2.exceptions import SecurityError

    done = _work.get()
    done[0] += amount
    if done[0] > MAX_WORK:
        raise SecurityError(f"it works too long: more than {MAX_WORK:,} characters and turns of loops")


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined, Undefined
    from jinja2.exceptions import SecurityError
    from jinja2.runtime import LoopContext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class PromptEnvironment(ImmutableSandboxedEnvironment):
        """Names after a dot are JSON keys; repetition and powers are refused, since they make text without end."""

        intercepted_binops = frozenset({"+", "*", "**", "%"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            if isinstance(obj, LoopContext) and attribute in _LOOP_NAMES:
                return getattr(obj, attribute)
            return self.getitem(obj, attribute)

        def getitem(self, obj: Any, argument: Any) -> Any:
            if isinstance(obj, Undefined):
                return obj
            if isinstance(obj, Mapping) and argument in obj:
                return opened(obj[argument])
            if _is_list(obj) and isinstance(argument, int) and 0 <= argument < len(obj):
                return opened(obj[argument])
            return self.undefined(hint=f"there is no {argument!r} in {_described(obj)}")

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            for undefined in (v for v in (left, right) if isinstance(v, Undefined)):
                str(undefined)  # raises with its hint
            if all(isinstance(v, (int, float)) for v in (left, right)) and operator != "**":
                if sum(v.bit_length() for v in (left, right) if isinstance(v, int)) > _MAX_BITS:
                    raise SecurityError("the number grows too large")
                return super().call_binop(context, operator, left, right)
            if operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
                _spend(len(left) + len(right))
                return super().call_binop(context, operator, left, right)
            raise SecurityError(f"the operator {operator} is not for prompts (numbers may be multiplied)")

    environment = PromptEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False, finalize=_finalize
    )
    environment.globals = {"range": environment.globals["range"]}
    own = {"tojson": _to_json, "replace": _replaced, "join": _joined, "round": _rounded, "_turns": _turns}
    environment.filters = {k: v for k, v in environment.filters.items() if k in _FILTERS} | own
    return environment


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _described(value: object) -> str:
    if isinstance(value, Mapping):
        return f"an object with {', '.join(sorted(str(k) for k in value)[:12]) or 'no keys'}"
    if _is_list(value):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


def plain_value(value: object) -> object:
    """The value as JSON data. Raises TypeError for what is none, and what an undefined name raises when it is used."""
    from jinja2 import Undefined
    from jinja2.runtime import LoopContext

    value = opened(value)
    if isinstance(value, Undefined):
        return str(value)  # raises with its hint
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): plain_value(v) for k, v in value.items()}
    if isinstance(value, (Sequence, Iterator)) and not isinstance(value, LoopContext):
        return [plain_value(v) for v in _turns(value)]
    raise TypeError(f"a {type(value).__name__} is neither text nor JSON")


def _finalize(value: Any) -> str:
    """JSON data shows as JSON in a prompt, not as Python."""
    from jinja2 import Undefined

    value = plain_value(value) if not isinstance(value, Undefined) else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    _spend(len(text))
    return text


def _to_json(value: object, indent: int | None = None) -> str:
    """The filter `tojson`: JSON as it is read by people and models, with nothing escaped for HTML."""
    if indent is not None and not 0 <= indent <= _MAX_INDENT:
        raise ValueError(f"tojson indents by 0 to {_MAX_INDENT}")
    return json.dumps(plain_value(value), ensure_ascii=False, indent=indent)


def _replaced(text: object, old: str, new: str, count: int = -1) -> str:
    source, old, new = _finalize(text), _finalize(old), _finalize(new)
    _spend(source.count(old) * len(new))
    return source.replace(old, new, count)


def _joined(values: Iterable[object], separator: object = "", attribute: str | None = None) -> str:
    environment = _environment()
    between = _finalize(separator)
    parts = []
    for value in _turns(values):
        item = value if attribute is None else environment.getattr(value, attribute)
        parts.append(_finalize(item))
        _spend(len(between))
    return between.join(parts)


def _rounded(value: float, precision: int = 0) -> float:
    return round(value, min(max(precision, -_MAX_INDENT), 2 * _MAX_INDENT))


def _turns(values: Iterable[object], weight: int = _TURN) -> Iterator[object]:
    """The values one by one, each paid for."""
    from jinja2 import Undefined

    if isinstance(values, Undefined):
        str(values)  # raises with its hint
    for value in values:
        _spend(weight)
        yield opened(value)


class Template:
    """A prompt's text. `where` (file or key) goes into every error."""

    def __init__(self, source: str, where: str) -> None:
        self.source = source
        self.where = where

    def references(self, producers: Collection[str], inputs: Collection[str] | None = None) -> list[Reference]:
        """The producers' cells that the text names. Raises ConfigError for broken syntax and unknown names.

        With `inputs`, the names after `inputs.` are checked too.
        """
        if not is_template(self.source):
            return []
        from jinja2 import meta

        tree = self._parse()
        self._compiled  # noqa: B018  unknown filters and tests show here
        used = meta.find_undeclared_variables(tree)
        known = {"inputs", "index", "range", *producers}
        for name in sorted(used - known):
            raise self._unknown(f"the unknown name {name!r}", name, known - {"range"})
        for name in _input_names(tree):
            if inputs is not None and name not in inputs:
                raise self._unknown(f"inputs.{name}, which the sheet does not have", name, inputs)
        return _collect(tree, frozenset(producers) & used)

    def render(self, values: Mapping[str, object]) -> str:
        """The text with its values. Raises ConfigError for a missing value or a text that grows too long."""
        if not is_template(self.source):
            return self.source
        size, parts = 0, []
        with self._filling():
            for part in self._compiled.generate(_names(values)):
                size += len(part)
                if size > MAX_RENDERED:
                    raise ConfigError(f"the text grows over {MAX_RENDERED:,} characters", where=self.where)
                parts.append(part)
        return "".join(parts)

    def evaluate(self, values: Mapping[str, object]) -> object:
        """The value itself, as JSON data, where the text is one `{{ expression }}` (a number stays one), else `render`."""
        if self._expression is None:
            return self.render(values)
        with self._filling():
            return plain_value(self._expression(_names(values)))

    @cached_property
    def _compiled(self) -> CompiledTemplate:
        with self._filling():
            tree = self._parse()
            _count_turns(tree)
            return _environment().from_string(tree)

    @cached_property
    def _expression(self) -> TemplateExpression | None:
        match = _ONE_EXPRESSION.fullmatch(self.source)
        if match is None:
            return None
        with self._filling():
            self._parse()
            return _environment().compile_expression(match["expression"], undefined_to_none=False)

    @contextmanager
    def _filling(self) -> Iterator[None]:
        from jinja2 import TemplateError

        token = _work.set([0])
        try:
            yield
        except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"the template cannot be filled in: {error}", where=self.where) from None
        finally:
            _work.reset(token)

    def _unknown(self, what: str, name: str, known: Collection[str]) -> ConfigError:
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}" if known else ""
        return ConfigError(f"the template uses {what}{hint}", where=self.where)

    def _parse(self) -> nodes.Template:
        from jinja2 import TemplateSyntaxError, nodes

        try:
            tree = _environment().parse(self.source)
        except TemplateSyntaxError as error:
            raise ConfigError(f"line {error.lineno}: {error.message}", where=self.where) from None
        except RecursionError:
            raise ConfigError("the template is nested too deeply", where=self.where) from None
        except (ValueError, MemoryError) as error:
            raise ConfigError(f"the template cannot be read: {error}", where=self.where) from None
        for banned in (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends):
            if tree.find(banned) is not None:
                raise ConfigError("templates cannot include or import other files", where=self.where)
        unbounded = any(tree.find(banned) is not None for banned in (nodes.Macro, nodes.CallBlock, nodes.Block))
        if unbounded or any(loop.recursive for loop in tree.find_all(nodes.For)):
            raise ConfigError("templates have no macros, blocks and recursive loops", where=self.where)
        return tree


def _names(values: Mapping[str, object]) -> dict[str, object]:
    return {name: opened(value) for name, value in values.items()}


def _count_turns(tree: nodes.Template) -> None:
    """Let every loop and every `~` go through what counts: text and time have a limit also where nothing is put out."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    class Counting(NodeTransformer):
        def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
            weight = _TURN + sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            self.generic_visit(node)
            node.iter = nodes.Filter(node.iter, "_turns", [nodes.Const(weight)], [], None, None, lineno=node.lineno)
            return node

        def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
            self.generic_visit(node)
            parts: nodes.Expr = nodes.List(node.nodes, lineno=node.lineno)
            return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)

    Counting().visit(tree)
    tree.set_environment(_environment())


def _input_names(tree: nodes.Template) -> list[str]:
    """The names that stand after `inputs.`, but where the template itself says what to do without them."""
    from jinja2 import nodes

    guarded: set[int] = set()
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        if node.name in ("default", "d", "defined", "undefined"):
            guarded.add(id(node.node))
    names: dict[str, None] = {}
    for read in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if id(read) in guarded or not isinstance(read, (nodes.Getattr, nodes.Getitem)):
            continue
        if not (isinstance(read.node, nodes.Name) and read.node.name == "inputs"):
            continue
        if isinstance(read, nodes.Getattr):
            names[read.attr] = None
        elif isinstance(read.arg, nodes.Const) and isinstance(read.arg.value, str):
            names[read.arg.value] = None
    return list(names)


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
