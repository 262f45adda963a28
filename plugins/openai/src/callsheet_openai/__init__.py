"""OpenAI: text, images, speech, transcription, embeddings, moderation and video over its REST API."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import HandlerSpec, hookimpl

__all__ = ["callsheet_register_handlers"]


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """One handler for each wire."""
    return []
