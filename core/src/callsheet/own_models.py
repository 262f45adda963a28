"""Model rows of one's own: in callsheet.toml, and in `models/**/*.toml` of the project's and of the user's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.errors import CallsheetError, ConfigError
from callsheet.plugin_manifest import PROVIDER_NAME, model_row
from callsheet.settings import ProviderSettings
from callsheet.toml_tables import Table, plain, read_toml
from callsheet.user_folders import user_folder

if TYPE_CHECKING:
    from callsheet.models import ModelInfo

__all__ = [
    "MODELS",
    "OwnFile",
    "OwnModels",
    "OwnRow",
    "checked_row",
    "own_files",
    "own_models",
    "own_row",
    "user_models",
]

MODELS = "models"
MAX_BYTES = 4 << 20
MAX_ENTRIES = 20_000
"""Of one folder, with all below it: a `models` full of something else must not make every command slow."""

_fail = ConfigError


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A row as it was read: the provider, and the keys and values of a model row, not yet checked."""

    file: Path
    provider: str
    values: Mapping[str, object]

    @property
    def name(self) -> str:
        """`provider:model`."""
        return f"{self.provider}:{self.values.get('model', '')}"


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file of rows, or why it cannot be read."""

    path: Path
    rows: tuple[OwnRow, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OwnModels:
    """The rows that can be used; what is wrong with others (by `provider:model`); and with files that have none."""

    models: Mapping[str, ModelInfo]
    wrong: Mapping[str, str]
    unread: tuple[str, ...] = ()


def user_models() -> Path:
    """The user's folder of model rows."""
    return user_folder("config") / MODELS


def own_row(table: Table, file: Path) -> OwnRow:
    """A `[[models]]` table outside of a plugin, which says whose model it is. Raises ConfigError."""
    provider = table.text("provider", form=PROVIDER_NAME, wanted="lower-case letters, digits, dots and dashes")
    if not provider:
        raise table.error("needs a provider: the name before the colon in provider:model")
    return OwnRow(file, provider, {key: value for key, value in table.values.items() if key != "provider"})


def checked_row(row: OwnRow, providers: Mapping[str, ProviderSettings]) -> ModelInfo:
    """The row of a catalog; one of a provider with a lent wire speaks that. Raises ConfigError with file, model and key."""
    info = model_row(row.values, row.provider, "", file=str(row.file))
    lent = providers.get(row.provider, ProviderSettings()).wire
    if lent and ":" not in info.wire:
        info = replace(info, wire=f"{lent.partition(':')[0]}:{info.wire}" if info.wire else lent)
    return info


def own_models(project: Path, providers: Mapping[str, ProviderSettings]) -> OwnModels:
    """The rows of the user's folder and of the project's, which win. Raises nothing: one bad file spoils no command."""
    models: dict[str, ModelInfo] = {}
    wrong: dict[str, str] = {}
    unread: list[str] = []
    for folder in dict.fromkeys((user_models(), project / MODELS)):
        files: dict[str, Path] = {}
        for file in own_files(folder):
            if file.problem:
                unread.append(file.problem)
            for row in file.rows:
                models.pop(row.name, None)
                try:
                    if row.name in files:
                        raise _twice(row, files[row.name])
                    models[row.name] = checked_row(row, providers)
                    wrong.pop(row.name, None)
                except CallsheetError as error:
                    wrong[row.name] = str(error)
                files[row.name] = file.path
    return OwnModels(models, wrong, tuple(unread))


def own_files(folder: Path) -> Iterator[OwnFile]:
    """The files with model rows in a folder and below it, in order. Other TOML files are passed over."""
    seen = 0
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen += len(folders) + len(names)
        if seen > MAX_ENTRIES:
            problem = f"{plain(folder)}: has more than {MAX_ENTRIES:,} files: not all were looked at for model rows; move the others elsewhere"
            yield OwnFile(folder, problem=problem)
            return
        for name in sorted(names):
            path = Path(place, name)
            if name.endswith(".toml"):
                found = _read(path)
                if found is not None:
                    yield found
    for error in closed:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            yield _unread(Path(error.filename), error)


def _unread(path: Path, error: OSError) -> OwnFile:
    return OwnFile(path, problem=f"{plain(path)}: cannot be read: {error.strerror or error}")


def _read(path: Path) -> OwnFile | None:
    try:
        if not path.is_file():  # a fifo would never end
            return None
        data = read_toml(path, limit=MAX_BYTES, fail=_fail)
        if MODELS not in data and not any(map(_looks_like_rows, data.values())):
            return None  # somebody else's file
        table = Table(data, plain(path), _fail)
        table.only((MODELS,))
        return OwnFile(path, tuple(own_row(row, path) for row in table.tables(MODELS)))
    except ConfigError as error:
        return OwnFile(path, problem=str(error))
    except OSError as error:  # of a folder that may be listed, and not entered
        return _unread(path, error)


def _looks_like_rows(value: object) -> bool:
    """True for what somebody may have meant as `[[models]]`."""
    return isinstance(value, list) and any(
        isinstance(each, dict) and {"provider", "model"} <= set(each) for each in value
    )


def _twice(row: OwnRow, other: Path) -> ConfigError:
    places = plain(row.file) if other == row.file else f"{plain(other)} and {plain(row.file)}"
    return ConfigError(f"{plain(row.name)} stands twice in {places}; none of them is used: remove one of the two")
