"""Input files on their way into a request: the leaves of a body that are files, and how they are put in."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from callsheet.artifacts import FileRef
from callsheet.context import Files
from callsheet.errors import CapabilityUnsupportedError

__all__ = ["check_attachment", "data_url", "put_files"]


def check_attachment(
    file: FileRef, *, ref: str, media_types: tuple[str, ...] = (), max_bytes: int | None = None
) -> None:
    """Refuse a file that a model cannot take, before anything is sent. `media_types` may end in `/*`.

    Raises CapabilityUnsupportedError that names the file, its type or size and what is taken.
    """
    name = file.name or file.sha256[:12]
    kind = file.media_type.partition("/")[0] + "/*"
    if media_types and file.media_type not in media_types and kind not in media_types:
        taken = ", ".join(media_types)
        raise CapabilityUnsupportedError(f"{ref} takes no {file.media_type} ({name}); it takes {taken}", ref=ref)
    if max_bytes is not None and file.bytes > max_bytes:
        raise CapabilityUnsupportedError(
            f"{ref} takes files of at most {max_bytes:,} bytes, and {name} has {file.bytes:,}: make it smaller", ref=ref
        )


async def data_url(file: FileRef, files: Files) -> str:
    """The file inside of a `data:` URL (RFC 2397)."""
    encoded = base64.b64encode(await files.read(file)).decode("ascii")
    return f"data:{file.media_type};base64,{encoded}"


async def put_files(value: object, put: Callable[[FileRef], Awaitable[object]]) -> Any:
    """A body (or a part of one) with each FileRef leaf exchanged for what `put` gives; the given one is not changed."""
    if isinstance(value, FileRef):
        return await put(value)
    if isinstance(value, Mapping):
        return {key: await put_files(each, put) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [await put_files(each, put) for each in value]
    return value
