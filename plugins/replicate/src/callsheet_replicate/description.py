"""A model as a row, by the vendor's own description of it: `GET /models/OWNER/NAME`, or one version of the model.

Source: Replicate's OpenAPI document, operations models.get and models.versions.get; what Cog writes into a model's
`openapi_schema` (components.schemas.Input and .Output).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from callsheet.plugin import (
    ConfigError,
    ModelDescription,
    ModelNotFoundError,
    Operation,
    ProviderContext,
    Sent,
    excerpt,
)
from callsheet_replicate.api import Address, headers, json_object
from callsheet_replicate.attribute_fields import AttributeFields, attribute_fields
from callsheet_replicate.output_kinds import Making, Subject, making, output_kind
from callsheet_replicate.plain_schema import PlainSchemas, fields_of

__all__ = ["describe_model", "fetch_model"]

Document = Mapping[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAIN: Mapping[Operation, str] = {
    Operation.SPEECH_GENERATE: "text",
    Operation.TEXT_EMBED: "text",
    Operation.TEXT_MODERATE: "text",
    Operation.AUDIO_TRANSCRIBE: "audio",
}
"""What an operation cannot be called without; the prompt for the others."""


async def fetch_model(model: str, context: ProviderContext) -> Document:
    """The vendor's description of `OWNER/NAME`, or of `OWNER/NAME:VERSION`. It is free of charge.

    Raises ModelNotFoundError, ProviderError, ConfigError for a name that is none.
    """
    address = _address(model)
    path = f"/models/{quote(address.name)}" + (f"/versions/{address.version}" if address.version else "")
    reply = await context.http.send("GET", path, headers=await headers(context))
    if reply.status == 404:
        ref = f"{context.provider}:{model}"
        text = f"{ref} is not there, or not for this token to see: check owner, name and version"
        raise ModelNotFoundError(text, sent=Sent.REJECTED, ref=ref, status_code=404)
    return json_object(reply, context, sent=Sent.NOT_SENT)


def describe_model(model: str, document: Document) -> ModelDescription:
    """The row of a model. `document` is what `fetch_model` gives, or the OpenAPI document in it alone.

    An official model is called by its name; its row keeps the version it was made from. Any other is called by that
    version, which is the only way the vendor offers. Raises ConfigError for a description that no row can be made of.
    """
    address = _address(model)
    version = _version(model, address, document)
    schemas = _schemas(model, version)
    plain = PlainSchemas(version["openapi_schema"], f"replicate:{model}")
    schema = plain.plain(schemas["Input"])
    required = tuple(schema.get("required", ()))
    subject = Subject(address.name, _text(document, "description"), fields_of(schema), required, _example(document))
    raw_output = plain.plain(schemas.get("Output", {}))
    streamed = _is_streamed(schemas.get("Output"))
    made = making(output_kind(raw_output, subject, streamed=streamed), subject)
    found = attribute_fields(made.operation, subject.fields, required, made.output)
    revision = str(version.get("id"))
    revision = revision if Address(revision).version == revision else ""
    official = document.get("is_official") is True and not address.version
    notes = (*_notes(made, found, subject), *_notes_of_call(revision, official=official))
    row = _row(address, made, found, revision, official=official)
    if streamed and made.output == "text/plain":
        row["capabilities"] = [*found.capabilities, "stream"]
    return ModelDescription(row, {"$schema": _DIALECT, **schema, "type": "object"}, notes)


def _row(address: Address, made: Making, found: AttributeFields, revision: str, *, official: bool) -> dict[str, object]:
    words = address.name.partition("/")[2].replace("_", "-").split("-")
    row: dict[str, object] = {
        "model": address.name,
        "operation": str(made.operation),
        "wire": "predictions",
        "title": " ".join(word[:1].upper() + word[1:] for word in words if word),
        "capabilities": found.capabilities,
        "inputs": found.inputs,
        "output": made.output,
        "revision": revision,
        "data": found.data | ({"official": True} if official else {}),
    }
    return {key: value for key, value in row.items() if value}


def _notes(made: Making, found: AttributeFields, subject: Subject) -> tuple[str, ...]:
    notes = []
    if made.guess:
        notes.append(f"that it does {made.operation} and makes {made.output} was guessed from {made.guess}")
    guessed = [f"{name} = {field}" for name, field in found.inputs.items() if name != field and name not in found.sole]
    if guessed:
        notes.append(f"attributes were given to fields by the fields' names: {', '.join(guessed)}")
    notes += [f"{name} = {found.inputs[name]}: the one required field of that type" for name in found.sole]
    main = _MAIN.get(made.operation, "prompt")
    if not {main, f"{main}s", "image" if made.operation is Operation.VIDEO_GENERATE else main} & found.inputs.keys():
        notes.append(
            f"{made.operation} asks for {main}, for which the model has no field: it is left out, with a warning"
        )
    left = [each for each in subject.fields if each not in found.taken]
    needed = [each for each in left if each in subject.required and "default" not in subject.fields[each]]
    if needed:
        notes.append(f"no attribute fills {', '.join(needed)}, which the model needs: give it as an option")
    if set(left) - set(needed):
        notes.append(f"options only: {', '.join(each for each in left if each not in needed)}")
    return tuple(excerpt(each, 1000) for each in notes)


def _notes_of_call(revision: str, *, official: bool) -> tuple[str, ...]:
    price = "its price is not in the description: add `price` to the row, else it is unknown"
    if official:
        return ("an official model: called by its name, in whatever version the vendor runs", price)
    if revision:
        return (f"called in the version {revision[:12]}…, which stays as it is", price)
    return ("the description names no version: only an official model can be called so", price)


def _address(model: str) -> Address:
    address = Address(model)
    if not address.valid or not address.name:
        raise ConfigError(f"{model!r} is no model of Replicate: write owner/name or owner/name:version")
    return address


def _version(model: str, address: Address, document: Document) -> Document:
    """The version object: of a model's answer, the answer itself, or one around a bare OpenAPI document."""
    if "components" in document:
        return {"id": address.version, "openapi_schema": document}
    version = document if "openapi_schema" in document else document.get("latest_version")
    if not isinstance(version, Mapping):
        raise ConfigError(f"replicate:{model} has no version that could be described: it is empty, or not yours to see")
    if address.version and version.get("id") != address.version:
        raise ConfigError(f"the description is of the version {version.get('id')}, and not of replicate:{model}")
    return version


def _schemas(model: str, version: Document) -> Document:
    """`components.schemas`, with an `Input` in it."""
    node: object = version.get("openapi_schema")
    for part in ("components", "schemas"):
        node = node.get(part) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(node.get("Input"), Mapping):
        raise ConfigError(
            f"the description of replicate:{model} has no schema of its input (components.schemas.Input): "
            "nothing to make a row of"
        )
    return node


def _is_streamed(output: object) -> bool:
    return isinstance(output, Mapping) and output.get("x-cog-array-type") == "iterator"


def _text(document: Document, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _example(document: Document) -> object:
    example = document.get("default_example")
    return example.get("output") if isinstance(example, Mapping) else None
