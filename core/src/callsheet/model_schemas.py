"""What a model takes: the JSON Schema file that its row names, read once, and a check of inputs against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from callsheet.artifacts import FileRef
from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.models import ModelInfo

if TYPE_CHECKING:
    from jsonschema_rs import Validator

__all__ = ["MAX_SCHEMA_BYTES", "InputSchema", "closed_validator", "input_schema", "schema_digest"]

MAX_SCHEMA_BYTES = 4 << 20
_STAND_IN = "https://files.invalid/file"


@dataclass(frozen=True)
class InputSchema:
    """What one model takes. An empty one is that of a model nobody has described: it takes everything."""

    whole: Mapping[str, Any] = field(default_factory=dict)
    validator: Validator | None = None

    @property
    def known(self) -> bool:
        """True when there is something to check against."""
        return bool(self.properties)

    @property
    def properties(self) -> Mapping[str, Mapping[str, Any]]:
        """The schema of each property."""
        found: Mapping[str, Mapping[str, Any]] = self.whole.get("properties", {})
        return found

    def problem(self, values: Mapping[str, object]) -> str:
        """The first thing that is wrong with an input (files are FileRef leaves), or an empty text."""
        if self.validator is None:
            return ""
        for found in self.validator.iter_errors(_without_files(values)):
            path = "/".join(str(part) for part in found.instance_path)
            return f"{path}: {found.message}" if path else found.message
        return ""


def input_schema(model: ModelInfo) -> InputSchema:
    """The schema of a model; an empty one for a row without.

    Raises PluginError (ConfigError for a row of one's own) for a file that is not there, is no JSON Schema, or is not
    the one of the row's `digest`.
    """
    if not model.schema:
        return InputSchema()
    try:
        return _read(model.folder, model.schema, model.digest, own=not model.plugin)
    except _UnusableError as error:
        raise _told(model, str(error)) from None


def schema_digest(data: bytes) -> str:
    """The `digest` of a schema file, as a row has it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def closed_validator(schema: Mapping[str, object]) -> Validator:
    """A validator which fetches nothing: `$ref` reaches what stands in the schema itself. Raises ValueError."""
    import jsonschema_rs

    try:
        validator: Validator = jsonschema_rs.validator_for(dict(schema), retriever=_refuse)
    except jsonschema_rs.ReferencingError as error:
        raise ValueError(str(error)) from None
    return validator


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is outside of the schema, and nothing is fetched")


class _UnusableError(Exception):
    """Why a schema file cannot be used."""


@lru_cache(maxsize=512)
def _read(folder: Path | None, name: str, digest: str, *, own: bool) -> InputSchema:
    if folder is None:
        raise _UnusableError("the row does not say in which folder it lies")
    path = folder / name
    # A package's files may be links (uv installs some so); one's own folder may come from anybody.
    if own and not path.resolve().is_relative_to(folder.resolve()):
        raise _UnusableError(f"{name} leads out of the folder of its row")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SCHEMA_BYTES + 1)
    except FileNotFoundError:
        raise _UnusableError("is not there" if own else "is not in the package") from None
    except OSError as error:
        raise _UnusableError(f"cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_SCHEMA_BYTES:
        raise _UnusableError(f"is larger than {MAX_SCHEMA_BYTES >> 20} MiB")
    if digest and schema_digest(data) != digest:
        raise _UnusableError(f"is not the one of the row's digest, but {schema_digest(data)}")
    try:
        whole = json.loads(data)
        if not isinstance(whole, dict) or not isinstance(whole.get("properties", {}), dict):
            raise _UnusableError("is no JSON Schema of an object")
        return InputSchema(whole, closed_validator(whole))
    except (ValueError, RecursionError) as error:
        raise _UnusableError(f"is no JSON Schema: {str(error).partition(chr(10))[0]}") from None


def _told(model: ModelInfo, what: str) -> CallsheetError:
    place = model.schema if model.folder is None else str(model.folder / model.schema)
    if model.plugin:
        message = f"{model.name}: its schema {place} {what}; reinstall {model.plugin}, or tell its author"
        return PluginError(message, plugin=model.plugin)
    remedy = f"put it back, correct the row, or `callsheet model add {model.provider} {model.model} --force`"
    return ConfigError(f"{model.name}: its schema {place} {what}; {remedy}")


def _without_files(value: object) -> object:
    if isinstance(value, FileRef):
        return _STAND_IN
    if isinstance(value, Mapping):
        return {key: _without_files(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_files(each) for each in value]
    return value
