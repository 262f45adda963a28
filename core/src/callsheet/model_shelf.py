"""Putting a model's row on the shelf: a TOML file and the schema beside it, checked before anything is written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import ConfigError
from callsheet.handler import ModelDescription
from callsheet.inputs import attribute_names
from callsheet.model_schemas import MAX_SCHEMA_BYTES, closed_validator, schema_digest
from callsheet.models import ModelInfo, Operation
from callsheet.own_models import MODELS, OwnFile, own_files
from callsheet.plugin_manifest import PROVIDER_NAME, model_row
from callsheet.stores.filesystem import make_folder, sync_folder, whole_file
from callsheet.toml_tables import near_or_known, plain
from callsheet.toml_text import toml_lines

__all__ = ["Shelf", "ShelvedModel", "Wishes", "shadowing"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_STEM = 100
_PLAIN_MODEL = re.compile(r"[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*")
_KEPT = ("aliases", "price")
"""What people write into a row and no provider tells: it stays when the row is written anew."""
_OURS = ("provider", "schema", "digest")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of the row: another operation than the inferred one, a short name."""

    operation: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class ShelvedModel:
    """A row that is fit to be written: its keys and values as in the file, and all that was guessed."""

    info: ModelInfo
    row: Mapping[str, object]
    schema: bytes
    notes: tuple[str, ...]
    path: Path
    schema_path: Path

    @property
    def text(self) -> str:
        """The TOML file."""
        notes = "".join(f"# - {plain(note)}\n" for note in self.notes)
        told = f"# Inferred from the provider's own description; look it over:\n{notes}\n" if notes else ""
        return f"{told}[[models]]\n{toml_lines(self.row)}"


class Shelf:
    """One folder `models` (the project's or the user's), in which each model that is added has two files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def draft(self, provider: str, description: ModelDescription, wishes: Wishes) -> ShelvedModel:
        """The row of a description, with what is kept of an earlier one. Writes nothing.

        Raises ConfigError for a row or a schema that is not valid, and for a model whose row stands in another file.
        """
        values, notes = _with_operation({k: v for k, v in description.row.items() if k not in _OURS}, wishes.operation)
        if not PROVIDER_NAME.fullmatch(provider):
            raise ConfigError(f"{plain(provider)!r} is not a provider's name")
        model = str(values.get("model", ""))
        path = self.folder / provider / f"{_stem(model)}.toml"
        schema = _schema_bytes(description.schema, f"{provider}:{plain(model)}")
        before = self._before(path, f"{provider}:{model}")
        values |= {key: before[key] for key in _KEPT if key in before}
        if wishes.alias:
            given = values.get("aliases")
            values["aliases"] = list(dict.fromkeys([*(given if isinstance(given, list) else ()), wishes.alias]))
        values |= {"schema": path.with_suffix(".json").name, "digest": schema_digest(schema)}
        info = model_row(values, provider, "", file=str(path))
        if not info.revision:
            notes = (*notes, "it is not pinned to a version: the provider names none")
        row = {"provider": provider, **values}
        drafted = ShelvedModel(info, row, schema, (*description.notes, *notes), path, path.with_suffix(".json"))
        _ = drafted.text  # before anything is written
        return drafted

    def write(self, model: ShelvedModel, *, force: bool = False) -> None:
        """Write the two files, each whole or not at all. Raises ConfigError where something lies, unless `force`."""
        there = [path for path in (model.path, model.schema_path) if path.is_symlink() or path.exists()]
        if there and not force:
            what = f"{plain(there[0])} is there already"
            remedy = f"`callsheet model diff {model.info.name}` tells what is new"
            raise ConfigError(f"{what}: --force writes it anew (aliases and prices stay); {remedy}")
        if model.path.parent.is_symlink():
            raise ConfigError(f"{plain(model.path.parent)} is a link, and rows behind links are not read: remove it")
        make_folder(model.path.parent)
        try:
            # The schema first: a row whose schema is still the old one is told by its digest, and never used.
            for path, data in ((model.schema_path, model.schema), (model.path, model.text.encode())):
                with whole_file(path) as draft:
                    draft.write_bytes(data)
            sync_folder(model.path.parent)
        except OSError as error:
            raise ConfigError(f"{plain(model.path)} cannot be written: {error.strerror or error}") from None

    def _before(self, path: Path, name: str) -> Mapping[str, object]:
        """The row that the file has now. Raises ConfigError when it holds anything else, or another file has the row."""
        before: Mapping[str, object] = {}
        for file in own_files(self.folder):
            names = [row.name for row in file.rows]
            if file.path == path:
                before = _sole_row(file, name)
            elif name in names:
                raise ConfigError(f"{name} has a row in {plain(file.path)} already: edit that one, or remove it first")
        return before


def shadowing(info: ModelInfo, own: Iterable[ModelInfo], project: Path) -> str:
    """Where another row of one's own stands that wins over this one; empty when none does."""
    for other in own:
        if other.name == info.name and other.folder != info.folder and other.folder is not None:
            if other.folder == project:
                return "callsheet.toml"
            if other.folder.is_relative_to(project / MODELS):
                return str(other.folder)
    return ""


def _sole_row(file: OwnFile, name: str) -> Mapping[str, object]:
    if file.problem or [row.name for row in file.rows] != [name]:
        what = file.problem or f"{plain(file.path)}: has rows of other models"
        raise ConfigError(f"{what}; move the file away, {name} would take its place")
    return file.rows[0].values


def _with_operation(values: dict[str, object], wanted: str) -> tuple[dict[str, object], tuple[str, ...]]:
    """The row for the operation that the user wants; attributes that it does not know are left out, and told."""
    if not wanted or wanted == values.get("operation"):
        return values, ()
    known = [str(each) for each in Operation]
    if wanted not in known:
        raise ConfigError(f"there is no operation {plain(wanted)!r}{near_or_known(wanted, known)}")
    inputs = values.get("inputs")
    mapped = dict(inputs) if isinstance(inputs, Mapping) else {}
    lost = [name for name in mapped if name not in attribute_names(Operation(wanted))]
    notes = [f"{values.get('operation')} was inferred, {wanted} was asked for"]
    notes += [f"{wanted} has no attribute {name}: the field {mapped.pop(name)} is an option" for name in lost]
    return {**values, "operation": wanted, "inputs": mapped}, tuple(notes)


def _schema_bytes(schema: Mapping[str, object], name: str) -> bytes:
    """The file. Raises ConfigError for what is no JSON Schema of an object in the dialect 2020-12."""
    whole = {"$schema": DIALECT, **schema}
    try:
        if whole["$schema"] != DIALECT:
            raise ValueError(f"it is written in {whole['$schema']}, and not in {DIALECT}")
        if not isinstance(whole.get("properties", {}), Mapping):
            raise TypeError("its properties are no object")
        data = f"{json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()
        closed_validator(whole)
    except (ValueError, TypeError, RecursionError) as error:
        why = plain(str(error).partition("\n")[0])
        raise ConfigError(f"{name}: what it takes is no valid JSON Schema: {why}") from None
    if len(data) > MAX_SCHEMA_BYTES:
        raise ConfigError(f"{name}: its schema is larger than {MAX_SCHEMA_BYTES >> 20} MiB")
    return data


def _stem(model: str) -> str:
    """A file's name for a model's: the same for no two models, also where case and accents are not told apart."""
    if _PLAIN_MODEL.fullmatch(model) and len(model) <= MAX_STEM:
        return model.replace("/", "_")
    mark = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    start = re.sub(r"[^a-z0-9.-]+", "_", model.lower()).strip("._")[: MAX_STEM - len(mark) - 2]
    return f"{start or 'model'}__{mark}"
