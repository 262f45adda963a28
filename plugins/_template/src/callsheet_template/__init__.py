"""Template for callsheet. This module is imported whenever handlers are needed: keep it light."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import HandlerSpec, hookimpl, lazy

__all__ = ["callsheet_register_handlers"]

PROVIDER = "template"


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """A handler for each wire that plugin.toml names."""
    return [
        # [answer]
        HandlerSpec(PROVIDER, lazy("callsheet_template.answers:Answers"), wire="answers"),
        # [/answer]
        # [job]
        HandlerSpec(PROVIDER, lazy("callsheet_template.jobs:Jobs"), wire="jobs"),
        # [/job]
    ]
