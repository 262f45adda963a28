"""Trying a producer before anything is paid: with what is known now, and placeholders for what upstream will give.

A wrong duration of the last step must not show after the first ones were paid for.
"""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.artifacts import FileRef
from callsheet.bindings import BoundChoice, FileItems, Scope, evaluate, values_for
from callsheet.errors import ConfigError
from callsheet.inputs import inputs_type, list_attributes
from callsheet.models import Operation
from callsheet.references import Reference
from callsheet.sheet import CallSheet
from callsheet.templates import Template

__all__ = ["PLACEHOLDER", "trial_inputs", "trial_options", "weighs_nothing"]

PLACEHOLDER = "placeholder"

_MADE = {
    Operation.IMAGE_GENERATE: "image/png",
    Operation.VIDEO_GENERATE: "video/mp4",
    Operation.VIDEO_ASSEMBLE: "video/mp4",
    Operation.SPEECH_GENERATE: "audio/wav",
    Operation.MUSIC_GENERATE: "audio/wav",
    Operation.SOUND_GENERATE: "audio/wav",
}


def trial_inputs(
    sheet: CallSheet, choice: BoundChoice, operation: Operation, scope: Scope, where: str, *, text: str = PLACEHOLDER
) -> dict[str, object]:
    """The attributes of a choice; what depends on upstream is `text` where one is required, else left out.

    Raises ConfigError for what is wrong whatever upstream will give.
    """
    lists = list_attributes(operation)
    required = {name for names in inputs_type(operation).required for name in names}
    values: dict[str, object] = {}
    known: dict[str, object] = {}
    for name, binding in choice.inputs.items():
        if not _waits(sheet, binding):
            known[name] = binding
        elif isinstance(binding, FileItems):
            files = tuple(
                _file(sheet, item, f"{where}.{name}") for item in binding.items if isinstance(item, Reference)
            )
            values[name] = files if name in lists else files[0]
        elif name in required:
            values[name] = text
    return values | values_for(BoundChoice(choice.choice, known, {}), scope, operation, where)


def trial_options(sheet: CallSheet, choice: BoundChoice, scope: Scope, where: str) -> dict[str, object]:
    """The options of a choice, with a placeholder for each that depends on upstream."""
    return {
        name: PLACEHOLDER if _waits(sheet, binding) else evaluate(binding, scope, f"{where}.options.{name}")
        for name, binding in choice.options.items()
    }


def weighs_nothing(sheet: CallSheet, choice: BoundChoice, operation: Operation) -> bool:
    """True when upstream gives texts and files alone: no duration, no size and no option that may have a price."""
    required = {name for names in inputs_type(operation).required for name in names}
    waiting = [(name, binding) for name, binding in choice.inputs.items() if _waits(sheet, binding)]
    return not any(_waits(sheet, binding) for binding in choice.options.values()) and all(
        name in required or isinstance(binding, FileItems) for name, binding in waiting
    )


def _waits(sheet: CallSheet, binding: object) -> bool:
    """True when the value needs what another producer makes."""
    if isinstance(binding, Template):
        return bool(binding.references(sheet.producers))
    if isinstance(binding, FileItems):
        return any(isinstance(item, Reference) for item in binding.items)
    if isinstance(binding, Mapping):
        return any(_waits(sheet, value) for value in binding.values())
    return isinstance(binding, list) and any(_waits(sheet, value) for value in binding)


def _file(sheet: CallSheet, reference: Reference, where: str) -> FileRef:
    producer = sheet.producers[reference.producer]
    media_type = _MADE.get(producer.operation)
    if media_type is None and not producer.pin:
        raise ConfigError(f"{reference} is text ({producer.operation}), not a file", where=where)
    return FileRef("0" * 64, media_type or "application/octet-stream", 1024, PLACEHOLDER)
