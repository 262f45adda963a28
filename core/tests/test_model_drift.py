"""Drift: what a provider says of a model now, against what its row and schema say."""

from __future__ import annotations

import json
from pathlib import Path

from callsheet.handler import ModelDescription
from callsheet.model_drift import Change, drift
from callsheet.models import ModelInfo, Operation

BEFORE = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "description": "words", "x-order": 0},
        "size": {"type": "string", "enum": ["1K", "2K"], "default": "1K"},
        "steps": {"type": ["integer", "null"], "minimum": 1, "maximum": 50, "default": 1},
        "seed": {"type": "integer"},
    },
}


def found(folder: Path, after: dict[str, object], row: dict[str, object] | None = None, **info: str) -> list[Change]:
    """The drift from BEFORE to a schema and a row."""
    (folder / "m.json").write_text(json.dumps(BEFORE))
    given = {"schema": "m.json", "revision": "v1", "output": "image/png", **info}
    model = ModelInfo("acme", "m", Operation.IMAGE_GENERATE, folder=folder, **given)
    return drift(model, ModelDescription(row or {"model": "m"}, after))


def changed(**properties: object) -> dict[str, object]:
    """BEFORE with other properties; None takes one away."""
    merged = {**BEFORE["properties"], **properties}
    return {**BEFORE, "properties": {name: each for name, each in merged.items() if each is not None}}


def test_nothing_has_changed(tmp_path: Path) -> None:
    """Words, their order, and the order of types say nothing about what is taken."""
    steps = {"type": ["null", "integer"], "maximum": 50, "minimum": 1, "default": 1}
    after = changed(prompt={"type": "string", "description": "other words", "x-order": 7, "title": "P"}, steps=steps)
    row = {"revision": "v1", "output": "image/png", "operation": "video.generate"}
    assert found(tmp_path, after, row) == []
    assert found(tmp_path, BEFORE) == []


def test_revision_and_output(tmp_path: Path) -> None:
    """Of the row; what the provider does not tell is not compared."""
    assert found(tmp_path, BEFORE, {"revision": "v2", "output": "image/png[]"}) == [
        Change("revision", "v1", "v2"),
        Change("output", "image/png", "image/png[]"),
    ]
    assert found(tmp_path, BEFORE, {"revision": "v2"}, revision="") == [Change("revision", None, "v2")]


def test_fields_that_come_and_go(tmp_path: Path) -> None:
    """With what they take."""
    assert found(tmp_path, changed(seed=None, style={"type": "string", "title": "S"})) == [
        Change("field", None, {"type": "string"}, "style"),
        Change("field", {"type": "integer"}, None, "seed"),
    ]


def test_every_keyword_of_a_field(tmp_path: Path) -> None:
    """Type, choices, default, limits, and whether it has to be there; true is not 1."""
    after = changed(
        size={"type": "string", "enum": ["1K", "2K", "4K"], "default": "2K"},
        steps={"type": ["integer", "null"], "minimum": 1, "default": True},
        seed={"type": "number"},
    ) | {"required": ["seed"]}
    assert found(tmp_path, after) == [
        Change("field", True, None, "prompt", "required"),
        Change("field", ["1K", "2K"], ["1K", "2K", "4K"], "size", "enum"),
        Change("field", "1K", "2K", "size", "default"),
        Change("field", 1, True, "steps", "default"),
        Change("field", 50, None, "steps", "maximum"),
        Change("field", "integer", "number", "seed", "type"),
        Change("field", None, True, "seed", "required"),
    ]


def test_a_row_without_a_schema_has_no_fields_to_compare(tmp_path: Path) -> None:
    """Its revision is compared all the same."""
    assert found(tmp_path, BEFORE, {"revision": "v2"}, schema="") == [Change("revision", "v1", "v2")]


def test_odd_schemas_are_compared_nevertheless(tmp_path: Path) -> None:
    """A field may be a boolean schema, required anything."""
    assert found(tmp_path, {**changed(seed=True), "required": ["prompt"]}) == [
        Change("field", None, True, "seed", "schema"),
        Change("field", "integer", None, "seed", "type"),
    ]
    assert found(tmp_path, {**BEFORE, "required": 3})[0] == Change("field", True, None, "prompt", "required")
