"""Multipart forms as the vendor reads them: from a body as plain data to fields and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from callsheet.plugin import FileRef, Files, FormFile, extension_for

__all__ = ["form_of"]


async def form_of(body: Mapping[str, object], files: Files) -> tuple[dict[str, str | list[str]], list[FormFile]]:
    """A body's fields and its files: lists as `name[]`, nested objects as `name[key]`, truth values as true and false."""
    fields: dict[str, str | list[str]] = {}
    parts: list[FormFile] = []
    for name, value in _leaves(body):
        if isinstance(value, FileRef):
            parts.append(FormFile(name, _file_name(value), value.media_type, await files.read(value)))
        elif name.endswith("[]"):
            fields[name] = [*fields.get(name, ()), _text(value)]
        else:
            fields[name] = _text(value)
    return fields, parts


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each, f"{name}[]")
    elif value is not None:
        yield name, value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file_name(file: FileRef) -> str:
    """A name of ours with the right extension, by which the vendor tells formats apart; the user's name stays here."""
    return f"{file.sha256[:12]}.{extension_for(file.media_type)}"
