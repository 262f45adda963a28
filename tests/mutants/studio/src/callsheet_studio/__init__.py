"""Studio for callsheet: a plugin that passes the kit, to be changed by the defects of the tests."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import HandlerSpec, JsonApi, hookimpl, lazy

__all__ = ["API", "callsheet_register_handlers"]

API = JsonApi()


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """A handler for each wire of plugin.toml."""
    return [
        HandlerSpec("studio", lazy("callsheet_studio.chat:Chat"), wire="chat"),
        HandlerSpec("studio", lazy("callsheet_studio.pictures:Pictures"), wire="pictures"),
        HandlerSpec("studio", lazy("callsheet_studio.vectors:Vectors"), wire="vectors"),
    ]
