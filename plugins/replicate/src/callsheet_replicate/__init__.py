"""Replicate: every model as a prediction, over its REST API."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import Handler, HandlerSpec, Operation, hookimpl

__all__ = ["callsheet_register_handlers"]

PROVIDER = "replicate"


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """One handler for all models, with a row or without one."""
    operations = frozenset(Operation) - {Operation.VIDEO_ASSEMBLE}
    return [HandlerSpec(PROVIDER, _predictions, operations=operations)]


def _predictions() -> Handler:
    from callsheet_replicate.predictions import PredictionHandler

    return PredictionHandler()
