"""The call sheet: what a user writes, checked and typed, with the file and key in every complaint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from callsheet.errors import ConfigError
from callsheet.inputs import attribute_names
from callsheet.models import ModelRef, Operation
from callsheet.selector import Requirements
from callsheet.sheet_files import check_limits, parse_json, read_data

__all__ = ["CallSheet", "ModelChoice", "Producer"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RESERVED = frozenset(
    {"inputs", "index", "range", "true", "false", "none", "manifest", "report"}
    | {"and", "else", "if", "in", "is", "loop", "not", "or", "self"}  # words of a template
    | {
        "aux",
        "con",
        "nul",
        "prn",
        *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
    }  # no file on Windows
)
_OWN_KEYS = ("operation", "models", "for_each", "dispatch", "pin", "options")
_MODEL_KEYS = ("ref", "options", "inputs", "needs", "max_price", "providers", "context")
_DISPATCH = ("call", "batch")
SHEET_NAMES = ("sheet.toml", "sheet.json")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model of a producer as the sheet names it (a reference or an alias), with `options` and `inputs` of its own.

    `requirements` are for `auto:OPERATION`, in whose place a model is chosen.
    """

    name: str
    options: Mapping[str, object]
    inputs: Mapping[str, object]
    requirements: Requirements | None = None


@dataclass(frozen=True, slots=True)
class Producer:
    """A step: the first of `models` is primary, the rest are fallbacks. `inputs` are raw (templates, references).

    `for_each` is `inputs.NAME`, another producer's name or a number as text; `pin` are files that stand in for the results.
    `dispatch` is `call` (each job by itself) or `batch` (those that are ready together, to the primary model).
    """

    name: str
    operation: Operation
    models: tuple[ModelChoice, ...]
    inputs: Mapping[str, object]
    options: Mapping[str, object]
    for_each: str = ""
    pin: tuple[str, ...] = ()
    dispatch: str = "call"


@dataclass(frozen=True, slots=True)
class CallSheet:
    """A checked call sheet. `source` is its file; relative paths in it start at the file's folder."""

    title: str
    inputs: Mapping[str, object]
    producers: Mapping[str, Producer]
    source: Path

    @property
    def folder(self) -> Path:
        """The folder of the sheet's file."""
        return self.source.parent

    @classmethod
    def load(cls, path: str | Path) -> CallSheet:
        """Read a sheet from a folder with `sheet.toml` (or `sheet.json`) or from a file. Raises ConfigError."""
        source = _find(Path(path))
        return _Reader(source).sheet(read_data(source))

    def with_inputs(self, values: Mapping[str, object]) -> CallSheet:
        """The sheet with other input values; texts become the type that the sheet's own value has."""
        merged = dict(self.inputs)
        for name, value in values.items():
            if name not in merged:
                raise ConfigError(f"has no input {name!r}{_near(name, merged)}", where=self.source.name)
            merged[name] = _as_type_of(merged[name], value, f"{self.source.name}: inputs.{name}")
        return replace(self, inputs=merged)

    def with_models(self, choices: Mapping[str, str]) -> CallSheet:
        """The sheet with the one model that the user chose for some producers: no fallback stands in for a choice."""
        producers = dict(self.producers)
        for name, ref in choices.items():
            if name not in producers:
                raise ConfigError(f"has no producer {name!r}{_near(name, producers)}", where=self.source.name)
            known = next((c for c in producers[name].models if c.name == ref), ModelChoice(ref, {}, {}))
            producers[name] = replace(producers[name], models=(known,))
        return replace(self, producers=producers)


def _find(path: Path) -> Path:
    if path.is_dir():
        for name in SHEET_NAMES:
            if (path / name).is_file():
                return (path / name).resolve()
        raise ConfigError(f"the folder has no {SHEET_NAMES[0]}", where=str(path))
    if not path.is_file():
        raise ConfigError("there is no such call sheet", where=str(path))
    return path.resolve()


def _near(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, list(known), 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; it has {', '.join(known)}" if known else ""


def _as_type_of(model: object, value: object, where: str) -> object:
    """Convert a command line's text to the type that the sheet's own value shows."""
    if not isinstance(value, str) or isinstance(model, str):
        return value
    try:
        if isinstance(model, bool):
            return {"true": True, "false": False}[value.lower()]
        if isinstance(model, int):
            return int(value)
        if isinstance(model, float):
            number = float(value)
            check_limits(number, where)
            return number
    except (KeyError, ValueError):
        raise ConfigError(f"wants {type(model).__name__}, got {value!r}", where=where) from None
    if isinstance(model, (list, dict)) and value.lstrip().startswith("[" if isinstance(model, list) else "{"):
        return parse_json(value, where)
    if isinstance(model, list):
        return [
            _as_type_of(model[0] if model else "", item.strip(), where) for item in value.split(",") if item.strip()
        ]
    if isinstance(model, dict):
        raise ConfigError(f"wants a table: give it as JSON, got {value!r}", where=where)
    return value


class _Reader:
    def __init__(self, source: Path) -> None:
        self._file = source.name
        self._source = source

    def sheet(self, data: Mapping[str, object]) -> CallSheet:
        self._only(data, ("title", "inputs", "producers"), "")
        producers = self._table(data.get("producers"), "producers")
        if not producers:
            raise ConfigError("has no producers: add a table [producers.NAME]", where=self._file)
        read = {name: self._producer(name, self._table(raw, f"producers.{name}")) for name, raw in producers.items()}
        folded: dict[str, str] = {}
        for name in read:
            other = folded.setdefault(name.casefold(), name)
            if other != name:
                raise ConfigError(f"{other!r} and {name!r} differ only in case", where=f"{self._file}: producers")
        title = self._text(data.get("title", self._source.parent.name), "title")
        return CallSheet(title, dict(self._table(data.get("inputs"), "inputs")), read, self._source)

    def _producer(self, name: str, raw: Mapping[str, object]) -> Producer:
        key = f"producers.{name}"
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise self._error(f"{name!r} is no name for a producer: letters, digits and _, and no reserved word", key)
        operation = self._operation(raw.get("operation"), f"{key}.operation")
        attributes = attribute_names(operation)
        self._only(raw, (*_OWN_KEYS, *attributes), key)
        inputs = {k: v for k, v in raw.items() if k not in _OWN_KEYS}
        return Producer(
            name=name,
            operation=operation,
            models=self._models(raw.get("models"), attributes, f"{key}.models"),
            inputs=inputs,
            options=dict(self._table(raw.get("options"), f"{key}.options")),
            for_each=self._for_each(raw.get("for_each", ""), f"{key}.for_each"),
            pin=self._pin(raw.get("pin"), f"{key}.pin"),
            dispatch=self._dispatch(raw.get("dispatch", _DISPATCH[0]), f"{key}.dispatch"),
        )

    def _dispatch(self, raw: object, key: str) -> str:
        if raw not in _DISPATCH:
            raise self._error(f"wants {' or '.join(map(repr, _DISPATCH))}, got {raw!r}", key)
        return str(raw)

    def _operation(self, raw: object, key: str) -> Operation:
        names = [op.value for op in Operation]
        if raw in names:
            return Operation(str(raw))
        near = get_close_matches(str(raw), names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f": one of {', '.join(names)}"
        raise self._error("is missing" + hint if raw is None else f"{raw!r} is no operation{hint}", key)

    def _models(self, raw: object, attributes: tuple[str, ...], key: str) -> tuple[ModelChoice, ...]:
        entries = [raw] if isinstance(raw, str) else raw
        if not isinstance(entries, list) or not entries:
            raise self._error('wants at least one model, for example ["mock:image"]', key)
        choices: list[ModelChoice] = []
        for number, entry in enumerate(entries):
            here = f"{key}[{number}]"
            table = {"ref": entry} if isinstance(entry, str) else self._table(entry, here)
            self._only(table, _MODEL_KEYS, here)
            name = self._text(table.get("ref", ""), f"{here}.ref").strip()
            if not name:
                raise self._error("wants a model reference such as mock:image", here)
            if ":" in name:
                try:
                    ModelRef.parse(name)
                except ConfigError as error:
                    raise self._error(str(error), here) from None
            own = self._table(table.get("inputs"), f"{here}.inputs")
            self._only(own, attributes, f"{here}.inputs")
            options = dict(self._table(table.get("options"), f"{here}.options"))
            choices.append(ModelChoice(name, options, dict(own), self._requirements(table, here)))
        return tuple(choices)

    def _requirements(self, table: Mapping[str, object], key: str) -> Requirements:
        price = table.get("max_price")
        if price is not None and (isinstance(price, bool) or not isinstance(price, (int, float)) or not price >= 0):
            raise self._error(f"wants US dollars for one call, got {price!r}", f"{key}.max_price")
        context = table.get("context", 0)
        if isinstance(context, bool) or not isinstance(context, int) or context < 0:
            raise self._error(f"wants a number of tokens, got {context!r}", f"{key}.context")
        return Requirements(
            context=context,
            needs=self._texts(table.get("needs"), f"{key}.needs"),
            max_price=None if price is None else Decimal(str(price)),
            providers=self._texts(table.get("providers"), f"{key}.providers"),
        )

    def _for_each(self, raw: object, key: str) -> str:
        if isinstance(raw, int) and not isinstance(raw, bool):
            return str(raw)
        return self._text(raw, key).strip()

    def _pin(self, raw: object, key: str) -> tuple[str, ...]:
        if raw is None:
            return ()
        files = [raw] if isinstance(raw, str) else raw
        if not isinstance(files, list) or not all(isinstance(f, str) for f in files):
            raise self._error("wants a file name, or a list with one name for each index", key)
        return tuple(str(f) for f in files)

    def _texts(self, raw: object, key: str) -> tuple[str, ...]:
        listed = [] if raw is None else raw
        if not isinstance(listed, list) or not all(isinstance(each, str) and each for each in listed):
            raise self._error("wants a list of names", key)
        return tuple(listed)

    def _only(self, table: Mapping[str, object], known: tuple[str, ...], key: str) -> None:
        for name in table:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
                raise self._error(f"unknown key {name!r}{hint}", key)

    def _table(self, raw: object, key: str) -> Mapping[str, object]:
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            raise self._error(f"wants a table, got {type(raw).__name__}", key)
        return raw

    def _text(self, raw: object, key: str) -> str:
        if not isinstance(raw, str):
            raise self._error(f"wants a text, got {type(raw).__name__}", key)
        return raw

    def _error(self, message: str, key: str) -> ConfigError:
        return ConfigError(message, where=f"{self._file}: {key}" if key else self._file)
