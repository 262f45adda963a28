"""What values a TOML key may have, as small JSON Schemas (draft 7, which the editors' checker reads)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = [
    "ANY", "FLAG", "TABLE", "TEMPLATE", "TEXT", "TEXTS", "Shape", "choice", "closed", "either", "formed", "listed", "number",
    "open_table", "whole",
]  # fmt: skip

Shape = dict[str, Any]

ANY: Shape = {}
TEXT: Shape = {"type": "string"}
FLAG: Shape = {"type": "boolean"}
TABLE: Shape = {"type": "object"}
TEXTS: Shape = {"type": "array", "items": TEXT}
TEMPLATE: Shape = {"type": "string", "pattern": "\\{[{%]"}
"""A text in which something is to be put in the place of braces."""


def choice(*known: str) -> Shape:
    """One of these texts."""
    return {"type": "string", "enum": list(known)}


def listed(item: Shape) -> Shape:
    """A list of such values."""
    return {"type": "array", "items": item}


def whole(least: int, most: int) -> Shape:
    """A whole number between the two."""
    return {"type": "integer", "minimum": least, "maximum": most}


def number(least: float, most: float) -> Shape:
    """A number between the two."""
    return {"type": "number", "minimum": least, "maximum": most}


def formed(form: re.Pattern[str], *, empty: bool = True) -> Shape:
    """A text of this form; most readers take an empty one for none."""
    return {"type": "string", "pattern": f"^({form.pattern}){'?' if empty else ''}$"}


def either(*shapes: Shape) -> Shape:
    """Any of these."""
    return {"anyOf": list(shapes)}


def closed(keys: Mapping[str, Shape], required: Collection[str] = (), **more: Any) -> Shape:
    """A table with these keys and no others."""
    needs = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(keys), **needs, "additionalProperties": False, **more}


def open_table(values: Shape, form: str = "") -> Shape:
    """A table with keys of the user's own, of one form."""
    names = {"propertyNames": {"pattern": form}} if form else {}
    return {"type": "object", **names, "additionalProperties": values}
