"""Descriptions of models as the vendor gives them, and requests by the rows that are made of them."""

from __future__ import annotations

import json
from dataclasses import replace

from callsheet.inputs import parse_inputs
from callsheet.jobs import Job
from callsheet.models import ModelRef
from callsheet.plugin_manifest import model_row
from callsheet_replicate.description import describe_model
from callsheet_replicate.predictions import PredictionHandler

VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
URI = {"type": "string", "format": "uri"}
PIECES = {"type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}
PROMPT = {"prompt": {"type": "string", "x-order": 0}}


def described(properties=None, output=None, *, name="owner/name", required=(), schemas=None, **about):
    """The answer to `GET /models/owner/name` for a model with these fields."""
    parts = {"Input": {"type": "object", "properties": properties or PROMPT, "required": list(required)}}
    parts |= {} if output is None else {"Output": output}
    version = {
        "id": VERSION,
        "openapi_schema": {"openapi": "3.0.2", "components": {"schemas": parts | (schemas or {})}},
    }
    owner, _, short = name.partition("/")
    return {"owner": owner, "name": short, "latest_version": version, **about}


def row_of(*args, **more):
    """The description that such a model comes to."""
    document = described(*args, **more)
    return describe_model(f"{document['owner']}/{document['name']}", document)


def prepared(tmp_path, description, options=None, **attributes):
    """What would be sent for a row that was just made."""
    (tmp_path / "schema.json").write_text(json.dumps(description.schema), encoding="utf-8")
    info = replace(model_row({**description.row, "schema": "schema.json"}, "replicate", ""), folder=tmp_path)
    inputs = parse_inputs(info.operation, attributes)
    job = Job("call", ModelRef("replicate", info.model), info, info.operation, inputs, options or {})
    return PredictionHandler().prepare(job)
