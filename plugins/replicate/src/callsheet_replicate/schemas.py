"""The models' own input schemas, as files of the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.plugin import FileRef

if TYPE_CHECKING:
    from jsonschema_rs import Validator

__all__ = ["InputSchema", "input_schema"]

_FOLDER = Path(__file__).parent
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


@cache
def input_schema(name: str) -> InputSchema:
    """The schema of this path inside of the package; empty for no path."""
    if not name:
        return InputSchema()
    import jsonschema_rs

    whole = json.loads((_FOLDER / name).read_text(encoding="utf-8"))
    return InputSchema(whole, jsonschema_rs.Draft202012Validator(whole))


def _without_files(value: object) -> object:
    if isinstance(value, FileRef):
        return _STAND_IN
    if isinstance(value, Mapping):
        return {key: _without_files(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_files(each) for each in value]
    return value
